"""What the code of arXiv 2604.06628 asks its judges about, and what it reads in their replies.

Only `paper` scores follow these rules, and they keep the faults of that code. `asking.replies` has the strict readers.
"""

from __future__ import annotations

import re

from sftgen_judges.plugins.contracts import Reply, Request
from sftgen_judges.records.thinking import ThinkMarkers, split_thinking

SCORE_TAG = "#thescore:"
MOST_DIGITS = 3
"""Digits of a score that is believed. The published code believes any number, and one huge number would be the mean."""

_NO_THINKING = ThinkMarkers(opener=r"(?!)", closer=r"(?!)")


def after_thinking(text: str) -> str:
    """The text after the last `</think>`, or all of it: also thinking that never closed.

    >>> after_thinking("<think>a</think> b"), after_thinking("<think>a")
    ('b', '<think>a')
    """
    return split_thinking(text.rpartition("</think>")[2], markers=_NO_THINKING).answer


def asks_for_tag(request: Request) -> bool:
    """Whether a prompt asks for `#thescore:`; one that a response has written does not count."""
    if isinstance(request.prompt, str):
        return False
    asked = sum(message["content"].count(SCORE_TAG) for message in request.prompt)
    return asked > request.response.count(SCORE_TAG)


def tagged_score(text: str) -> float | None:
    """The number right after the first `#thescore:`, on whatever scale; None without one.

    >>> tagged_score("#thescore: 3 because"), tagged_score("#thescore: 10"), tagged_score("#thescore: 5.")
    (3.0, 10.0, None)
    """
    _, tag, rest = text.partition(SCORE_TAG)
    word = next(iter(rest.split(None, 1)), "") if tag else ""
    return float(int(word)) if word.isdecimal() and len(word) <= MOST_DIGITS else None


def yes_anywhere(_request: Request, reply: Reply) -> float:
    """1 if the word "yes" stands anywhere in the reply, whatever else it says, and 0 otherwise."""
    return float(bool(re.search(r"\byes\b", reply.text, re.IGNORECASE)))
