"""Selectors that change what a response says: thinking removed or cut, the answer alone, a solution from a column.

They make the published counterparts of a set (without thinking, with another author's solutions) and the controls of
low quality. What cannot be rewritten is left out and counted, never filled in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import Field

from sftgen_judges.plugins.contracts import Candidate, Item, Selector
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.thinking import split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.readers.boxed import last_boxed
from sftgen_train.curation.selecting.selectors import Options

COLUMN_RIGHT = "column_right"
"""1 where the solution of a column was verified, 0 where it is wrong."""


class Truncation(Options):
    """How much of the thinking stays.

    Attributes:
        share: Share of its lines.
    """

    share: float = Field(default=0.5, ge=0, lt=1)


class Column(Options):
    """Where a solution stands.

    Attributes:
        column: A column that the configuration keeps.
        grader: Name of a grader: only solutions that it verifies are taken. Without one all are.
    """

    column: str = Field(default="solution", min_length=1)
    grader: str | None = None


def _rewritten(candidate: Candidate, text: str, tokens: int | None = None) -> Candidate:
    finish = candidate.response.finish_reason
    return replace(candidate, response=split_thinking(text, tokens=tokens, finish_reason=finish))


def _without_thinking(candidate: Candidate, options: None, rng: random.Random) -> Candidate | None:
    answer = candidate.response.answer.strip()
    if not answer:
        return None
    whole = candidate.response.tokens if candidate.response.think == "none" else candidate.answer_tokens
    return _rewritten(candidate, answer, whole)


def _answer_alone(candidate: Candidate, options: None, rng: random.Random) -> Candidate | None:
    answer = last_boxed(candidate.response.answer)
    return _rewritten(candidate, f"\\boxed{{{answer}}}") if answer else None


def _truncated(candidate: Candidate, options: Truncation, rng: random.Random) -> Candidate | None:
    lines = candidate.response.thinking.strip().splitlines(keepends=True)
    answer = candidate.response.answer.strip()
    if len(lines) < 2 or not answer:
        return None
    # Cut at the end of a line; at least one is gone.
    kept = "".join(lines[: min(round(options.share * len(lines)), len(lines) - 1)]).strip()
    return _rewritten(candidate, f"<think>\n{kept}\n</think>\n\n{answer}")


def _from_column(candidate: Candidate, options: Column, rng: random.Random) -> Candidate | None:
    text = _solution(candidate, options)
    if not text or (options.grader and candidate.measures.get(COLUMN_RIGHT) != 1):
        return None
    return replace(candidate, response=split_thinking(text))


def _solution(candidate: Candidate, options: Column) -> str:
    found = candidate.doc.get(options.column)
    return found.strip() if isinstance(found, str) else ""


def _verified_columns(candidates: Sequence[Candidate], options: Column) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Whether the solution in the column is right. Without a grader nothing is measured, and nothing is left out."""
    if not options.grader:
        yield from ((place, {}) for place in range(len(candidates)))
        return
    asked = [place for place, each in enumerate(candidates) if _solution(each, options)]
    items = [Item(candidates[place].doc, split_thinking(_solution(candidates[place], options))) for place in asked]
    for place, said in zip(asked, grade_batch(lookup("grader", options.grader), items), strict=True):
        if said.score is not None:
            yield place, {COLUMN_RIGHT: float(said.score >= 1)}


def _column(options: Column) -> Sequence[str]:
    return (options.column,)


NO_THINKING = Selector("no-thinking", 1, rewrite=_without_thinking)
ANSWER_ONLY = Selector("answer-only", 1, rewrite=_answer_alone)
TRUNCATED = Selector("truncated", 1, rewrite=_truncated, options=Truncation)
COLUMN = Selector("column", 1, rewrite=_from_column, options=Column, columns=_column, measure=_verified_columns)
