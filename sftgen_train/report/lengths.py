"""The stages of a run's response lengths, and the regime that score and length together show."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from sftgen_judges.records.journal import clean
from sftgen_judges.records.query import Records, open_records
from sftgen_train.report.trajectories import trajectory
from sftgen_train.trajectory import Curves, Verdict
from sftgen_train.trajectory.lengths import Stages, length_stages
from sftgen_train.trajectory.loading import load_curves
from sftgen_train.trajectory.regime import Regime, read_regime


@dataclass(frozen=True)
class TaskLengths:
    """One task.

    Attributes:
        task: The task.
        stages: The stages of its length; None where the steps are too few.
        regime: What score and length together show.
    """

    task: str
    stages: Stages | None
    regime: Regime


def lengths(
    run: str | Path | Records, *, tasks: Collection[str] = (), knots: int | None = None, seed: int = 0
) -> list[TaskLengths]:
    """Read stages and regime of each task of a run.

    Args:
        run: One run directory, or its open records.
        tasks: Only these; all by default.
        knots: As `length_stages`.
        seed: Of the random numbers.

    Raises:
        RecordError: The records cannot be read.
        ValueError: As `length_stages`.
    """
    records = run if isinstance(run, Records) else open_records(run)
    [found] = trajectory(records, tasks=tasks, seed=seed)
    verdicts = {verdict.name: verdict for verdict in found.tasks}
    tokens = {curve.task: curve.curves for curve in load_curves(records, measure="tokens", tasks=tasks)}
    told = []
    for curve in load_curves(records, tasks=tasks):
        verdict, length = verdicts[curve.task], tokens.get(curve.task)
        if length is not None:
            regime = regime_of(verdict, curve.curves, length, share=curve.share, seed=seed)
            told.append(TaskLengths(curve.task, length_stages(length, knots=knots, seed=seed), regime))
    return told


def regime_of(verdict: Verdict, scores: Curves, length: Curves, *, share: bool, seed: int = 0) -> Regime:
    """What score and length together show, by the verdict's own delta and fall; nothing of a run that goes on."""
    if verdict.so_far:
        return Regime("cannot tell", f"the run goes on: {verdict.so_far}")
    return read_regime(scores, length, fall=verdict.fall, delta=verdict.delta, share=share, seed=seed)


def as_json(found: list[TaskLengths]) -> str:
    """Every number; one that JSON cannot hold is null."""
    return json.dumps(clean([asdict(each) for each in found]), indent=2)
