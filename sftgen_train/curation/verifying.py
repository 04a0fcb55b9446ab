"""A training set, ours or a stranger's, verified by the graders that score benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sftgen_judges.plugins.contracts import Grader, Item
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.schema import Response, Verdict
from sftgen_judges.records.thinking import split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_train.curation.reading import Numbered, batches, id_of
from sftgen_train.training.rows import Row

OF_MATHEMATICS = ("math_verify", "math500", "aime24")
"""Graders whose right answers are formulas."""
GOLDS = ("answer", "ground_truth", "gold", "final_answer", "expected_answer")
"""Columns that hold the right answer; the first that there is."""


@dataclass(frozen=True)
class Checked:
    """What a grader says of one row.

    Attributes:
        row: Number of the row, from 0.
        row_id: Its `id`, or nothing.
        word: `right`, `wrong`, `no answer`, `unclosed` (thinking that never ends), `no gold`, `unusable gold` (it is
            not right, and the right answer cannot be read) or `not graded`.
        gold: The right answer as the row has it.
        answer: The answer that was read in the response.
        paper: What math-verify's own rule says of the whole response, where the grader has it.
        reason: One line of the grader, or nothing.
    """

    row: int
    row_id: str
    word: str
    gold: str = ""
    answer: str | None = None
    paper: bool | None = None
    reason: str = ""

    @property
    def disputed(self) -> bool:
        """Whether the grader's rule and math-verify's differ."""
        return self.paper is not None and self.paper != (self.word == "right")


def verify(rows: Iterable[Mapping[str, Any]], grader: str = "", name: str = "data") -> Iterator[Checked]:
    """Grade the response of every row.

    Args:
        rows: Rows to train on, each with the right answer in a column: `answer`, `ground_truth`, `gold`,
            `final_answer` or `expected_answer`; or `numbers` and `target` for Countdown.
        grader: Name of a registered grader, by default that of Countdown or of MATH500, by the columns.
        name: The set, for messages.

    Raises:
        DataError: A row cannot be read.
        UnknownNameError: There is no such grader.
    """
    for batch in batches(name, rows):
        yield from verify_batch(batch, grader)


def verify_batch(batch: Sequence[Numbered], grader: str) -> Iterator[Checked]:
    """Grade some rows together, see `verify`."""
    by_grader: dict[str, list[tuple[int, Mapping[str, Any], Row, Mapping[str, Any]]]] = {}
    found: dict[int, Checked] = {}
    for number, row, conversation in batch:
        chosen = grader or _grader_of(row)
        doc = _document(row, chosen)
        if doc is None:
            found[number] = Checked(number, id_of(row), "no gold")
            continue
        by_grader.setdefault(chosen, []).append((number, row, conversation, doc))
    for chosen, group in by_grader.items():
        items = [Item(doc, split_thinking(_response(conversation))) for _, _, conversation, doc in group]
        verdicts = grade_batch(lookup("grader", chosen), items)
        made = [
            _checked(number, row, doc, item, verdict)
            for (number, row, _, doc), item, verdict in zip(group, items, verdicts, strict=True)
        ]
        found |= {each.row: each for each in _without_unusable(chosen, made, [doc for _, _, _, doc in group])}
    yield from (found[number] for number, _, _ in batch)


def _without_unusable(grader: str, made: Sequence[Checked], docs: Sequence[Mapping[str, Any]]) -> Iterator[Checked]:
    """Say of what is not right if that may be the fault of the right answer."""
    failing = [place for place, each in enumerate(made) if each.word in {"wrong", "no answer"}]
    check = lookup("grader", "math_verify" if grader in OF_MATHEMATICS else grader)
    reasons = dict(zip(failing, unusable_golds(check, [docs[place] for place in failing]), strict=True))
    for place, each in enumerate(made):
        reason = reasons.get(place, "")
        yield replace(each, word="unusable gold", reason=reason) if reason else each


def unusable_golds(grader: Grader, docs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why responses to each document cannot be verified; empty where they can, or where the grader cannot tell."""
    if grader.unusable is None or not docs:
        return [""] * len(docs)
    check = Grader(
        f"{grader.name}: right answers", grader.version, partial(_said, grader.name),
        time_limit=grader.time_limit, chunk=grader.chunk,
    )  # fmt: skip
    verdicts = grade_batch(check, [Item(doc, Response("")) for doc in docs], label="right answers")
    return [said.reason if said.score is not None else f"cannot be checked: {said.reason}" for said in verdicts]


def _said(grader: str, doc: Mapping[str, Any], response: Response) -> Verdict:
    check = lookup("grader", grader).unusable
    return Verdict("ok", 0.0, reason=check(doc))


def _grader_of(row: Mapping[str, Any]) -> str:
    if row.get("numbers") and row.get("target") is not None:
        return "countdown"
    return "math500"


def _document(row: Mapping[str, Any], grader: str) -> Mapping[str, Any] | None:
    """What the grader reads of the row; None where the right answer is absent."""
    if grader == "countdown":
        return row if row.get("numbers") and row.get("target") is not None else None
    gold = next((row[name] for name in GOLDS if row.get(name) not in (None, "")), None)
    if gold is None:
        return None
    return {**row, "answer": str(gold), "solution": row.get("solution") or f"\\boxed{{{gold}}}"}


def _response(row: Row) -> str:
    content = row.response.content or ""
    return f"<think>\n{row.response.reasoning}\n</think>\n{content}" if row.response.reasoning else content


def _checked(number: int, row: Mapping[str, Any], doc: Mapping[str, Any], item: Item, verdict: Verdict) -> Checked:
    if verdict.score is None:
        word = "not graded"
    elif verdict.score >= 1:
        word = "right"
    elif item.response.think == "unclosed":
        word = "unclosed"
    else:
        word = "wrong" if verdict.answer else "no answer"
    gold = str(doc["answer"]) if "answer" in doc else f"{doc.get('target')} of {doc.get('numbers')}"
    paper = None if verdict.paper is None else verdict.paper >= 1
    return Checked(number, id_of(row), word, gold, verdict.answer, paper, verdict.reason or "")
