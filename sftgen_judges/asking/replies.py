"""Tolerant readers of a judge's reply. Judges use them; no benchmark reads a reply.

A reader accepts a score in several forms: JSON, a marked line, the bare number, `4/5`. It accepts nothing else:
a number that is quoted, ambiguous, out of range or truncated is not a score.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from sftgen_judges.asking.declining import declines_itself as declines
from sftgen_judges.plugins.contracts import Reply
from sftgen_judges.records.thinking import split_thinking


class UnreadableReply(Exception):  # noqa: N818 - it is the reply that is unreadable
    """Why a reply holds no verdict: the kind of problem, never a quotation of the reply."""


_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?"
_SCORE = rf"(?P<score>{_NUMBER})(?:\s*(?:/|out\s+of)\s*(?P<most>[0-9]+))?"
_WRAP = r"[\s*_`\"'()\[\]#>]*"
# The whole reply is a score, or a whole line is one with a name before it.
_BARE = re.compile(rf"{_WRAP}{_SCORE}{_WRAP}\.?{_WRAP}")


def read_score(reply: Reply, scale: tuple[float, float], *, field: str = "score", whole: bool = True) -> float:
    """The one score in a reply.

    The score is `field` of a JSON object, a line `field: 4` (also `#thefield: 4`), or the whole reply.

    Args:
        reply: The reply; thinking before the answer is ignored.
        scale: Lowest and highest score.
        field: What the score is called.
        whole: Whether the scale has whole numbers only.

    Raises:
        UnreadableReply: The reply has no score, several different scores, or a score that is not on the scale.
    """
    text = answer_of(reply)
    found = list(_in_json(text, field, scale[1])) or list(_marked(text, field, scale[1]))
    if not found and (bare := _BARE.fullmatch(text)):
        found = [_number(bare, scale[1])]
    if not found:
        if declines(text):
            raise UnreadableReply("the judge declined")
        raise UnreadableReply("no score in the reply")
    if len(set(found)) > 1:
        raise UnreadableReply("several different scores in the reply")
    score = found[0]
    if not scale[0] <= score <= scale[1]:
        raise UnreadableReply(f"out of range: score {score:g} is not in {scale[0]:g} to {scale[1]:g}")
    if whole and not score.is_integer():
        raise UnreadableReply(f"out of range: score {score:g} is not a whole number")
    return score


def read_yes_no(reply: Reply) -> bool:
    """True if a reply begins with yes, False if it begins with no; case and punctuation do not matter.

    Raises:
        UnreadableReply: It begins with neither.
    """
    text = answer_of(reply)
    word = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
    if not word:
        raise UnreadableReply("the judge declined" if declines(text) else "neither yes nor no")
    return word.group(1).lower() == "yes"


def probability_of_yes(reply: Reply) -> float:
    """P(yes) / (P(yes) + P(no)) of the first token, between 0 and 1, where all spellings of a word are summed.

    Raises:
        UnreadableReply: Neither word is among the likeliest tokens.
    """
    mass = {"yes": 0.0, "no": 0.0}
    for token, logprob in reply.logprobs.items():
        # Two kinds of tokenizers show a space as a letter of their own.
        word = token.strip(" \u0120\u2581").lower()
        if word in mass:
            mass[word] += math.exp(logprob)
    if not any(mass.values()):
        raise UnreadableReply("no log-probability of yes or no" if reply.logprobs else "no log-probabilities")
    return mass["yes"] / (mass["yes"] + mass["no"])


def answer_of(reply: Reply) -> str:
    """The text of a reply after its thinking.

    Raises:
        UnreadableReply: The reply is empty, the model declined, or the server withheld the text.
    """
    if reply.refusal:
        raise UnreadableReply("the judge declined")
    if reply.finish_reason == "content_filter":
        raise UnreadableReply("held back by the server's filter")
    read = split_thinking(reply.text)
    if read.think == "unclosed":
        raise UnreadableReply("the judge's thinking was cut off")
    if not read.answer:
        raise UnreadableReply("empty reply")
    return read.answer


def score_schema(scale: tuple[int, int], field: str = "score", reason: str = "analysis") -> dict[str, Any]:
    """JSON schema of a reply: first an analysis, then a whole number, so that the model thinks before it scores."""
    values = list(range(scale[0], scale[1] + 1))
    return {
        "type": "object",
        "properties": {reason: {"type": "string"}, field: {"type": "integer", "enum": values}},
        "required": [reason, field],
        "additionalProperties": False,
    }


def _in_json(text: str, field: str, most: float) -> Iterator[float]:
    """The scores of all JSON objects in a text."""
    decoder = json.JSONDecoder(strict=False)
    position, objects, found = 0, 0, 0
    while (position := text.find("{", position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            position += 1
            continue
        objects += 1
        if field in value:
            found += 1
            yield _json_number(value[field], most)
    begun = not objects and text.removeprefix("```json").lstrip("` \n").startswith("{")
    if found or (f'"{field}"' not in text and not begun):
        return
    # The object is not valid JSON, for example because of a quotation mark within its text, but its end is complete.
    last = re.search(rf'"{field}"\s*:\s*"?({_NUMBER})"?\s*\}}\W*\Z', text)
    if not last:
        raise UnreadableReply("unreadable JSON, or cut short")
    yield float(last.group(1))


def _json_number(value: Any, most: float) -> float:
    if isinstance(value, str) and (match := _BARE.fullmatch(value)):
        return _number(match, most)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableReply("no number in the score's place")
    return float(value)


def _marked(text: str, field: str, most: float) -> Iterator[float]:
    # The rest of the line may explain the score, but may not contain another number.
    rest = r"(?:\s*[.,;(\u2013\u2014-][^0-9\n]*)?"
    line = re.compile(rf"^[ \t*_`\"'#]*(?:the\s*)?{field}{_WRAP}[:=]{_WRAP}{_SCORE}[*_`\"')\] \t]*{rest}$", re.I | re.M)
    for match in line.finditer(text):
        yield _number(match, most)


def _number(match: re.Match[str], most: float) -> float:
    if match["most"] and float(match["most"]) != most:
        raise UnreadableReply(f"out of range: a score out of {match['most']}, not out of {most:g}")
    return float(match["score"])
