"""Stages of the response length: a continuous piecewise-linear fit on log2(step), knots with intervals.

The base, step 0, has no logarithm: it stands one doubling before the first step.

    stages = length_stages(curves)  # values: tokens
    stages.knots[0].step, stages.stages[0].kind
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from sftgen_train.trajectory.alignment import Curves, Floats, Integers
from sftgen_train.trajectory.flips import rows_of
from sftgen_train.trajectory.resampling import FEWER, percentiles, resample

Kind = Literal["surge", "contraction", "no change shown"]
FEWEST_STEPS = (3, 5, 7)
"""Steps that a fit with no, one and two knots needs."""
EACH = 0.93
"""Confidence of each of the two sets that a knot's interval holds: together they hold the knot more often, about 95 %.
Chosen on simulated runs that are none of those in docs/error_rates.md."""
_GRID = 16  # candidates for one knot a doubling
_COARSE = 4  # and for two


@dataclass(frozen=True)
class Knot:
    """Where the length turns.

    Attributes:
        step: The step, not only one that was evaluated.
        low: Lower end of its 95 % interval: a knot before it fits worse than resampled documents explain.
        high: Upper end.
    """

    step: float
    low: float
    high: float


@dataclass(frozen=True)
class Stage:
    """A stretch between knots.

    Attributes:
        kind: `surge` where the interval of the slope is above 0, `contraction` where it is below.
        begins: Its first step.
        ends: Its last step.
        slope: Tokens a doubling of steps.
        low: Lower end of the slope's 95 % interval.
        high: Upper end.
    """

    kind: Kind
    begins: float
    ends: float
    slope: float
    low: float
    high: float


@dataclass(frozen=True)
class Stages:
    """The stages of one task's length.

    Attributes:
        steps: The steps.
        means: Mean length at each, in tokens.
        knots: Where the length turns.
        stages: The stretches between.
        misfit: p-value for "the lengths are not on this line, but for the sampling of documents". A small one says that
            checkpoints differ in more than their stage.
        documents: Documents that all steps share.
    """

    steps: tuple[int, ...]
    means: tuple[float, ...]
    knots: tuple[Knot, ...]
    stages: tuple[Stage, ...]
    misfit: float
    documents: int

    def sentence(self) -> str:
        """In words."""
        return "; ".join(
            f"{each.kind} from step {each.begins:.0f} to {each.ends:.0f} ({each.slope:+.0f} tokens a doubling, "
            f"{each.low:+.0f} to {each.high:+.0f})"
            for each in self.stages
        )


def length_stages(curves: Curves, *, knots: int | None = None, draws: int = FEWER, seed: int = 0) -> Stages | None:
    """Fit the stages of a length.

    Args:
        curves: Tokens of documents, aligned.
        knots: How many: 0, 1 or 2. By default as few as fit the means but for the sampling of documents (chi-squared
            test at 5 %), at most as many as the steps allow.
        draws: Resampled samples of documents.
        seed: Of the random numbers.

    Returns:
        None with fewer than three steps or two documents, or fewer steps than the knots asked for need.

    Raises:
        ValueError: Neither 0, 1 nor 2 knots.
    """
    if knots not in {None, 0, 1, 2}:
        raise ValueError(f"{knots} knots: expected 0, 1 or 2")
    most = sum(len(curves.steps) >= fewest for fewest in FEWEST_STEPS) - 1
    if most < max(0, knots or 0) or len(np.unique(curves.clusters)) < 2:
        return None
    places = _places(curves.steps)
    means = curves.values.mean(axis=0)
    drawn = resample(rows_of(curves.values, curves.clusters), draws=draws, seed=seed).means
    white = _whitening(drawn)
    tried = [knots] if knots is not None else list(range(most + 1))
    for number in tried:
        designs = _designs(places, number)
        misfit = _chi_squared(float(_left(means[None], designs, white).min()), len(places) - 2 - 2 * number)
        if misfit > 0.05:
            break
    # The fit itself is unweighted: variances that are estimated from skewed lengths go with the means and bend it.
    plain = np.eye(len(places))
    left = _left(means[None], designs, plain)[0]
    best = designs[int(left.argmin())]
    chosen = _left(drawn, designs, plain).argmin(axis=1)
    slopes_drawn = _slopes(drawn, designs, chosen)
    slopes = _slopes(means[None], [best], np.zeros(1, dtype=np.int64))[0]
    fitted = best.columns @ np.linalg.lstsq(best.columns, means, rcond=None)[0]
    again = _left(drawn - means + fitted, designs, plain)
    found = []
    for place in range(number):
        turning = np.array([design.knots[place] for design in designs])
        low, high = _knot_ends(turning, turning[chosen], left, again)
        found.append(Knot(*(_step(each, curves.steps) for each in (best.knots[place], low, high))))
    borders = [float(curves.steps[0]), *(knot.step for knot in found), float(curves.steps[-1])]
    tiny = 1e-9 * float(np.abs(means).max())  # what rounding leaves of a line that is level
    stages = tuple(
        _stage((borders[place], borders[place + 1]), float(slopes[place]), slopes_drawn[:, place], tiny)
        for place in range(number + 1)
    )
    return Stages(curves.steps, tuple(map(float, means)), tuple(found), stages, misfit, len(curves.values))


@dataclass(frozen=True)
class _Design:
    """A line with its knots: the columns of the fit."""

    knots: tuple[float, ...]
    columns: Floats


def _places(steps: Sequence[int]) -> Floats:
    first = next(step for step in steps if step > 0)
    return np.array([np.log2(step) if step > 0 else np.log2(first) - 1 for step in steps])


def _step(place: float, steps: Sequence[int]) -> float:
    """The step of a place; what lies before the first step after the base is between both."""
    first = next(step for step in steps if step > 0)
    start = np.log2(first) - 1
    return float(2**place) if place >= np.log2(first) or steps[0] > 0 else float(first * (place - start))


def _designs(places: Floats, knots: int) -> list[_Design]:
    """Every choice of knots, with at least two steps, or one and the knot, on each side."""
    fine = _GRID if knots == 1 else _COARSE
    low, high = places[1], places[-2]
    candidates = np.linspace(low, high, max(2, round((high - low) * fine) + 1))
    apart = float(np.diff(places).min())
    designs = []
    for chosen in combinations(map(float, candidates), knots):
        if knots == 2 and chosen[1] - chosen[0] < apart - 1e-9:
            continue
        bent = [np.maximum(0.0, places - knot) for knot in chosen]
        designs.append(_Design(chosen, np.stack([np.ones_like(places), places, *bent], axis=1)))
    return designs


def _whitening(drawn: Floats) -> Floats:
    """What makes the means' errors independent with variance 1; steps share documents."""
    spread = np.atleast_2d(np.cov(drawn.T))
    scale = float(np.trace(spread)) / len(spread)
    # Where nothing varies every fit is as good; a little keeps the matrix invertible.
    spread = spread + np.eye(len(spread)) * max(1e-6 * scale, 1e-12)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(spread)))


def _left(values: Floats, designs: Sequence[_Design], white: Floats) -> Floats:
    """What each design leaves of each row of means: rows x designs."""
    given = values @ white.T
    whole = (given**2).sum(axis=1)
    found = np.empty((len(given), len(designs)))
    for place, design in enumerate(designs):
        basis, _ = np.linalg.qr(white @ design.columns)
        found[:, place] = whole - ((given @ basis) ** 2).sum(axis=1)
    return np.maximum(found, 0.0)


def _slopes(values: Floats, designs: Sequence[_Design], chosen: Integers) -> Floats:
    """The slope of each stretch, for each row of means with its design."""
    slopes = np.zeros((len(values), len(designs[0].knots) + 1))
    for place in np.unique(chosen):
        rows = chosen == place
        found = np.linalg.lstsq(designs[place].columns, values[rows].T, rcond=None)[0]
        slopes[rows] = np.cumsum(found[1:], axis=0).T
    return slopes


def _knot_ends(turning: Floats, drawn: Floats, left: Floats, again: Floats) -> tuple[float, float]:
    """The interval of a knot.

    It holds the places that are not refuted (they leave no more than resampling the best line shows) and the
    percentiles of the knot over resampled documents. Where the line hardly bends, or few documents differ much, each
    alone is short.

    Args:
        turning: The knot of each design.
        drawn: The knot of each resampled sample.
        left: What each design leaves of the means.
        again: What each design leaves of means resampled around the best line.
    """
    here = turning == turning[left.argmin()]
    critical = np.quantile(again[:, here].min(axis=1) - again.min(axis=1), EACH)
    kept = turning[left - left.min() <= critical]
    low, high = percentiles(drawn, confidence=EACH)
    return min(low, float(kept.min())), max(high, float(kept.max()))


def _stage(borders: tuple[float, float], slope: float, drawn: Floats, tiny: float) -> Stage:
    low, high = percentiles(drawn)
    kind: Kind = "surge" if low > tiny else "contraction" if high < -tiny else "no change shown"
    return Stage(kind, *borders, slope, low, high)


def _chi_squared(value: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, value)) if freedom > 0 else 1.0
