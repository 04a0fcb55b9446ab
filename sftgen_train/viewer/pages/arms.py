"""Arms: several runs side by side, task by task and step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.naming import run_names
from sftgen_train.viewer.pages.grid import Cell, lines_of, polyline


@dataclass(frozen=True)
class ArmsOfTask:
    """A task in every run.

    Attributes:
        task: The task.
        steps: The steps that any of them has.
        rows: Id of a run, its cell at each step, None where it lacks the step, and the scores as points of a polyline.
    """

    task: str
    steps: Sequence[int]
    rows: Sequence[tuple[str, Sequence[Cell | None], str]]


def arms_page(edition: Edition, task: str) -> dict[str, Any]:
    """What the comparison of runs shows; one task, or all that several runs have."""
    names = run_names(edition.outline)
    lines = {run: {line.task: line for line in lines_of(edition.records, run, ())[0]} for run in names}
    every = sorted({name for of in lines.values() for name in of})
    shared = [name for name in every if sum(name in of for of in lines.values()) > 1]
    found = []
    for name in [task] if task in every else shared:
        cells = {run: {cell.step: cell for cell in of[name].cells} if name in of else {} for run, of in lines.items()}
        steps = sorted({step for of in cells.values() for step, cell in of.items() if cell.score is not None})
        rows = [(run, [cells[run].get(step) for step in steps]) for run in names]
        lined = [(run, of, polyline([cell.score if cell else None for cell in of])) for run, of in rows]
        found.append(ArmsOfTask(name, steps, lined))
    return {"names": names, "tasks": shared, "chosen": task, "found": found, "alone": len(names) < 2}
