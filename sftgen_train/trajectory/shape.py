"""Reading a run as a trajectory: did a task's score fall, and did it come back?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sftgen_train.trajectory.statistics import Change, change, holm

Shape = Literal["did not fall", "fell and recovered", "fell and recovered in part", "fell and did not recover"]
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Trajectory:
    """What became of one task's score.

    Attributes:
        task: The task.
        shape: What the score did.
        base: Score at the first step.
        lowest: Score at the lowest step.
        lowest_step: That step.
        last: Score at the last step.
        last_step: That step.
        rose: Whether the last score is clearly above the first.
    """

    task: str
    shape: Shape
    base: float
    lowest: float
    lowest_step: int
    last: float
    last_step: int
    rose: bool

    def sentence(self) -> str:
        """The reading in one sentence, with its numbers."""
        numbers = f"{self.base:.2f} at the start, {self.last:.2f} at step {self.last_step}"
        if self.shape == "did not fall":
            return f"did not fall{' and rose' if self.rose else ''} ({numbers})"
        low = f"lowest {self.lowest:.2f} at step {self.lowest_step}"
        above = ", now above the start" if self.rose else ""
        return f"{self.shape}{above} ({low}; {numbers})"


def read_trajectory(task: str, scores: Mapping[int, Mapping[str, float]]) -> Trajectory:
    """Read one task's scores.

    Every comparison is paired by document (exact sign test) and adjusted by Holm for the number of
    steps. "Fell": some step is clearly below the first. "Recovered": the last step is not clearly below the
    first. "In part": the last step is clearly below the first and clearly above the lowest.

    Args:
        task: The task.
        scores: Step -> document -> score, at least two steps.

    Raises:
        ValueError: Fewer than two steps.
    """
    steps = sorted(scores)
    if len(steps) < 2:
        raise ValueError(f"{task}: a trajectory needs two steps, got {steps}")
    first, last = steps[0], steps[-1]
    means = {step: fmean(scores[step].values()) for step in steps}
    lowest = min(steps, key=lambda step: (means[step], step))
    changes = [_paired(scores[first], scores[step]) for step in steps[1:]]
    adjusted = dict(zip(steps[1:], holm([found.p for found in changes]), strict=True))
    differences = dict(zip(steps[1:], (found.difference for found in changes), strict=True))
    fell = {step for step in steps[1:] if adjusted[step] < SIGNIFICANCE and differences[step] < 0}
    rose = adjusted[last] < SIGNIFICANCE and differences[last] > 0
    # The lowest step was chosen among several, so its p-value is multiplied by their number.
    back = _paired(scores[lowest], scores[last])
    came_back = back.difference > 0 and back.p * len(changes) < SIGNIFICANCE
    shape: Shape
    if not fell:
        shape = "did not fall"
    elif last not in fell:
        shape = "fell and recovered"
    elif came_back:
        shape = "fell and recovered in part"
    else:
        shape = "fell and did not recover"
    return Trajectory(task, shape, means[first], means[lowest], lowest, means[last], last, rose)


def _paired(before: Mapping[str, float], after: Mapping[str, float]) -> Change:
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return Change(0.0, 1.0)
    return change([before[doc] for doc in shared], [after[doc] for doc in shared])
