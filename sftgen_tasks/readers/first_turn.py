"""Scoring the first turn of a response: what a model writes on with is no answer to what it was asked.

A model without training as an assistant answers and goes on with another question, which it answers too
(`sftgen_judges.records.turns`). A benchmark whose answers are no dialogues reads a response up to there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from heapq import merge
from itertools import islice
from typing import Any

from sftgen_judges import Response, Verdict
from sftgen_judges.records.schema import ANSWERED
from sftgen_judges.records.turns import turn_forms, turns

Grade = Callable[[Mapping[str, Any], Response], Verdict]
Prompt = Callable[[Mapping[str, Any]], str]
TRIES = 3
"""Turns of a response before which an answer is looked for."""

# What an answer looks like, before the benchmark's own rule reads it.
_ANSWER = re.compile(
    r"\\f?box(?:ed)?\b|\b(?:answer|option|choice|judge?ment|conclusion)\b|####|^[(\[*]{0,3}[A-J][)\].*]{0,3}[ \t]*$"
    r"|\A\s*\S[^\n]{0,60}$",
    re.IGNORECASE | re.MULTILINE,
)


def scores_first_turn(prompt: Prompt) -> Callable[[Grade], Grade]:
    """Make a rule score a response by its first turn, where that has an answer, and otherwise by the whole.

    So a solution that only restates its question is read to its end. The verdicts get two measures: `wrote_on`, 1
    where something was left out, and `score_whole`, the score of the whole. The text of the response, which the rules
    of the paper's code read, stays as it is.

    Args:
        prompt: The prompt of a document, which shows how questions are written.
    """

    def decorated(grade: Grade) -> Grade:
        @wraps(grade)
        def graded(doc: Mapping[str, Any], response: Response) -> Verdict:
            whole = grade(doc, response)
            for end in islice(_ends(prompt, doc, response), TRIES):
                first = grade(doc, replace(response, answer=response.answer[:end].rstrip()))
                if first.status in ANSWERED:
                    return _measured(first, whole, wrote_on=True)
            return _measured(whole, whole, wrote_on=False)

        return graded

    return decorated


def _ends(prompt: Prompt, doc: Mapping[str, Any], response: Response) -> Iterator[int]:
    """The places in an answer where another turn may begin, behind what looks like an answer."""
    answer = response.answer
    found = _ANSWER.search(answer)
    if found is None:
        return iter(())
    asked = ""
    with suppress(LookupError):  # a rule is also asked about an answer alone, without its question
        asked = prompt(doc)
    ended = [response.turn_end] if response.turn_end is not None and response.turn_end > found.start() else []
    return merge(ended, turns(answer, turn_forms(asked), question=asked, after=found.start()))


def _measured(verdict: Verdict, whole: Verdict, *, wrote_on: bool) -> Verdict:
    measures = {**verdict.measures, "wrote_on": float(wrote_on)}
    if whole.score is not None:
        measures["score_whole"] = whole.score
    return replace(verdict, measures=measures)
