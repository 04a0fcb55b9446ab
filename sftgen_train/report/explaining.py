"""What stands behind the verdicts of a run: parts of its changes, lengths and regime, landmarks, the cost in safety."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sftgen_judges.records.display import InNotebook, Shelf
from sftgen_judges.records.query import Document, Records, open_records
from sftgen_train.report.categories import safety_tasks
from sftgen_train.report.composition import TaskChange, TaskSafety, changes_of, safety_of, turning_pairs
from sftgen_train.report.lengths import regime_of
from sftgen_train.report.safety_cost import ATTACKS, tradeoff_of
from sftgen_train.report.trajectories import RunVerdicts, trajectory
from sftgen_train.trajectory import Curves, Stages, Verdict, align, length_stages
from sftgen_train.trajectory.churn import Churn, churn
from sftgen_train.trajectory.deltas import Deltas
from sftgen_train.trajectory.landmarks import Landmark, landmarks
from sftgen_train.trajectory.loading import TaskSamples, load_curves, load_samples
from sftgen_train.trajectory.pairing import Samples
from sftgen_train.trajectory.regime import Regime
from sftgen_train.trajectory.tradeoff import Tradeoff


@dataclass(frozen=True)
class TaskWhy:
    """What stands behind the verdict of one task.

    Attributes:
        task: The task.
        changes: What the change from the base to each later step is made of, on the documents of the verdict; empty of
            safety benchmarks.
        turns: The same from the base to the lowest step, from there to the last, and from the base to the last.
        landmarks: Every landmark of the score.
        stages: The stages of the length; None where the steps are too few.
        regime: What score and length together show; None without lengths.
        safety: Of a safety benchmark: each step among the answers that were finished.
        churn: Answers won and lost from the base to the lowest step and to the last, by these two steps; empty of
            safety benchmarks and of values that are no shares.
        repeats: Mean number of answers to a document at a step; NaN if it is unknown.
    """

    task: str
    changes: tuple[TaskChange, ...] = ()
    turns: tuple[TaskChange, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    stages: Stages | None = None
    regime: Regime | None = None
    safety: tuple[TaskSafety, ...] = ()
    repeats: float = float("nan")
    churn: tuple[tuple[tuple[int, int], Churn], ...] = ()


@dataclass(frozen=True)
class Explained(InNotebook):
    """The verdicts of a run, and what stands behind them.

    Attributes:
        verdicts: The verdicts.
        tasks: What stands behind each task's.
        tradeoff: Safety against reasoning; None without tasks of both.
        no_tradeoff: Why there is none, if tasks of both are there.
    """

    shown_by = "sftgen_train.report.notebook:of_explained"

    verdicts: RunVerdicts
    tasks: tuple[TaskWhy, ...]
    tradeoff: Tradeoff | None
    no_tradeoff: str = ""

    @cached_property
    def by_task(self) -> dict[str, TaskWhy]:
        """The same by the task's name."""
        return {why.task: why for why in self.tasks}


def explain(
    runs: str | Path | Iterable[str | Path] | Records,
    *,
    tasks: Collection[str] = (),
    measure: str = "score",
    deltas: Deltas | float | None = None,
    last: int = 1,
    complete: bool = False,
    waiting: Callable[[Path], int] | None = None,
    seed: int = 0,
    without: Collection[Document] = (),
) -> list[Explained]:
    """Read what became of the scores of runs, and what stands behind it.

    Args:
        runs: As `trajectory`, and so are all others.
        tasks: Only these tasks.
        measure: What is better when it is higher.
        deltas: The loss that does not matter.
        last: How many last steps are the end.
        complete: Whether documents that lack a repeat are left out.
        waiting: How many checkpoints of a run wait.
        seed: Of the random numbers.
        without: Documents that are left out, where `runs` are not open yet.

    Raises:
        RecordError: The records cannot be read.
        ValueError: As `trajectory`.
    """
    records = runs if isinstance(runs, Records) else open_records(runs, without=without)
    folders = [row["folder"] for row in records.runs.rows()]
    asked: dict[str, Any] = {"measure": measure, "tasks": tasks, "complete": complete, "seed": seed}
    verdicts = {"deltas": deltas, "last": last, "waiting": waiting}
    if len(folders) == 1:
        return Shelf([_explain(records, verdicts, **asked)])
    found: Shelf[Explained] = Shelf()
    for folder in folders:
        with open_records(folder, without=without) as of:
            found.append(_explain(of, verdicts, **asked))
    return found


def _explain(
    records: Records, verdicts: dict[str, Any], *, tasks: Collection[str], measure: str, complete: bool, seed: int
) -> Explained:
    [run] = trajectory(records, tasks=tasks, measure=measure, complete=complete, seed=seed, **verdicts)
    samples = {of.task: of for of in load_samples(records, measure=measure, tasks=tasks, beside=("truncated",))}
    lengths = {of.task: of.curves for of in load_curves(records, measure="tokens", tasks=tasks)}
    wanted = safety_tasks() & samples.keys()
    attacks = {of.task: of for of in load_samples(records, measure=ATTACKS, tasks=wanted)} if wanted else {}
    safety = [each for each in safety_of(records, tasks, seed=seed) if each.step is not None]
    why = tuple(
        _why(verdict, samples[verdict.name], lengths.get(verdict.name), safety, complete=complete, seed=seed)
        for verdict in run.tasks
    )
    return Explained(run, why, *tradeoff_of(samples, attacks, complete=complete, seed=seed))


def _why(
    verdict: Verdict, of: TaskSamples, length: Curves | None, safety: Iterable[TaskSafety], *, complete: bool, seed: int
) -> TaskWhy:
    curves = aligned(of.samples, complete=complete)
    judged = tuple(each for each in safety if each.task == of.task)
    if not len(curves.values):
        return TaskWhy(of.task, safety=judged)
    changes, turns = [], []
    pairs: list[tuple[int, int]] = []
    if verdict.base is not None and not judged:
        pairs = turning_pairs(curves, verdict.base)
        each = [(verdict.base, step) for step in curves.steps if step > verdict.base]
        whole = list(dict.fromkeys([*each, *pairs]))
        split = changes_of(of.task, _only(of.samples, curves), whole, steps=curves.steps, seed=seed)
        made = {(change.before, change.after): change for change in split}
        changes, turns = [made[pair] for pair in each], [made[pair] for pair in pairs]
    return TaskWhy(
        of.task,
        tuple(changes),
        tuple(turns),
        task_landmarks(of.samples, curves, of.samples.beside["truncated"], verdict.base, share=of.share, seed=seed),
        length_stages(length, seed=seed) if length is not None else None,
        regime_of(verdict, curves, length, share=of.share, seed=seed) if length is not None else None,
        judged,
        curves.repeats,
        tuple(_churned(_only(of.samples, curves), pairs, seed)) if changes and of.share else (),
    )


def _churned(of: Samples, pairs: Iterable[tuple[int, int]], seed: int) -> Iterator[tuple[tuple[int, int], Churn]]:
    """Answers won and lost since the base: what is between two later steps is no loss of training."""
    base = min((first for first, _ in pairs), default=None)
    for first, step in pairs:
        if first == base:
            a, b = (of.values[:, of.steps.index(each)] for each in (first, step))
            yield (first, step), churn(a, b, of.clusters, seed=seed)


def aligned(samples: Samples, *, complete: bool) -> Curves:
    """The documents that all steps share."""
    return align(samples.values, samples.steps, clusters=samples.clusters, complete=complete)


def _only(samples: Samples, curves: Curves) -> Samples:
    """The documents of the curves."""
    kept = curves.kept
    clusters = None if samples.clusters is None else samples.clusters[kept]
    beside = {name: numbers[kept] for name, numbers in samples.beside.items()}
    return Samples(samples.values[kept], samples.steps, samples.documents[kept], clusters, beside=beside)


def task_landmarks(
    samples: Samples, curves: Curves, truncated: Any, base: int | None, *, share: bool = True, seed: int = 0
) -> tuple[Landmark, ...]:
    """The landmarks of a task.

    Args:
        samples: Its answers.
        curves: The same, aligned.
        truncated: For each of the answers 1 where it was truncated, 0 where not; or their share. None if nobody knows.
        base: As `landmarks`.
        share: As `landmarks`.
        seed: Of the random numbers.
    """
    if not len(curves.values):
        return ()
    shares = None
    if truncated is not None:
        places = [samples.steps.index(step) for step in curves.steps]
        cut = truncated[curves.kept][:, places]
        there = np.isfinite(cut)
        if np.asarray(there.any(axis=2)).all():
            shares = np.where(there, cut, 0.0).sum(axis=2) / there.sum(axis=2)
    return landmarks(curves, base, truncated=shares, share=share, seed=seed)
