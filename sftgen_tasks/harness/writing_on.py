"""Scoring the first turn of a response: what a model writes on with is no answer to what it was asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sftgen_judges.plugins.contracts import Item
from sftgen_judges.records.schema import ANSWERED, Verdict
from sftgen_judges.records.turns import turn_forms, turns

Grade = Callable[[Sequence[Item]], list[Verdict]]
Prompt = Callable[[Mapping[str, Any]], str]
TRIES = 3
"""Turns of a response before which an answer is looked for."""

# What an answer looks like, before the benchmark's own rule reads it.
_ANSWER = re.compile(
    r"\\f?box(?:ed)?\b|\b(?:answer|option|choice|judge?ment|conclusion)\b|####|^[(\[*]{0,3}[A-J][)\].*]{0,3}[ \t]*$"
    r"|\A\s*\S[^\n]{0,60}$",
    re.IGNORECASE | re.MULTILINE,
)


def grade_first_turns(grade: Grade, items: Sequence[Item], prompt: Prompt | None) -> tuple[list[Item], list[Verdict]]:
    """Grade every response by its first turn, where that has an answer, and otherwise by the whole.

    So a solution that only restates its question is read to its end. The verdicts get two measures: `wrote_on`, 1
    where something was left out, and `score_whole`, the score of the whole.

    Args:
        grade: Grades items, by a rule.
        items: Documents with responses.
        prompt: The prompt of a document, which shows how questions are written.

    Returns:
        The items as they were graded, and their verdicts.
    """
    chosen, whole = list(items), grade(items)
    verdicts = list(whole)
    open_ends = {number: ends for number, item in enumerate(items) if (ends := _ends(item, prompt)) is not None}
    for _ in range(TRIES):
        nearest = {number: next(ends, None) for number, ends in open_ends.items()}
        tried = {number: end for number, end in nearest.items() if end is not None}
        first = [_ended(items[number], end) for number, end in tried.items()]
        for number, item, verdict in zip(tried, first, grade(first) if first else (), strict=True):
            if verdict.status in ANSWERED:
                chosen[number], verdicts[number] = item, verdict
                del open_ends[number]
    return chosen, [
        _measured(verdict, item is not given, of_whole.score)
        for verdict, item, given, of_whole in zip(verdicts, chosen, items, whole, strict=True)
    ]


def _ends(item: Item, prompt: Prompt | None) -> Iterator[int] | None:
    """The places in a response where another turn may begin, behind what looks like an answer."""
    answer = item.response.answer
    found = _ANSWER.search(answer)
    if found is None:
        return None
    asked = prompt(item.doc) if prompt else ""
    return turns(answer, turn_forms(asked), question=asked, after=found.start())


def _ended(item: Item, end: int) -> Item:
    return replace(item, response=replace(item.response, answer=item.response.answer[:end].rstrip()))


def _measured(verdict: Verdict, wrote_on: bool, whole: float | None) -> Verdict:
    measures = {**verdict.measures, "wrote_on": float(wrote_on)}
    if whole is not None:
        measures["score_whole"] = whole
    return replace(verdict, measures=measures)
