"""A verdict: what is claimed of a curve, with every number that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sftgen_train.trajectory.alignment import LeftOut
from sftgen_train.trajectory.noise import Noise
from sftgen_train.trajectory.settling import Needed

End = Literal["above base", "recovered", "held", "not recovered", "below base", "cannot tell"]
Claim = Literal["dips", "above base", "recovered", "held", "not recovered", "below base", "falls after a peak"]

SIGNIFICANCE = 0.05
"""What is shown has a p-value of at most this."""
DELTA = 0.02
"""The loss that does not matter, unless another is named before: 2 points of 100."""


def first_shown(p: Mapping[Claim, float]) -> End:
    """The word about the end: of the claims that are shown, the one that says most."""
    order: tuple[End, ...] = ("above base", "recovered", "held", "not recovered", "below base")
    shown = {str(claim) for claim, value in p.items() if value <= SIGNIFICANCE}
    return next((word for word in order if word in shown), "cannot tell")


@dataclass(frozen=True)
class Point:
    """One step of a curve. Changes are from the base; without a base they are NaN.

    Attributes:
        step: The step.
        documents: Documents that have a value there; the verdict rests on those that all steps share.
        mean: Mean over the shared documents.
        low: Lower end of the band of the means.
        high: Upper end.
        change: Mean change.
        change_low: Lower end of the band of the changes.
        change_high: Upper end.
        t: The change in standard errors.
        p: Adjusted p-value for a fall (single-step), over all steps.
        p_step_down: The same, step-down.
        p_paired: Paired t with Holm.
    """

    step: int
    documents: int
    mean: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float
    t: float
    p: float
    p_step_down: float
    p_paired: float


@dataclass(frozen=True)
class Fall:
    """A fall from a peak after the base, that is more than the way into a dip.

    Attributes:
        peak: The step of the peak.
        step: The later step that is below it.
        change: Mean change between them.
        p: Adjusted p-value, over all pairs of steps after the base.
        at_end: Whether the last step too is shown to be below this peak.
    """

    peak: int
    step: int
    change: float
    p: float
    at_end: bool


@dataclass(frozen=True)
class Verdict:
    """What became of one task's, or group's, score.

    Attributes:
        name: The task or group.
        points: The steps.
        base: The step of the base; None without one.
        shared: Documents that all steps share.
        clusters: Independent units among them.
        tasks: Tasks of a group; 1 for a task.
        delta: The loss that does not matter.
        dips: Steps that are shown to be below the base, ascending.
        rises: Steps that are shown to be above the base, by the same test.
        lowest: The lowest step after the base.
        lowest_change: Its mean change.
        end: The verdict about the end.
        why: Why it cannot be told, empty otherwise.
        end_steps: The step, or the last two, that are the end.
        end_mean: The mean there.
        end_change: Mean change from the base; NaN without a base.
        end_low: Its lower 95 % limit.
        end_high: Its upper 95 % limit.
        smallest_delta: The smallest delta with which the end would not be called worse than the base.
        above_lowest: p-value for "the end is above the lowest step", which was chosen by looking.
        needed: What would settle a `cannot tell`; None if nothing is open or nothing is known.
        fall: A fall from a peak, if it is shown.
        noise: Noise of sampling and between checkpoints.
        p: p-value of every claim.
        over_tasks: p-value of every claim after Holm's adjustment over tasks, see `adjust_over_tasks`.
        exact: Whether all flips were taken.
        left_out: What the verdict does not rest on.
        so_far: How far a run is that goes on; empty at its end. While it goes on, the intervals of changes are
            anytime-valid, a step dips where its interval is below 0, and nothing is said of the end.
    """

    name: str
    points: tuple[Point, ...]
    base: int | None
    shared: int
    clusters: int
    delta: float
    end: End
    why: str
    tasks: int = 1
    dips: tuple[int, ...] = ()
    rises: tuple[int, ...] = ()
    lowest: int | None = None
    lowest_change: float = float("nan")
    end_steps: tuple[int, ...] = ()
    end_mean: float = float("nan")
    end_change: float = float("nan")
    end_low: float = float("nan")
    end_high: float = float("nan")
    smallest_delta: float = float("nan")
    above_lowest: float = 1.0
    needed: Needed | None = None
    fall: Fall | None = None
    noise: Noise | None = None
    p: Mapping[Claim, float] = field(default_factory=dict)
    over_tasks: Mapping[Claim, float] = field(default_factory=dict)
    exact: bool = False
    left_out: tuple[LeftOut, ...] = ()
    so_far: str = ""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim that is shown for this task alone."""
        return tuple(claim for claim, p in self.p.items() if p <= SIGNIFICANCE)

    @property
    def claims_over_tasks(self) -> tuple[Claim, ...]:
        """Those that stand in a sentence about all tasks together."""
        return tuple(claim for claim, p in self.over_tasks.items() if p <= SIGNIFICANCE)

    def sentence(self) -> str:
        """The verdict in one sentence, with its numbers."""
        parts = []
        if self.dips:
            low = min((point for point in self.points if point.step in self.dips), key=lambda point: point.change)
            steps = ("step " if len(self.dips) == 1 else "steps ") + ", ".join(map(str, self.dips))
            how = "anytime-valid" if self.so_far else f"p {p_text(low.p_step_down)}"
            parts.append(f"dips at {steps} (deepest {low.change:+.3f} at step {low.step}, {how})")
        elif self.base is not None and len(self.points) > 1:
            parts.append("no dip shown")
        if self.fall:
            parts.append(
                f"falls after a peak ({self.fall.change:+.3f} from step {self.fall.peak} to {self.fall.step}, "
                f"p {p_text(self.fall.p)})"
            )
        if self.so_far:
            if self.base is not None and len(self.points) > 1:
                last = self.points[-1]
                parts.append(
                    f"change {last.change:+.3f}, anytime-valid 95 % interval {last.change_low:+.3f} to "
                    f"{last.change_high:+.3f}"
                )
            return "; ".join([self.so_far, *parts])
        end: str = self.end
        if self.end_steps and self.base is not None:
            end += f" ({self.end_change:+.3f}, 95 % limits {self.end_low:+.3f} and {self.end_high:+.3f}"
            end += f", delta {self.delta:g})"
        if self.why:
            end += f": {self.why}"
        if self.needed:
            end += f"; {self.needed.sentence()}"
        return "; ".join([*parts, end])


def p_text(value: float) -> str:
    """A p-value as text."""
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"
