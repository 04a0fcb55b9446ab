"""What came of a study: every arm over its seeds, every comparison, every claim.

The seeds of an arm are repeats of its training. A document's value at a step is its mean over the seeds, and the tests
are over documents, as for one run. They say what these trainings did; of other seeds the range over the seeds tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.records.query import open_records
from sftgen_train.report.ways import graders_differ
from sftgen_train.study.parts import Parts, Run
from sftgen_train.study.reading import StudyError, tasks_of
from sftgen_train.study.schema import Study
from sftgen_train.trajectory import Curves, Verdict, adjust_over_tasks, align, read_curve, read_group
from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.arms import ArmDifference, adjust_over_comparisons, compare_arms
from sftgen_train.trajectory.loading import TaskSamples, load_measures
from sftgen_train.trajectory.pairing import Pair, Samples, pair


@dataclass(frozen=True)
class SeedCurve:
    """One training's curve of a task.

    Attributes:
        seed: Its seed.
        steps: The steps.
        means: The mean score at each.
        verdict: What became of it.
    """

    seed: int
    steps: tuple[int, ...]
    means: tuple[float, ...]
    verdict: Verdict


@dataclass(frozen=True)
class TaskOfArm:
    """One task of an arm.

    Attributes:
        task: The task.
        group: The group of benchmarks that names it.
        verdict: Over all seeds.
        seeds: Of each seed.
    """

    task: str
    group: str
    verdict: Verdict
    seeds: tuple[SeedCurve, ...]

    def span(self, step: int) -> tuple[float, float]:
        """The lowest and the highest mean of the seeds at a step."""
        means = [curve.means[curve.steps.index(step)] for curve in self.seeds if step in curve.steps]
        return min(means), max(means)


@dataclass(frozen=True)
class ArmResult:
    """What came of an arm.

    Attributes:
        arm: Its name.
        runs: The run directories of its seeds.
        tasks: Its tasks, adjusted over these.
        groups: The groups of benchmarks with several tasks, adjusted over these.
        missing: Seeds that are not there yet, or failed.
        cautions: What a reader has to know first.
    """

    arm: str
    runs: tuple[Path, ...]
    tasks: tuple[TaskOfArm, ...]
    groups: tuple[Verdict, ...]
    missing: tuple[int, ...] = ()
    cautions: tuple[str, ...] = ()

    def verdict(self, score: str) -> Verdict | None:
        """The verdict of a task or group; of a group of one task the task's."""
        for verdict in (*(of.verdict for of in self.tasks), *self.groups):
            if verdict.name == score:
                return verdict
        of_group = [of.verdict for of in self.tasks if of.group == score]
        return of_group[0] if len(of_group) == 1 else None


@dataclass(frozen=True)
class ComparisonResult:
    """An arm beside another: differences are of the arm less the other.

    Attributes:
        arm: The arm.
        against: The other.
        tasks: Of each task.
        groups: Of each group with several tasks.
        group_of: The group of benchmarks of each task.
        why: Why tasks are not compared.
        ends: The last step of the arm, and of the other.
        at_ends: Whether each is compared where it ends; else at the last step that both have.
    """

    arm: str
    against: str
    tasks: tuple[ArmDifference, ...]
    groups: tuple[ArmDifference, ...]
    group_of: Mapping[str, str] = field(default_factory=dict)
    why: tuple[str, ...] = ()
    ends: tuple[int, int] = (0, 0)
    at_ends: bool = False

    def where(self) -> str:
        """At which steps the end is compared."""
        steps = [found.points[-1].other_step for found in self.tasks if found.points]
        if self.ends[0] == self.ends[1] or not steps:
            return "at the last step"
        ends = f"{self.arm} ends at step {self.ends[0]}, {self.against} at {self.ends[1]}"
        return f"each at its end: {ends}" if self.at_ends else f"at step {max(steps)}, the last that both have: {ends}"

    def difference(self, score: str) -> ArmDifference | None:
        """The difference in a task or group; in a group of one task the task's."""
        for found in (*self.tasks, *self.groups):
            if found.name == score:
                return found
        of_group = [found for found in self.tasks if self.group_of.get(found.name) == score]
        return of_group[0] if len(of_group) == 1 else None


@dataclass(frozen=True)
class StudyResult:
    """What came of a study.

    Attributes:
        arms: Every arm that has a run.
        comparisons: Every comparison of two such arms.
    """

    arms: tuple[ArmResult, ...]
    comparisons: tuple[ComparisonResult, ...]

    def arm(self, name: str) -> ArmResult | None:
        """An arm by name."""
        return next((arm for arm in self.arms if arm.arm == name), None)


def results_of(study: Study, parts: Parts) -> StudyResult:
    """Read what came of a study.

    Raises:
        StudyError: No run has ended.
        RecordError: The records of a run cannot be read.
    """
    groups = {one: group for group, tasks in study.benchmarks.items() for task in tasks for one in tasks_of(task)}
    pooled: dict[str, dict[str, TaskSamples]] = {}
    arms = []
    for name in study.arms:
        runs = parts.of_arm(name)
        there = [run for run in runs if run.done]
        if not there:
            continue
        found = {run.seed: _samples_of(run) for run in there}
        pooled[name] = {task: _pooled([of[task] for of in found.values() if task in of]) for task in _shared(found)}
        arms.append(_arm(study, name, groups=groups, found=found, pooled=pooled[name], runs=runs))
    if not arms:
        raise StudyError("no run of this study has ended: `sftgen study run` makes what is missing")
    pairs: dict[tuple[str, str], str] = {(each.arm, each.against): each.at for each in study.comparisons}
    for claim in study.claims:
        if claim.against:
            pairs.setdefault((claim.arm, claim.against), "shared")
    compared = [
        _compared(arm, against, pooled[arm], pooled[against], groups, at_ends=at == "end")
        for (arm, against), at in pairs.items()
        if arm in pooled and against in pooled
    ]
    return StudyResult(tuple(arms), _adjusted(compared))


def _samples_of(run: Run) -> dict[str, TaskSamples]:
    with open_records(run.folder) as records:
        return {of["score"].task: of["score"] for of in load_measures(records, ("score",)) if "score" in of}


def _shared(found: Mapping[int, Mapping[str, TaskSamples]]) -> list[str]:
    first, *others = found.values()
    return [task for task in first if all(task in other for other in others)]


def _pooled(seeds: Sequence[TaskSamples]) -> TaskSamples:
    """The answers of several trainings as repeats: documents and steps that all have, their repeats side by side."""
    first = seeds[0]
    if len(seeds) == 1:
        return first
    steps = tuple(sorted(set.intersection(*(set(of.samples.steps) for of in seeds))))
    names = sorted(set.intersection(*(set(of.samples.documents.tolist()) for of in seeds)))
    values: list[Floats] = []
    clusters: NDArray[Any] | None = None
    for of in seeds:
        places = {name: place for place, name in enumerate(of.samples.documents.tolist())}
        rows = [places[name] for name in names]
        columns = [of.samples.steps.index(step) for step in steps]
        values.append(of.samples.values[rows][:, columns])
        clusters = None if of.samples.clusters is None else of.samples.clusters[rows]
    documents = np.asarray(names, dtype=object)
    samples = Samples(np.concatenate(values, axis=2), steps, documents, clusters)
    cautions = tuple(dict.fromkeys(line for of in seeds for line in of.cautions))
    return replace(first, samples=samples, cautions=cautions, share=all(of.share for of in seeds))


def _curves(of: TaskSamples) -> Curves:
    return align(of.samples.values, of.samples.steps, clusters=of.samples.clusters)


def _arm(
    study: Study,
    name: str,
    *,
    groups: Mapping[str, str],
    found: Mapping[int, Mapping[str, TaskSamples]],
    pooled: Mapping[str, TaskSamples],
    runs: Sequence[Run],
) -> ArmResult:
    there = [run for run in runs if run.done]
    missing = tuple(run.seed for run in runs if not run.done)
    curves = {task: _curves(of) for task, of in pooled.items()}
    verdicts = adjust_over_tasks(
        [read_curve(task, curves[task], delta=study.delta, share=of.share) for task, of in pooled.items()]
    )
    of_seeds = {seed: _verdicts_of_seed(study, samples) for seed, samples in found.items()}
    tasks = tuple(
        TaskOfArm(
            verdict.name,
            groups.get(verdict.name, ""),
            verdict,
            tuple(_seed_curve(seed, of[verdict.name]) for seed, of in of_seeds.items() if verdict.name in of),
        )
        for verdict in verdicts
    )
    together = []
    for group in study.benchmarks:
        members = [curves[task] for task, of in pooled.items() if groups.get(task) == group and of.share]
        if len(members) > 1:
            together.append(read_group(group, members, delta=study.delta))
    cautions = tuple(f"{of.task}: {line}" for of in pooled.values() for line in (*of.cautions, *of.failed))
    return ArmResult(
        name, tuple(run.folder for run in there), tasks, tuple(adjust_over_tasks(together)), missing, cautions
    )


def _verdicts_of_seed(study: Study, samples: Mapping[str, TaskSamples]) -> dict[str, Verdict]:
    return {
        task: read_curve(task, _curves(of), delta=study.delta, share=of.share, draws=2000)
        for task, of in samples.items()
    }


def _seed_curve(seed: int, verdict: Verdict) -> SeedCurve:
    points = verdict.points
    return SeedCurve(seed, tuple(point.step for point in points), tuple(point.mean for point in points), verdict)


def _compared(
    arm: str,
    against: str,
    of: Mapping[str, TaskSamples],
    other: Mapping[str, TaskSamples],
    groups: Mapping[str, str],
    *,
    at_ends: bool,
) -> ComparisonResult:
    pairs: dict[str, Pair] = {}
    why = []
    for task in of:
        if task not in other:
            why.append(f"{task}: of {arm} only")
            continue
        both = [found[task].samples for found in (other, of)]
        made = pair(task, *(one.only(one.steps[-1]) if at_ends else one for one in both))
        wrong = graders_differ(other[task], of[task], made)
        if wrong:
            why.append(f"{task}: {wrong}")
        else:
            pairs[task] = made
    tasks = tuple(compare_arms(task, [made], share=of[task].share) for task, made in pairs.items())
    together = []
    for group in dict.fromkeys(groups.values()):
        members = [
            made for task, made in pairs.items() if groups.get(task) == group and of[task].share and len(made.values)
        ]
        if len(members) > 1:
            together.append(compare_arms(group, members))
    ends = [max((found.samples.steps[-1] for found in one.values()), default=0) for one in (of, other)]
    return ComparisonResult(
        arm, against, tasks, tuple(together), groups, tuple(why), ends=(ends[0], ends[1]), at_ends=at_ends
    )


def _adjusted(found: Sequence[ComparisonResult]) -> tuple[ComparisonResult, ...]:
    """Holm over all tasks of all comparisons, and over all groups of all comparisons."""
    tasks = iter(adjust_over_comparisons([task for of in found for task in of.tasks]))
    groups = iter(adjust_over_comparisons([group for of in found for group in of.groups]))

    def each() -> Iterator[ComparisonResult]:
        for of in found:
            yield replace(of, tasks=tuple(next(tasks) for _ in of.tasks), groups=tuple(next(groups) for _ in of.groups))

    return tuple(each())
