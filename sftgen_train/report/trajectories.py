"""The verdicts of a run: of every task, and of the groups that it evaluates several tasks of."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from sftgen_judges.records.display import InNotebook, Shelf
from sftgen_judges.records.query import Records, open_records
from sftgen_train.evaluation.schedule import Tier
from sftgen_train.report.categories import groups_of, undeclared
from sftgen_train.results.training_file import read_training
from sftgen_train.trajectory import Verdict, adjust_over_tasks, read_curve, read_group
from sftgen_train.trajectory.deltas import Deltas, deltas_of
from sftgen_train.trajectory.loading import TaskCurve, load_curves
from sftgen_train.trajectory.so_far import Progress, so_far

_MOST_STEPS = 100_000
"""A run that says it has more is not asked for each of its steps which tasks are due."""


@dataclass(frozen=True)
class RunVerdicts(InNotebook):
    """What became of the scores of a run.

    Attributes:
        run: The run's id.
        folder: Its folder.
        tasks: A verdict for each task, adjusted over these tasks.
        groups: A verdict for each group of at least two tasks, adjusted over these groups.
        cautions: What a reader has to know first, task by task.
        failures: Steps whose evaluation failed, task by task.
    """

    shown_by = "sftgen_train.report.notebook:of_verdicts"

    run: str
    folder: str
    tasks: tuple[Verdict, ...]
    groups: tuple[Verdict, ...]
    cautions: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of tasks and groups."""
        return (*self.tasks, *self.groups)


def trajectory(
    runs: str | Path | Iterable[str | Path] | Records,
    *,
    tasks: Collection[str] = (),
    measure: str = "score",
    deltas: Deltas | float | None = None,
    last: int = 1,
    complete: bool = False,
    waiting: Callable[[Path], int] | None = None,
    seed: int = 0,
) -> list[RunVerdicts]:
    """Read what became of the scores of one run or several.

    Args:
        runs: Run directories, or open records.
        tasks: Only these tasks; all by default.
        measure: What is better when it is higher: `score`, `paper`, or a measure of a benchmark. Groups are made of
            shares only.
        deltas: The loss that does not matter; by default what the run's manifest names, else 0.02.
        last: How many last steps are the end: 1 or 2.
        complete: Whether documents that lack a repeat somewhere are left out.
        waiting: How many checkpoints of a run wait, if it goes on.
        seed: Of the random flips.

    Raises:
        RecordError: The records cannot be read.
        ValueError: `last` is neither 1 nor 2.
    """
    records = runs if isinstance(runs, Records) else open_records(runs)
    given = Deltas(deltas) if isinstance(deltas, float | int) else deltas
    curves = load_curves(records, measure=measure, tasks=tasks, complete=complete)
    rows = records.runs.rows()
    if records is not runs:
        records.close()  # its memory is not needed any more
    found: Shelf[RunVerdicts] = Shelf()
    for row in rows:
        of_run = [curve for curve in curves if curve.folder == row["folder"]]
        manifest = mapping(row["manifest"])
        known = waiting(Path(row["folder"])) if waiting else None
        asked = _Asked(manifest, row["folder"], given or deltas_of(manifest), last, seed, known)
        found.append(_read_run(row["run"], of_run, asked))
    return found


@dataclass(frozen=True)
class _Asked:
    manifest: Mapping[str, Any]
    folder: str
    deltas: Deltas
    last: int
    seed: int
    waiting: int | None

    def finish(self, verdict: Verdict, tasks: Sequence[TaskCurve]) -> Verdict:
        """The verdict, or what can be said of it so far."""
        step = min((curve.curves.steps[-1] for curve in tasks if curve.curves.steps), default=0)
        of = last_step(self.manifest, Path(self.folder))
        if of is None or step >= of:
            return verdict
        steps = sorted({each for curve in tasks for each in curve.curves.steps})
        planned = _planned(self.manifest, of, steps)
        progress = Progress(step, of, planned, self.waiting)
        return so_far(verdict, [curve.curves for curve in tasks], progress)


def chosen_steps(manifest: Mapping[str, Any]) -> list[str]:
    """That steps of a run were chosen after looking at its scores, and why each was."""
    found = manifest.get("chosen_steps")
    why = [f"step {step} ({reason})" for step, reason in found.items()] if isinstance(found, dict) else []
    told = f"chosen after looking, where a score or a length had moved most: {'; '.join(why)}"
    return [f"{told}. The test of a dip holds its level with them (docs/training.md)"] if why else []


def _read_run(run: str, curves: Sequence[TaskCurve], asked: _Asked) -> RunVerdicts:
    own = []
    for curve in curves:
        delta = asked.deltas.of(curve.task)
        verdict = read_curve(curve.task, curve.curves, delta=delta, last=asked.last, share=curve.share, seed=asked.seed)
        own.append(asked.finish(verdict, [curve]))
    groups, cautions = [], [f"{curve.task}: {caution}" for curve in curves for caution in curve.cautions]
    last = max((step for curve in curves for step in curve.curves.steps), default=0)
    if curves and (unknown := end_unknown(asked.manifest, Path(asked.folder), last)):
        cautions.append(unknown)
    cautions += chosen_steps(asked.manifest)
    cautions += undeclared([curve.task for curve in curves], asked.manifest)
    failures = tuple(f"{curve.task}: {failure}" for curve in curves for failure in curve.failures)
    for name, members in _groups(curves, asked.manifest):
        chosen, doubled = apart([curve for curve in members if curve.share])
        cautions += [
            f"{name}: {curve.task} is left out of the group: its values are no shares"
            for curve in members
            if not curve.share
        ]
        cautions += [f"{name}: {caution}" for caution in doubled]
        if len(chosen) > 1:
            verdict = read_group(
                name,
                [curve.curves for curve in chosen],
                delta=asked.deltas.of(name),
                last=asked.last,
                seed=asked.seed,
            )
            groups.append(asked.finish(verdict, chosen))
    return RunVerdicts(
        run, asked.folder, tuple(adjust_over_tasks(own)), tuple(adjust_over_tasks(groups)), tuple(cautions), failures
    )


def _groups(curves: Sequence[TaskCurve], manifest: Mapping[str, Any]) -> list[tuple[str, list[TaskCurve]]]:
    found = groups_of({curve.task for curve in curves}, manifest)
    return [(name, [curve for curve in curves if curve.task in tasks]) for name, tasks in found.items()]


class WithDocuments(Protocol):
    """A task, and the documents of its values."""

    @property
    def task(self) -> str:
        """The task."""

    @property
    def documents(self) -> NDArray[Any]:
        """Their hashes."""


Of = TypeVar("Of", bound=WithDocuments)


def apart(curves: Sequence[Of]) -> tuple[list[Of], list[str]]:
    """Tasks that share no document: of two names of one task the larger sample counts."""
    chosen: list[Of] = []
    said = []
    for curve in sorted(curves, key=lambda curve: -len(curve.documents)):
        documents = set(curve.documents)
        same = next((other for other in chosen if documents & set(other.documents)), None)
        if same:
            said.append(
                f"{curve.task} ({len(curve.documents)} documents) shares documents with {same.task} "
                f"({len(same.documents)}) and is left out of the group"
            )
        else:
            chosen.append(curve)
    kept = {curve.task for curve in chosen}
    return [curve for curve in curves if curve.task in kept], said


def last_step(manifest: Mapping[str, Any], folder: Path) -> int | None:
    """The last step that will be evaluated; None where nobody planned one."""
    # A training may end earlier than was planned.
    for step in (read_training(folder).get("ended"), manifest.get("max_steps")):
        if isinstance(step, int) and not isinstance(step, bool) and step > 0:
            return step
    return None


def end_unknown(manifest: Mapping[str, Any], folder: Path, step: int) -> str:
    """That nobody knows whether a watched training has ended; empty where it is known, or there is none.

    Args:
        manifest: The run's.
        folder: The run directory.
        step: The last step that was evaluated.
    """
    if manifest.get("evaluation") != "watch" or last_step(manifest, folder) is not None:
        return ""
    return (
        f"the end of the training is not known: step {step} is taken for it, and tests and limits are for one look; "
        "`sftgen watch ... --last-step N` names it"
    )


def _planned(manifest: Mapping[str, Any], of: int, evaluated: Sequence[int]) -> int:
    """How many steps after the base are evaluated in all; the intervals of a live run are for all of them.

    Where no schedule tells, checkpoints may go on to come as close together as any did.
    """
    steps = {of}
    schedule = manifest.get("schedule")
    if not isinstance(schedule, list):
        apart = min((b - a for a, b in pairwise(evaluated)), default=of)
        return min(_MOST_STEPS, max(1, -(-of // max(1, apart))))
    for given in schedule:
        try:
            tier = Tier(given["tasks"], schedule=given["when"])
        except Exception:  # a plugin's schedule that is not installed here, or damage
            continue
        steps |= {step for step in range(1, min(of, _MOST_STEPS)) if tier.due(step)}
    return len(steps)


def mapping(text: Any) -> dict[str, Any]:
    """A JSON object, or none."""
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
