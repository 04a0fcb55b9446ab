"""The verdicts of a run as the first page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from sftgen_train.report.reading import short
from sftgen_train.report.trajectories import RunVerdicts
from sftgen_train.report.verdict_tables import words_of
from sftgen_train.trajectory import Verdict
from sftgen_train.viewer.naming import signed

# What is good or bad news of a score, for its colour. The word itself says the same.
_NEWS = {
    "recovered": "good", "above base": "good", "held": "good", "not recovered": "bad", "below base": "bad",
    "dips": "bad", "falls after a peak": "bad",
}  # fmt: skip


@dataclass(frozen=True)
class VerdictLine:
    """A verdict in the table.

    Attributes:
        name: Its task or group, short.
        task: The task; empty for a group.
        words: Its words, each with `good`, `bad` or nothing.
        change: Of the end from the base.
        limits: Its 95 % limits.
        documents: How many it rests on.
        sentence: All of it.
    """

    name: str
    task: str
    words: tuple[tuple[str, str], ...]
    change: str
    limits: str
    documents: int
    sentence: str


def verdict_lines(found: RunVerdicts) -> list[VerdictLine]:
    """The verdicts of tasks, then of groups."""
    groups = {id(verdict) for verdict in found.groups}
    return [_line(verdict, group=id(verdict) in groups) for verdict in found.verdicts]


def _line(verdict: Verdict, *, group: bool) -> VerdictLine:
    told = verdict.base is not None and bool(verdict.end_steps)
    return VerdictLine(
        short(verdict.name) + (f" ({verdict.tasks} tasks)" if group else ""),
        "" if group else verdict.name,
        tuple((word, _NEWS.get(word, "")) for word in words_of(verdict)),
        signed(verdict.end_change, 3) if told else "",
        f"{signed(verdict.end_low, 3)} to {signed(verdict.end_high, 3)}" if told else "",
        verdict.shared,
        verdict.sentence(),
    )
