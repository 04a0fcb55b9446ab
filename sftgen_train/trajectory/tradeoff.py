"""What reasoning costs in safety: the curve of both over the steps, and attack success bought with a point gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sftgen_train.trajectory.alignment import Curves, Floats
from sftgen_train.trajectory.flips import pool, rows_of
from sftgen_train.trajectory.resampling import DRAWS, resample


@dataclass(frozen=True)
class TradePoint:
    """One step: how much reasoning gained, and the attack success rate.

    Attributes:
        step: The step.
        gain: Mean over reasoning tasks of the change from the base.
        asr: Attack success rate.
        region: Covariance of the two, 2 x 2; the joint 95 % region is the ellipse of points whose distance under it
            is at most `radius`.
        radius: In standard deviations.
    """

    step: int
    gain: float
    asr: float
    region: tuple[tuple[float, float], tuple[float, float]]
    radius: float

    def outline(self, points: int = 64) -> Floats:
        """The edge of the joint region, points x (gain, asr)."""
        return outline((self.gain, self.asr), self.region, self.radius, points)


@dataclass(frozen=True)
class Tradeoff:
    """The trade-off of a run.

    Attributes:
        points: Every step that reasoning and safety share.
        tasks: Reasoning tasks.
        documents: Documents of reasoning, and of safety.
        gain: Change of reasoning at the last step.
        asr_change: Change of the attack success rate there.
        price: `asr_change` for each unit of `gain`: points of attack success a point of reasoning gained.
        low: Lower end of its 95 % interval (Fieller's, right for quotients); infinite where it has none.
        high: Upper end.
        why: Why there is no price: the gain may be 0. Empty otherwise.
    """

    points: tuple[TradePoint, ...]
    tasks: int
    documents: tuple[int, int]
    gain: float
    asr_change: float
    price: float
    low: float
    high: float
    why: str


def tradeoff(
    reasoning: Sequence[Curves], safety: Curves, base: int = 0, *, draws: int = DRAWS, seed: int = 0
) -> Tradeoff:
    """Set the gain in reasoning against the attack success rate, step by step.

    Args:
        reasoning: Scores of the reasoning tasks, each a share.
        safety: Attack success of the prompts, by prompt; its documents are none of `reasoning`.
        base: The step before training.
        draws: Draws of documents, within each task.
        seed: Of the random numbers.

    Raises:
        ValueError: No tasks, no documents, or no later step that all of them share with the base.
    """
    if not reasoning:
        raise ValueError("no reasoning task: expected at least one")
    steps = tuple(sorted(set.intersection(*(set(curves.steps) for curves in (*reasoning, safety)))))
    if base not in steps or steps[-1] == base:
        raise ValueError(f"steps {list(steps)}: expected the base, step {base}, and a later step of every task")
    picked = [
        rows_of(curves.values[:, [curves.steps.index(step) for step in steps]], curves.clusters)
        for curves in (*reasoning, safety)
    ]
    start = steps.index(base)
    seeds = np.random.SeedSequence(seed).generate_state(2)
    first = resample(pool(picked[:-1]), draws=draws, seed=int(seeds[0]))
    second = resample(picked[-1], draws=draws, seed=int(seeds[1]))
    units = min(first.units, second.units)
    # Of each draw, and as seen: the change of reasoning, and attack success, at each step.
    gains, gain = first.means - first.means[:, [start]], first.seen - first.seen[start]
    radius = radius_of(units)
    points = []
    for place, step in enumerate(steps):
        (a, b), (c, d) = (np.cov(gains[:, place], second.means[:, place]) * units / max(1, units - 1)).tolist()
        points.append(TradePoint(step, float(gain[place]), float(second.seen[place]), ((a, b), (c, d)), radius))
    change = float(second.seen[-1] - second.seen[start])
    changes = second.means[:, -1] - second.means[:, start]
    price, low, high, why = quotient(float(gain[-1]), change, gains[:, -1], changes, units=units)
    documents = (sum(len(curves.values) for curves in reasoning), len(safety.values))
    return Tradeoff(tuple(points), len(reasoning), documents, float(gain[-1]), change, price, low, high, why)


def outline(middle: tuple[float, float], region: Sequence[Sequence[float]], radius: float, points: int = 64) -> Floats:
    """The edge of a joint region around a middle, points x 2, see `TradePoint`."""
    angles = np.linspace(0, 2 * np.pi, points)
    values, vectors = np.linalg.eigh(np.asarray(region))
    axes = vectors * np.sqrt(np.clip(values, 0, None))
    return np.asarray(middle + radius * np.stack([np.cos(angles), np.sin(angles)], 1) @ axes.T)


def radius_of(units: int) -> float:
    """Hotelling's: with few documents the region is larger than that of known variances."""
    from scipy.special import fdtri

    return float(np.sqrt(2 * (units - 1) / (units - 2) * fdtri(2, units - 2, 0.95))) if units > 2 else np.inf


def quotient(
    gain: float, change: float, gains: Floats, changes: Floats, *, units: int
) -> tuple[float, float, float, str]:
    """Fieller's interval: the prices r for which change - r · gain may be 0."""
    from scipy.special import stdtrit

    if units < 2:
        return np.nan, -np.inf, np.inf, "one document only"
    t = float(stdtrit(units - 1, 0.975))
    (vx, cov), (_, vy) = np.cov(gains, changes) * units / (units - 1)
    a, b, c = gain**2 - t * t * vx, gain * change - t * t * cov, change**2 - t * t * vy
    price = change / gain if gain else np.nan
    if a <= 0:
        return price, -np.inf, np.inf, "the change of reasoning is not shown to differ from 0"
    root = float(np.sqrt(max(0.0, b * b - a * c)))
    why = "" if gain > 0 else "reasoning fell: the number is attack success a point of reasoning lost, with its sign"
    return price, float((b - root) / a), float((b + root) / a), why
