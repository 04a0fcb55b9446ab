"""Means with intervals, and the adjustment of several p-values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.rates import wilson


@dataclass(frozen=True)
class Estimate:
    """A mean over documents with a confidence interval."""

    mean: float
    low: float
    high: float
    n: int


RESAMPLES = 1000
"""Draws of a bootstrap interval: its ends are then exact to about a tenth of its width."""


TINY = 1e-6
"""Of a skewness; below it a quotient would lose its digits."""

ROUNDING = 1e-12
"""Draws that differ by no more agree."""

PRIOR = 2
"""So many documents that are right or wrong, at the mean that was seen, count beside those of a share when their spread
is told: a few documents may agree by chance. Chosen by simulation, see docs/error_rates.md."""


def may_differ(count: int, tail: float) -> float:
    """The largest share that may differ where none of so many does, but for a chance of `tail` (rule of three)."""
    return float(1 - tail ** (1 / count))


def normal_quantile(tail: float) -> float:
    """What a normal number exceeds with this chance."""
    from scipy.special import ndtri  # takes a while to import, so only where it is needed

    return -float(ndtri(tail))


def estimate(
    values: Sequence[Any],
    level: float = 0.95,
    *,
    share: bool = True,
    aggregation: Callable[[Sequence[Any]], float] | None = None,
) -> Estimate:
    """Mean of independent documents with an interval.

    A share gets Wilson's interval. Its sample size is chosen so that it gives the observed variance: for values of 0
    and 1 this is the number of documents, and repeats do not count as new documents. Other metrics get Student's
    interval, bent by their skewness (Hall 1992): the mean of a few lengths, which have a long tail, is more often too
    low than too high. A number that is not a mean gets a percentile bootstrap over documents. Where the draws agree, as
    those of one document do, a share is as far off as documents that were not asked may be (rule of three).

    Args:
        values: One value a document, for example the mean of its repeats.
        level: Confidence level of the interval.
        share: Whether the metric is a share, between 0 and 1. The metric says so: a few logits may lie there by chance.
            Values that do not are read as no share all the same.
        aggregation: Makes one number of the values, if that number is not their mean.

    Raises:
        ValueError: No values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to take a mean of")
    if aggregation is not None:
        return _bootstrap(values, aggregation, level, share=share)
    mean, given = fmean(values), np.asarray(values, dtype=np.float64)
    if share and bool(((given >= 0) & (given <= 1)).all()):
        return Estimate(mean, *wilson(mean, _effective_size(given, mean), level), n)
    if n == 1:
        return Estimate(mean, -inf, inf, n)
    from scipy.special import stdtrit  # takes a while to import, so only where it is needed

    t, error, skew = float(stdtrit(n - 1, (1 + level) / 2)), float(given.std(ddof=1)) / sqrt(n), _skewness(given, mean)
    return Estimate(mean, mean - error * _untransformed(t, skew, n), mean - error * _untransformed(-t, skew, n), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of several p-values, in their order: it bounds the chance of any false claim."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def _bootstrap(
    values: Sequence[Any], aggregation: Callable[[Sequence[Any]], float], level: float, *, share: bool
) -> Estimate:
    n, seen, tail = len(values), aggregation(values), (1 - level) / 2
    # A fixed seed: the same records give the same interval.
    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    found = np.asarray([aggregation([values[index] for index in draw]) for draw in draws])
    told = found[np.isfinite(found)]
    if not len(told):
        return Estimate(seen, nan, nan, n)
    low, high = map(float, np.quantile(told, [tail, 1 - tail]))
    if high - low <= ROUNDING:
        if share and 0 <= seen <= 1:
            others = may_differ(n, tail)
            low, high = seen - others * seen, seen + others * (1 - seen)
        elif n == 1:
            low, high = -inf, inf
    return Estimate(seen, low, high, n)


def _skewness(values: NDArray[np.float64], mean: float) -> float:
    spread = float(((values - mean) ** 2).mean())
    return float(((values - mean) ** 3).mean()) / spread**1.5 if spread > 0 else 0.0


def _untransformed(t: float, skewness: float, n: int) -> float:
    """Hall's monotone cubic of Student's t, solved for t: with it the t of skewed data is as good as symmetric."""
    bent = skewness / sqrt(n)
    return 3 / bent * (float(np.cbrt(1 + bent * (t - bent / 6))) - 1) if abs(bent) > TINY else t


def _effective_size(values: NDArray[np.float64], mean: float) -> float:
    widest = mean * (1 - mean)
    spread = (float(((values - mean) ** 2).sum()) + PRIOR * widest) / (len(values) + PRIOR)
    # Without spread all are right, or all wrong: then every document counts once.
    return len(values) * widest / spread if spread > 0 else len(values)
