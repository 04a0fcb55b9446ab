"""Whether the intervals of landmarks, of two arms, of lengths and of the trade-off hold the truth in a simulated run.

Each function simulates one run and tells, for each interval, whether it holds: 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sftgen_train.trajectory.alignment import Floats, align
from sftgen_train.trajectory.arms import compare_arms
from sftgen_train.trajectory.landmarks import STEPS as AT_STEPS
from sftgen_train.trajectory.landmarks import landmarks, measured
from sftgen_train.trajectory.lengths import length_stages
from sftgen_train.trajectory.pairing import Samples, pair
from sftgen_train.trajectory.resampling import Interval
from sftgen_train.trajectory.simulation import STEPS, Design, draw, draw_curves
from sftgen_train.trajectory.tradeoff import TradePoint, tradeoff
from sftgen_train.trajectory.tradeoff_arms import TradePair

DRAWS = 500
"""Draws of documents: fewer than in a comparison, whose intervals are as wide but for less of chance."""
TRUNCATED = (0.0, 0.04, 0.1, 0.06, 0.02, 0.0, 0.0, 0.0, 0.0)
"""How much more is truncated than at the base, in the simulated landmarks."""
TURN = 40
"""The step at which simulated lengths turn."""
SPREAD = 0.5
"""Standard deviation of the logarithm of a document's length, between documents, and of each step on its own."""


def of_landmarks(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> dict[str, bool]:
    """Landmarks of one curve; what is truncated is drawn beside it."""
    steps = STEPS[: len(changes)]
    cut = replace(design, base=0.1, share=True)
    found = landmarks(
        draw_curves(rng, design, changes),
        truncated=draw(rng, cut, TRUNCATED[: len(changes)]),
        share=design.share,
        draws=DRAWS,
        seed=int(rng.integers(2**32)),
    )
    levels = np.concatenate([design.levels(changes), cut.levels(TRUNCATED[: len(changes)])])
    truth = _true_landmarks(levels, steps)
    return {mark.name: holds(mark.seen, truth[mark.name]) for mark in found if mark.name not in AT_STEPS}


def of_arms(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> dict[str, bool]:
    """Two arms: the first as asked for, the second 3 points higher at the end, on the same documents."""
    steps, others = STEPS[: len(changes)], (*changes[:-1], changes[-1] + 0.03)
    both = draw(rng, design, (*changes, *others))
    count = len(steps)
    names = np.arange(design.documents)
    first, second = (
        Samples(part[:, :, None], steps, names, design.clusters) for part in (both[:, :count], both[:, count:])
    )
    found = compare_arms(
        "task", [pair("task", first, second)], share=design.share, draws=2 * DRAWS, seed=int(rng.integers(2**32))
    )
    levels = [design.levels(of) for of in (changes, others)]
    apart = levels[1] - levels[0]
    one, two = (_true_landmarks(of, steps) for of in levels)
    held = {
        f"difference of {mark.name}": holds(mark.difference, two[mark.name] - one[mark.name])
        for mark in found.landmarks
        if mark.difference
    }
    points = zip(found.points, apart, strict=True)
    return {
        "differences, all steps together": all(point.low <= change <= point.high for point, change in points),
        "difference at the end": bool(found.end_low <= apart[-1] <= found.end_high),
        **held,
    }


def of_lengths(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> dict[str, bool]:
    """Lengths that grow by 600 tokens a doubling of steps until a turn, then shrink by 500."""
    steps = STEPS[: len(changes)]
    places = np.array([np.log2(step or steps[1] / 2) for step in steps])
    means = 2000 + 600 * (places - places[0]) - 1100 * np.maximum(0, places - np.log2(TURN))
    own, each = (
        np.exp(rng.normal(-(SPREAD**2) / 2, SPREAD, shape))
        for shape in ((design.documents, 1), (design.documents, len(steps)))
    )
    found = length_stages(align(means * own * each, steps), knots=1, draws=DRAWS // 2, seed=int(rng.integers(2**32)))
    if found is None:
        raise ValueError(f"{len(steps)} steps: expected enough for one knot")
    [knot], (surge, contraction) = found.knots, found.stages
    return {
        "turn": knot.low <= TURN <= knot.high,
        "surge": surge.low <= 600 <= surge.high,
        "contraction": contraction.low <= -500 <= contraction.high,
    }


def of_price(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> dict[str, bool]:
    """Reasoning gains 15 points, attack success rises by 10: the price and the joint region at the end."""
    reasoning = draw_curves(rng, design, (0.0, 0.15))
    safety = draw_curves(rng, Design("HEx-PHI", 330, 1, 0.1), (0.0, 0.1))
    found = tradeoff([reasoning], safety, draws=DRAWS, seed=int(rng.integers(2**32)))
    return {"price": found.low <= 0.1 / 0.15 <= found.high, "region": in_region(found.points[-1], 0.15, 0.2)}


def _true_landmarks(levels: Floats, steps: Sequence[int]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in measured(levels[None], steps, steps[0]).items()}


def in_region(point: TradePoint | TradePair, gain: float, asr: float) -> bool:
    """Whether the joint region of a step holds the true gain and attack success."""
    apart = np.asarray([gain - point.gain, asr - point.asr])
    return bool(apart @ np.linalg.pinv(np.asarray(point.region)) @ apart <= point.radius**2)


def holds(interval: Interval, truth: float) -> bool:
    """Whether an interval holds the truth; equal true levels differ by rounding."""
    return bool(interval.low - 1e-9 <= truth <= interval.high + 1e-9)
