"""Task x step: the score of every task at every step, with what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

from sftgen_judges.records.query import Records
from sftgen_train.report.categories import trained_on
from sftgen_train.report.trajectories import mapping
from sftgen_train.results.blocks import shown_task
from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.naming import run_names, run_of
from sftgen_train.viewer.questions import metrics

METRICS = ("score", "truncated", "coverage", "response_tokens")
_TINTS = (0.02, 0.08, 0.2)
"""Changes of a share from which on a cell is tinted more."""


@dataclass(frozen=True)
class Cell:
    """A task at a step.

    Attributes:
        step: The step.
        score: Its mean; None where it was not evaluated, or the evaluation failed.
        low: Lower end of the 95 % interval.
        high: Upper end.
        docs: Documents that were asked.
        cut: Share of truncated responses.
        coverage: Share of responses that have a score.
        tokens: Mean length.
        change: From the first step.
        failed: Why the evaluation failed.
        incomplete: Whether answers are lost.
    """

    step: int
    score: float | None = None
    low: float | None = None
    high: float | None = None
    docs: int | None = None
    cut: float | None = None
    coverage: float | None = None
    tokens: float | None = None
    change: float | None = None
    failed: str = ""
    incomplete: bool = False

    @property
    def tint(self) -> str:
        """The class that says how much the score has changed."""
        if self.change is None or abs(self.change) < _TINTS[0]:
            return ""
        return ("up" if self.change > 0 else "down") + str(sum(abs(self.change) >= least for least in _TINTS))


@dataclass(frozen=True)
class Line:
    """A task in the grid.

    Attributes:
        task: The task.
        in_domain: Whether it is.
        cells: One a step of the grid.
        path: The scores as the points of a polyline in a box of 100 x 24.
    """

    task: str
    in_domain: bool
    cells: Sequence[Cell]
    path: str


def grid_page(edition: Edition, run: str) -> dict[str, Any]:
    """What the grid of a run shows.

    Raises:
        MissingError: No such run.
    """
    of = run_of(edition.outline, run)
    inside = trained_on(mapping(of.facts["manifest"]))
    lines, steps = lines_of(edition.records, of.run, inside)
    return {"of": of, "name": run_names(edition.outline)[of.run], "lines": lines, "steps": steps}


def lines_of(records: Records, run: str, in_domain: Iterable[str]) -> tuple[list[Line], list[int]]:
    """The tasks of a run with their cells, in-domain tasks first, and the steps."""
    inside = set(in_domain)
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in metrics(records, METRICS):
        if row["run"] == run:
            task, name = shown_task(row["task"]), row["metric"] if row["status"] == "ok" else "failed"
            at = found.setdefault(task, {}).setdefault(row["at_step"], {})
            at[name] = _together(at[name], row) if name in at and task != row["task"] else row
    steps = sorted({step for task in found.values() for step in task})
    lines = []
    for task in sorted(found, key=lambda task: (task not in inside, task)):
        base = next((at["score"]["mean"] for _, at in sorted(found[task].items()) if "score" in at), None)
        cells = [_cell(step, found[task].get(step, {}), base) for step in steps]
        lines.append(Line(task, task in inside, cells, polyline([cell.score for cell in cells])))
    return lines, steps


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """A metric of two blocks of a pool, which share no document; of two failures the first."""
    sizes = one["docs"] or 0, other["docs"] or 0
    if not all(sizes) or None in {one["mean"], other["mean"]}:
        return one if sizes[0] else other
    of = [(size / sum(sizes), row) for size, row in zip(sizes, (one, other), strict=True)]
    mean = sum(share * row["mean"] for share, row in of)
    low, high = (
        None
        if None in {one[end], other[end]}
        else mean + sign * hypot(*(share * (row[end] - row["mean"]) for share, row in of))
        for end, sign in (("low", -1), ("high", 1))
    )
    both = {"mean": mean, "low": low, "high": high, "docs": sum(sizes)}
    return {**one, **both, "incomplete": one["incomplete"] or other["incomplete"]}


def _cell(step: int, at: Mapping[str, Mapping[str, Any]], base: float | None) -> Cell:
    score = at.get("score")
    if score is None:
        return Cell(step, failed=str(at["failed"]["reason"] or "it failed") if "failed" in at else "")
    mean = score["mean"]
    means = {name: at[name]["mean"] if name in at else None for name in METRICS[1:]}
    return Cell(
        step,
        mean,
        score["low"],
        score["high"],
        score["docs"],
        means["truncated"],
        means["coverage"],
        means["response_tokens"],
        None if mean is None or base is None else mean - base,
        incomplete=bool(score["incomplete"]),
    )


def polyline(scores: Sequence[float | None]) -> str:
    """Scores from left to right as the points of a polyline in a box of 100 x 24; empty of less than two."""
    known = [(place, value) for place, value in enumerate(scores) if value is not None]
    if len(known) < 2:
        return ""
    least, most = min(0.0, *(value for _, value in known)), max(1.0, *(value for _, value in known))
    across, height = 96 / (len(scores) - 1), 20 / (most - least)
    return " ".join(f"{2 + place * across:.1f},{22 - (value - least) * height:.1f}" for place, value in known)
