"""A training set, ours or a stranger's, verified by the graders that score benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Item
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.schema import Verdict
from sftgen_judges.records.thinking import split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_train.curation.reading import id_of
from sftgen_train.training.rows import Row, read_row

BATCH = 1024
"""Rows that are graded together: enough for every core, few enough for memory."""
GOLDS = ("answer", "ground_truth", "gold", "final_answer", "expected_answer")
"""Columns that hold the right answer; the first that there is."""


class VerifyError(SftgenError):
    """A set cannot be verified."""


@dataclass(frozen=True)
class Checked:
    """What a grader says of one row.

    Attributes:
        row: Number of the row, from 0.
        row_id: Its `id`, or nothing.
        word: `right`, `wrong`, `no answer`, `unclosed` (thinking that never ends), `no gold` or `not graded`.
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
        VerifyError: A grader cannot be chosen.
        DataError: A row cannot be read.
        UnknownNameError: There is no such grader.
    """
    numbered = enumerate(rows)
    while batch := list(islice(numbered, BATCH)):
        yield from _verified(batch, grader, name)


def _verified(batch: Sequence[tuple[int, Mapping[str, Any]]], grader: str, name: str) -> Iterator[Checked]:
    read = [(number, row, read_row(row, f"{name}, row {number + 1}")) for number, row in batch]
    by_grader: dict[str, list[tuple[int, Mapping[str, Any], Row, Mapping[str, Any]]]] = {}
    found: dict[int, Checked] = {}
    for number, row, conversation in read:
        chosen = grader or _grader_of(row)
        doc = _document(row, chosen)
        if doc is None:
            found[number] = Checked(number, id_of(row), "no gold")
            continue
        by_grader.setdefault(chosen, []).append((number, row, conversation, doc))
    for chosen, group in by_grader.items():
        items = [Item(doc, split_thinking(_response(conversation))) for _, _, conversation, doc in group]
        verdicts = grade_batch(lookup("grader", chosen), items)
        for (number, row, _, doc), item, verdict in zip(group, items, verdicts, strict=True):
            found[number] = _checked(number, row, doc, item, verdict)
    yield from (found[number] for number, _ in batch)


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
