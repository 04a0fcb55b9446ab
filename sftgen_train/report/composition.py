"""What the changes of a run's scores are made of, and its safety among the answers that were finished."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.journal import clean
from sftgen_judges.records.query import Records, open_records
from sftgen_train.trajectory import align
from sftgen_train.trajectory.loading import TaskSamples, load_samples
from sftgen_train.trajectory.pairing import Samples
from sftgen_train.trajectory.parts import Among, Parts, among_finished, split

SAFETY = ("asr", "harmfulness")
"""Measures of safety benchmarks, for which less is better; their `score` counts truncated answers as unsafe."""


class StepError(SftgenError, ValueError):
    """A step that was not evaluated."""


@dataclass(frozen=True)
class TaskChange:
    """The change of one task's score between two steps.

    Attributes:
        task: The task.
        before: The first step.
        after: The second.
        parts: What the change is made of.
    """

    task: str
    before: int
    after: int
    parts: Parts


@dataclass(frozen=True)
class TaskSafety:
    """Safety of one task at one step, among the answers that were finished.

    Attributes:
        task: The task.
        step: The step; None for an evaluation outside training.
        measure: `asr` or `harmfulness`.
        found: Its mean, with truncation beside it.
    """

    task: str
    step: int | None
    measure: str
    found: Among


@dataclass(frozen=True)
class Composition:
    """What the changes of a run are made of.

    Attributes:
        run: The run's id.
        changes: Of each task that is no safety benchmark: the changes that were asked for.
        safety: Of each safety benchmark and step.
    """

    run: str
    changes: tuple[TaskChange, ...]
    safety: tuple[TaskSafety, ...]


def composition(
    run: str | Path | Records,
    *,
    tasks: Collection[str] = (),
    measure: str = "score",
    before: int | None = None,
    after: int | None = None,
    seed: int = 0,
) -> Composition:
    """Split the changes of a run's scores into truncation, finished answers and answers before the cut.

    Args:
        run: One run directory, or its open records.
        tasks: Only these tasks; all by default.
        measure: What is split: `score`, `paper`, or another share or mean.
        before: The first step; by default the base, step 0 or the first.
        after: The second step; by default the lowest and the last, each from the base, and the last from the lowest.
        seed: Of the resampled documents.

    Raises:
        RecordError: The records cannot be read.
        StepError: No task has a value at a step that was named.
    """
    records = run if isinstance(run, Records) else open_records(run)
    safety = list(_safety(records, tasks, seed))
    named = {each.task for each in safety}
    loaded = [
        each
        for each in load_samples(records, measure=measure, tasks=tasks, beside=("truncated",))
        if each.task not in named
    ]
    steps = {step for each in loaded for step in each.samples.steps}
    for step in (before, after):
        if step is not None and step not in steps:
            raise StepError(f"step {step} was not evaluated; expected one of {', '.join(map(str, sorted(steps)))}")
    changes = tuple(change for each in loaded for change in _changes(each, before, after, seed))
    [row] = records.runs.rows()
    return Composition(row["run"], changes, tuple(safety))


def as_json(found: Composition) -> str:
    """Every number; one that JSON cannot hold is null."""
    return json.dumps(clean(asdict(found)), indent=2)


def _changes(of: TaskSamples, before: int | None, after: int | None, seed: int) -> Iterator[TaskChange]:
    samples = of.samples
    for one, two in _pairs(samples, before, after):
        places = [samples.steps.index(step) for step in (one, two)]
        scores, truncated = samples.values[:, places], samples.beside["truncated"][:, places]
        if np.asarray(np.isfinite(scores).any(axis=2)).all(axis=1).any():
            yield TaskChange(of.task, one, two, split(scores, truncated, samples.clusters, seed=seed))


def _pairs(samples: Samples, before: int | None, after: int | None) -> list[tuple[int, int]]:
    first = samples.steps[0] if before is None else before
    if first not in samples.steps or (after is not None and after not in samples.steps):
        return []
    if after is not None:
        return [(first, after)]
    curves = align(samples.values, samples.steps)
    later = [step for step in curves.steps if step > first]
    if not later or not len(curves.values):
        return []
    means = dict(zip(curves.steps, curves.values.mean(axis=0), strict=True))
    lowest, last = min(later, key=lambda step: (means[step], step)), later[-1]
    found = ((first, lowest), (lowest, last), (first, last))
    return [pair for pair in dict.fromkeys(found) if pair[0] != pair[1]]


def _safety(records: Records, tasks: Collection[str], seed: int) -> Iterator[TaskSafety]:
    loaded = list(load_samples(records, measure="truncated", tasks=tasks, beside=SAFETY, outside=True))
    for outside in (False, True):
        for part in (of.part(outside=outside) for of in loaded):
            if part:
                yield from _safety_of(part, seed)


def _safety_of(of: TaskSamples, seed: int) -> Iterator[TaskSafety]:
    samples = of.samples
    for measure in SAFETY:
        judged = samples.beside[measure]
        if not np.isfinite(judged).any():
            continue
        for place, step in enumerate(samples.steps):
            found = among_finished(judged[:, place], samples.values[:, place], samples.clusters, seed=seed)
            yield TaskSafety(of.task, None if of.outside else step, measure, found)


def change_rows(changes: Sequence[TaskChange]) -> Iterable[tuple[str, ...]]:
    """The cells of the table of changes: task, steps, n, change, and the three parts with their intervals."""
    for each in changes:
        parts = each.parts
        factors = (parts.truncation, parts.finished, parts.before_cut)
        yield (
            each.task, f"{each.before} to {each.after}", str(parts.documents),
            f"{parts.change:+.3f}\n{parts.low:+.3f} to {parts.high:+.3f}",
            *(f"{of.change:+.3f}\n{of.low:+.3f} to {of.high:+.3f}" for of in factors),
            f"{parts.truncation.before:.0%} to {parts.truncation.after:.0%}",
        )  # fmt: skip


def safety_rows(safety: Sequence[TaskSafety]) -> Iterable[tuple[str, ...]]:
    """The cells of the table of safety: task, step, measure, mean with interval, answers, truncated share."""
    for each in safety:
        found = each.found
        digits = 3 if each.measure == "asr" else 2
        yield (
            each.task, "-" if each.step is None else str(each.step), each.measure,
            f"{found.mean:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})", str(found.answers),
            f"{found.truncated:.0%} ({found.truncated_low:.0%} to {found.truncated_high:.0%})",
        )  # fmt: skip
