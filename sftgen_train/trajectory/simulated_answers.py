"""Whether intervals of answers, of parts of a change and of two arms with two kinds of tasks hold what is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations

import numpy as np
from scipy.special import expit

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.arms import compare_arms
from sftgen_train.trajectory.iso_id import equal_in_domain
from sftgen_train.trajectory.pairing import Pair, Samples, pair
from sftgen_train.trajectory.parts import split
from sftgen_train.trajectory.simulated_intervals import DRAWS, holds, in_region
from sftgen_train.trajectory.simulation import ABILITY, STEP_NOISE, STEPS, Design, draw, shifts
from sftgen_train.trajectory.tradeoff_arms import compare_tradeoffs

TRUNCATED, FINISHED, CUT = (0.1, 0.4), (0.55, 0.45), (0.1, 0.2)
"""Before and after: the share of truncated answers, the scores of finished answers, and of truncated ones."""
SAFETY = Design("HEx-PHI", 330, 1, 0.1)
"""Attack success, the other side of a trade-off."""


def of_answers(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> dict[str, bool]:
    """Two models that answer the same documents: won and lost beyond chance, and pass@k."""
    levels = shifts(design.levels(changes))
    ability = rng.normal(0, ABILITY, (design.documents, 1))
    rates = expit(ability + rng.normal(0, STEP_NOISE, (design.documents, 2)) + levels)
    answers = (rng.random((design.documents, design.repeats, 2)) < rates[:, None]).astype(np.float64)
    first, second = (Samples(answers[:, None, :, arm], (STEPS[1],), np.arange(design.documents)) for arm in range(2))
    found = compare_arms("task", [pair("task", first, second)], draws=2 * DRAWS, seed=int(rng.integers(2**32)))
    churn, passed = found.churn, found.passes[-1]
    if churn is None:
        raise ValueError(f"{design.repeats} answers to each of {design.documents} documents: expected shares")
    lost = _expected(lambda p, q: p * (1 - q), levels)
    won = _expected(lambda p, q: q * (1 - p), levels)
    by_chance = _expected(lambda p, _: p * (1 - p), levels[[0, 0]], same=True)
    more = [_expected(lambda p, _: 1 - (1 - p) ** design.repeats, levels[[arm, arm]], same=True) for arm in range(2)]
    return {
        "lost": holds(churn.lost, lost),
        "excess churn": holds(churn.excess, won + lost - 2 * by_chance),
        "difference of pass@k": holds(passed.difference, more[1] - more[0]),
    }


def of_parts(rng: np.random.Generator, design: Design, _: Sequence[float]) -> dict[str, bool]:
    """A change of score, of which truncation is a part; what is truncated does not depend on how hard a document is."""
    levels = np.concatenate([TRUNCATED, FINISHED, CUT])
    shape = (design.documents, len(levels), design.repeats)
    kinds = rng.normal(0, ABILITY, (design.documents, 2))[:, [0, 0, 1, 1, 1, 1]]
    rates = expit(kinds + rng.normal(0, STEP_NOISE, shape[:2]) + shifts(levels))
    hits = rng.random(shape) < rates[:, :, None]
    cut = hits[:, :2]
    found = split(np.where(cut, hits[:, 4:], hits[:, 2:4]), cut, draws=DRAWS, seed=int(rng.integers(2**32)))
    factors = (found.truncation, found.finished, found.before_cut)
    names = ("part by truncation", "part by finished answers", "part by answers before the cut")
    truth = _shares_of_change(*(np.asarray(each) for each in (TRUNCATED, FINISHED, CUT)))
    return {
        name: bool(factor.low <= part <= factor.high) for name, factor, part in zip(names, factors, truth, strict=True)
    }


def of_prices(rng: np.random.Generator, design: Design, _: Sequence[float]) -> dict[str, bool]:
    """Two arms: reasoning gains 15 and 20 points, attack success rises by 10 and 5."""
    reasoning = _arms(draw(rng, design, (0.0, 0.15, 0.0, 0.2)))
    safety = _arms(draw(rng, SAFETY, (0.0, 0.1, 0.0, 0.05)))
    found = compare_tradeoffs([reasoning], safety, draws=DRAWS, seed=int(rng.integers(2**32)))
    return {
        "difference of prices": found.low <= 0.05 / 0.2 - 0.1 / 0.15 <= found.high,
        "joint region of the differences": in_region(found.points[-1], 0.05, -0.05),
    }


def of_equal_in_domain(rng: np.random.Generator, design: Design, _: Sequence[float]) -> dict[str, bool]:
    """Two arms that reach an in-domain score at other times, and have other scores elsewhere when they do."""
    home, away = ((0.0, 0.1, 0.2), (0.0, 0.05, 0.15)), ((0.0, -0.06, 0.0), (0.0, -0.04, 0.06))
    other = Design("GPQA-Diamond", 198, 3, 0.375)
    inside, outside = (_arms(draw(rng, of, sum(both, ()))) for of, both in ((design, home), (other, away)))
    gains = np.asarray([0.03, 0.06, 0.09])
    found = equal_in_domain(
        [inside], [outside], levels=(design.base + gains).tolist(), draws=DRAWS, seed=int(rng.integers(2**32))
    )
    truth = np.interp(gains, home[1], away[1]) - np.interp(gains, home[0], away[0])
    return {
        "differences at equal in-domain score, all together": all(
            # A level that not nearly every draw reaches is given no interval.
            np.isnan(level.difference.low) or holds(level.difference, apart)
            for level, apart in zip(found.levels, truth, strict=True)
        )
    }


def _arms(both: Floats) -> Pair:
    """Documents x steps of the first arm, then of the second."""
    count = both.shape[1] // 2
    parts = (both[:, :count, None], both[:, count:, None])
    return pair("task", *(Samples(part, STEPS[:count], np.arange(len(both))) for part in parts))


def _expected(of: Callable[[Floats, Floats], Floats], levels: Floats, *, same: bool = False) -> float:
    """The mean over documents of a function of both rates; `same` is whether they are one rate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    ability, one, two = np.meshgrid(ABILITY * nodes, STEP_NOISE * nodes, STEP_NOISE * nodes, indexing="ij")
    p = expit(ability + one + levels[0])
    q = p if same else expit(ability + two + levels[1])
    return float(np.einsum("abc,a,b,c->", of(p, q), weights, weights, weights))


def _shares_of_change(*factors: Floats) -> Floats:
    """What each of three factors brings to the change, averaged over the orders in which they can change."""
    found = np.zeros(3)
    orders = list(permutations(range(3)))
    for order in orders:
        values = [[each[int(place in order[:changed])] for place, each in enumerate(factors)] for changed in range(4)]
        scores = [(1 - t) * finished + t * cut for t, finished, cut in values]
        for place, (before, after) in zip(order, pairwise(scores), strict=True):
            found[place] += (after - before) / len(orders)
    return found
