"""Documents drawn again with replacement: one set of draws for every number of a curve, or of two curves.

Intervals of what is no mean (the depth of a dip, a ratio) come from here. Differences of means have the tests and
limits of `flips`, which are exact for symmetric differences.

    drawn = resample(rows_of(values, clusters)).means
    percentiles(drawn[:, 0] / drawn[:, 1])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import Rows

DRAWS = 2000
"""The ends of a 95 % interval are then exact to about a fiftieth of its width."""
FEWER = 1000
"""Enough for plain percentiles of many numbers: their ends are exact to about a tenth of the width."""
MOST = 20_000
"""With more rows than this, rows are drawn in random blocks: the spread is the same, the time does not grow."""
_AT_ONCE = 2_000_000  # numbers drawn at once
ENOUGH = 0.95
"""A number that fewer draws have than this, for example a score that was not reached, gets no interval."""


@dataclass(frozen=True)
class Resamples:
    """The means of columns, as seen and in each draw.

    Attributes:
        seen: One a column.
        means: Draws x columns.
        units: Independent rows, of the stratum that has the fewest.
    """

    seen: Floats
    means: Floats
    units: int


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; the ends are NaN where the draws do not tell.

    Attributes:
        value: As seen.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def resample(rows: Rows, *, draws: int = DRAWS, seed: int = 0) -> Resamples:
    """Draw rows (documents or clusters) with replacement, within each task.

    Args:
        rows: One or two curves: whatever has to come from the same draw stands in the columns of one array.
        draws: How often.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    means = np.zeros((draws, rows.columns))
    fewest = len(rows)
    for stratum in range(int(rows.strata.max()) + 1):
        of = rows.strata == stratum
        values, weights = rows.values[of], rows.weights[of]
        fewest, share = min(fewest, len(weights)), weights.sum()
        if len(weights) > MOST:
            block = random.permutation(len(weights)) % MOST
            values = np.stack([np.bincount(block, column, MOST) for column in values.T], axis=1)
            weights = np.bincount(block, weights, MOST)
        count = len(weights)
        step = max(1, _AT_ONCE // count)
        for start in range(0, draws, step):
            size = min(step, draws - start)
            drawn = random.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
            times = np.bincount(drawn.reshape(-1), minlength=size * count).reshape(size, count).astype(np.float64)
            means[start : start + size] += share * (times @ values) / (times @ weights)[:, None]
    return Resamples(rows.means, means, fewest)


def intervals(seen: Floats, found: Floats, units: int, *, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Percentile intervals, as much wider as few documents need (Hesterberg's expansion by Student's quantile).

    Args:
        seen: One number an entry.
        found: Draws x entries; NaN where a draw has no such number.
        units: Independent rows.
        confidence: Of each interval.

    Returns:
        Lower and upper ends; NaN where there is one unit, where no draw differs, or where too many have no number.
    """
    none = np.full(len(seen), np.nan)
    if units < 2 or not len(seen):
        return none, none.copy()
    tail = _tail(units, confidence)
    told = np.isfinite(seen) & (np.isfinite(found).mean(axis=0) >= ENOUGH)
    low, high = none, none.copy()
    if told.any():
        low[told], high[told] = np.nanquantile(found[:, told], [tail, 1 - tail], axis=0)
    same = high - low <= 1e-12
    low[same] = high[same] = np.nan
    return low, high


def interval_of(seen: float, found: Floats, units: int, *, confidence: float = 0.95) -> Interval:
    """The interval of one number, see `intervals`."""
    [low], [high] = intervals(np.asarray([seen]), found[:, None], units, confidence=confidence)
    return Interval(float(seen), float(low), float(high))


def percentiles(found: Floats, *, units: int | None = None, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval of draws that have a number; NaN where none has one.

    Args:
        found: One number a draw.
        units: Independent rows: with few of them the interval is as much wider as in `intervals`, and NaN with one.
        confidence: Of the interval.
    """
    there = found[np.isfinite(found)]
    if not len(there) or (units is not None and units < 2):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2 if units is None else _tail(units, confidence)
    low, high = np.quantile(there, [tail, 1 - tail])
    return float(low), float(high)


def _tail(units: int, confidence: float) -> float:
    """The share of draws beyond each end, as much smaller as few documents need (Hesterberg's expansion)."""
    from scipy.special import ndtr, stdtrit  # takes a while to import, so only where it is needed

    return float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 - confidence) / 2)))
