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
from sftgen_train.report.cells import span
from sftgen_train.trajectory import Curves, align
from sftgen_train.trajectory.loading import TaskSamples, load_samples
from sftgen_train.trajectory.pairing import Samples
from sftgen_train.trajectory.parts import Among, Parts, among_finished, split_steps

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
    safety = list(safety_of(records, tasks, seed=seed))
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


def _changes(of: TaskSamples, before: int | None, after: int | None, seed: int) -> Iterable[TaskChange]:
    samples = of.samples
    first = samples.steps[0] if before is None else before
    if after is not None:
        return changes_of(of.task, samples, [(first, after)], seed=seed)
    curves = align(samples.values, samples.steps, clusters=samples.clusters)
    return changes_of(of.task, samples, turning_pairs(curves, first), steps=curves.steps, seed=seed)


def turning_pairs(curves: Curves, first: int) -> list[tuple[int, int]]:
    """The changes that matter of a curve: first step to lowest, lowest to last, first to last."""
    later = [step for step in curves.steps if step > first]
    if first not in curves.steps or not later or not len(curves.values):
        return []
    means = dict(zip(curves.steps, curves.values.mean(axis=0), strict=True))
    lowest, last = min(later, key=lambda step: (means[step], step)), later[-1]
    found = ((first, lowest), (lowest, last), (first, last))
    return [pair for pair in dict.fromkeys(found) if pair[0] != pair[1]]


def changes_of(
    task: str, samples: Samples, pairs: Sequence[tuple[int, int]], *, steps: Sequence[int] = (), seed: int = 0
) -> list[TaskChange]:
    """Split changes between steps of one task.

    Args:
        task: The task.
        samples: Its answers, with `truncated` beside.
        pairs: The steps of each change; those that the task lacks are passed over.
        steps: Documents that have a value at all of these count, by default at those of `pairs`.
        seed: Of the resampled documents.
    """
    pairs = [pair for pair in pairs if set(pair) <= set(samples.steps)]
    used = sorted({*steps, *(step for pair in pairs for step in pair)})
    places = [samples.steps.index(step) for step in used]
    scores, truncated = samples.values[:, places], samples.beside["truncated"][:, places]
    if not pairs or not np.asarray(np.isfinite(scores).any(axis=2)).all(axis=1).any():
        return []
    columns = [(used.index(one), used.index(two)) for one, two in pairs]
    found = split_steps(scores, truncated, columns, samples.clusters, seed=seed)
    return [TaskChange(task, *pair, parts) for pair, parts in zip(pairs, found, strict=True)]


def safety_of(records: Records, tasks: Collection[str] = (), *, seed: int = 0) -> Iterator[TaskSafety]:
    """Safety among finished answers, of each safety benchmark and step.

    Args:
        records: One run.
        tasks: Only these; all by default.
        seed: Of the resampled documents.

    Raises:
        RecordError: The records cannot be read.
    """
    loaded = list(load_samples(records, measure="truncated", tasks=tasks, beside=SAFETY, outside=True))
    for outside in (False, True):
        for part in (of.part(outside=outside) for of in loaded):
            if part:
                yield from _among_finished(part, seed)


def _among_finished(of: TaskSamples, seed: int) -> Iterator[TaskSafety]:
    samples = of.samples
    for measure in SAFETY:
        judged = samples.beside[measure]
        if not np.isfinite(judged).any():
            continue
        for place, step in enumerate(samples.steps):
            found = among_finished(
                judged[:, place], samples.values[:, place], samples.clusters, share=measure == "asr", seed=seed
            )
            yield TaskSafety(of.task, None if of.outside else step, measure, found)


PARTS = (("truncation", "truncation"), ("finished", "finished"), ("before_cut", "before cut"))
"""The parts of a change, with their names in tables."""


def change_rows(changes: Sequence[TaskChange]) -> Iterable[tuple[str, ...]]:
    """The cells of the table of changes: task, steps, part, its size and interval, and the factor at both steps."""
    for each in changes:
        whole = each.parts
        steps = f"{each.before} to {each.after}"
        ends = f"{whole.before:.2f} to {whole.after:.2f}"
        yield (each.task, steps, "change", f"{whole.change:+.3f}", span(whole.low, whole.high), ends)
        for field, name in PARTS:
            part = getattr(whole, field)
            ends = f"{_seen(part.before)} to {_seen(part.after)}"
            yield (each.task, "", name, f"{part.change:+.3f}", span(part.low, part.high), ends)


def _seen(value: float) -> str:
    """A factor at a step; a step at which no answer shows it has none."""
    return f"{value:.2f}" if np.isfinite(value) else "-"


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
