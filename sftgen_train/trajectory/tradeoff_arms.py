"""Two arms' trade-offs of reasoning and safety compared: one draw of documents serves both arms and all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import Rows, pool, rows_of
from sftgen_train.trajectory.pairing import Pair
from sftgen_train.trajectory.resampling import DRAWS, resample
from sftgen_train.trajectory.tradeoff import outline, quotient, radius_of


@dataclass(frozen=True)
class TradePair:
    """Both arms at one step.

    Attributes:
        step: The step.
        gains: Mean over reasoning tasks of the change from the base, of the first arm and of the second.
        attacks: Attack success rate of both.
        gain: Second less first.
        asr: Second less first.
        region: Covariance of these two differences, 2 x 2, see `TradePoint`.
        radius: In standard deviations.
        differ: Whether the joint 95 % region of the differences leaves out "no difference in either".
    """

    step: int
    gains: tuple[float, float]
    attacks: tuple[float, float]
    gain: float
    asr: float
    region: tuple[tuple[float, float], tuple[float, float]]
    radius: float
    differ: bool

    def outline(self, points: int = 64) -> Floats:
        """The edge of the joint region of the differences, points x (gain, asr)."""
        return outline((self.gain, self.asr), self.region, self.radius, points)


@dataclass(frozen=True)
class TradeoffPair:
    """The trade-offs of two arms.

    Attributes:
        points: Every step that both arms have for all tasks.
        tasks: Reasoning tasks.
        documents: Documents of reasoning, and of safety.
        prices: Change of attack success for each unit of reasoning gained, at the last step, of both arms.
        difference: Second price less first.
        low: Lower end of its 95 % interval (Fieller's); infinite where it has none.
        high: Upper end.
        why: Why there is no difference of prices; empty otherwise.
    """

    points: tuple[TradePair, ...]
    tasks: int
    documents: tuple[int, int]
    prices: tuple[float, float]
    difference: float
    low: float
    high: float
    why: str


def compare_tradeoffs(
    reasoning: Sequence[Pair], safety: Pair, base: int = 0, *, draws: int = DRAWS, seed: int = 0
) -> TradeoffPair:
    """Compare what reasoning cost in safety in two arms.

    The difference of two prices c / g is that of c2·g1 - c1·g2 to g1·g2, a quotient of two numbers that are near
    normal, so Fieller's interval is right for it too: it is unbounded where either gain may be 0.

    Args:
        reasoning: Scores of the reasoning tasks in both arms, each a share.
        safety: Attack success of the prompts; its documents are none of `reasoning`.
        base: The step before training.
        draws: Draws of documents, within each task.
        seed: Of the random numbers.

    Raises:
        ValueError: No tasks, no documents, or no later step that all of them share with the base.
    """
    if not reasoning:
        raise ValueError("no reasoning task: expected at least one")
    steps = tuple(sorted(set.intersection(*(set(of.steps) for of in (*reasoning, safety)))))
    if base not in steps or steps[-1] == base:
        raise ValueError(f"steps {list(steps)} of both arms: expected the base, step {base}, and a later step")
    seeds = np.random.SeedSequence(seed).generate_state(2)
    score = resample(pool([_rows(of, steps) for of in reasoning]), draws=draws, seed=int(seeds[0]))
    attack = resample(_rows(safety, steps), draws=draws, seed=int(seeds[1]))
    count, start, units = len(steps), steps.index(base), min(score.units, attack.units)
    # Draws x 2 arms x steps: the change of reasoning from the base, and attack success.
    levels, attacks = (of.means.reshape(-1, 2, count) for of in (score, attack))
    gains = levels - levels[:, :, [start]]
    seen, asr = (of.seen.reshape(2, count) for of in (score, attack))
    gain = seen - seen[:, [start]]
    radius = radius_of(units)
    points = []
    for place, step in enumerate(steps):
        apart = np.stack([of[:, 1, place] - of[:, 0, place] for of in (gains, attacks)])
        region = np.cov(apart) * units / max(1, units - 1)
        of_gain, of_asr = (float(of[1, place] - of[0, place]) for of in (gain, asr))
        (a, b), (c, d) = region.tolist()
        points.append(
            TradePair(
                step,
                (float(gain[0, place]), float(gain[1, place])),
                (float(asr[0, place]), float(asr[1, place])),
                of_gain,
                of_asr,
                ((a, b), (c, d)),
                radius,
                _outside(np.asarray([of_gain, of_asr]), region, radius),
            )
        )
    change, changes = asr[:, -1] - asr[:, start], attacks[:, :, -1] - attacks[:, :, start]
    difference, low, high, why = quotient(
        float(gain[0, -1] * gain[1, -1]),
        float(change[1] * gain[0, -1] - change[0] * gain[1, -1]),
        gains[:, 0, -1] * gains[:, 1, -1],
        changes[:, 1] * gains[:, 0, -1] - changes[:, 0] * gains[:, 1, -1],
        units=units,
    )
    if np.isfinite(low):
        why = "reasoning fell in an arm: its price is attack success a point of reasoning lost" * bool(
            gain[:, -1].min() < 0
        )
    elif units > 1:
        why = "the change of reasoning is not shown to differ from 0 in both arms"
    prices = tuple(float(c / g) if g else float("nan") for c, g in zip(change, gain[:, -1], strict=True))
    documents = (sum(len(of.values) for of in reasoning), len(safety.values))
    return TradeoffPair(tuple(points), len(reasoning), documents, (prices[0], prices[1]), difference, low, high, why)


def _rows(of: Pair, steps: tuple[int, ...]) -> Rows:
    return rows_of(of.values[:, of.columns(steps)], of.clusters)


def _outside(difference: Floats, region: Floats, radius: float) -> bool:
    """Whether 0 lies outside of the joint region; where all documents differ alike, nothing tells of others."""
    values, vectors = np.linalg.eigh(region)
    along = vectors.T @ difference
    flat = values <= 1e-15
    if not np.isfinite(radius) or (flat & (np.abs(along) > 1e-12)).any():
        return False
    return bool((along[~flat] ** 2 / values[~flat]).sum() > radius**2)
