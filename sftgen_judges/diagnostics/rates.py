"""Rates over documents, such as patterns in 1,000 tokens: ratios of sums, their intervals, and their changes.

A document is the unit: its responses, and the patterns in one response, depend on each other. Variances are linearised
(the delta method); they hold from about ten documents on. Of a part of the responses the interval is narrower, the
larger that part is: if all were read, nothing is uncertain about these responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]
"""One number a document: the sum over its responses."""
FEWEST = 10
"""Documents below which there is no interval: it would promise too much."""


@dataclass(frozen=True)
class Rate:
    """A number with its interval.

    Attributes:
        value: The number; NaN where it is not defined.
        low: Lower end, minus infinity where nobody can tell.
        high: Upper end.
        n: Documents.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return isfinite(self.value) and isfinite(self.low) and isfinite(self.high)


def ratio(counts: Sums, below: Sums, *, scale: float = 1.0, of: int | None = None, level: float = 0.95) -> Rate:
    """How many events there are in so much text.

    The interval is Garwood's for a Poisson count, with as many events less as they cluster in documents. So it is never
    negative, and without any event it still says how many there may be.

    Args:
        counts: Events of each document, for example its patterns.
        below: What they are counted in, for example its tokens; ones for a mean over documents.
        scale: 1000 for events in 1,000 tokens.
        of: Documents that these were drawn from, each with the same chance. Then the interval is for those documents.
            Without it the interval is for all documents that could have been asked.
        level: Confidence level.
    """
    n = int(np.count_nonzero(below))
    total = float(below.sum())
    if not total:
        return Rate(float("nan"), -inf, inf, n)
    seen = float(counts.sum())
    value = scale * seen / total
    if n < FEWEST:
        return Rate(value, -inf, inf, n)
    left = 1.0 if of is None else max(0.0, 1 - n / of)
    if not left:
        return Rate(value, value, value, n)
    from scipy.special import gammaincinv  # takes a while to import, so only where it is needed

    clustered = max(1.0, _variance(counts - seen / total * below, n) / seen) if seen else 1.0
    events, one = seen / (left * clustered), scale * left * clustered / total
    tail = (1 - level) / 2
    low = float(gammaincinv(events, tail)) if events else 0.0
    high = float(gammaincinv(events + 1, 1 - tail))
    return Rate(value, one * low, one * high, n)


def wilson(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of `n` independent units, which need not be a whole number."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


Ratio = tuple[Sums, Sums]
"""What is above and what is below, a number a document."""


def difference(then: Ratio, now: Ratio, *, scale: float = 1.0, level: float = 0.95) -> Rate:
    """How much a ratio of counts rose, on the same documents.

    Args:
        then: The first ratio.
        now: The second, for the same documents in the same order.
        scale: 1000 for events in 1,000 tokens.
        level: Confidence level.
    """
    (above_then, below_then), (above_now, below_now) = then, now
    n = int(np.count_nonzero(below_then + below_now))
    totals = float(below_then.sum()), float(below_now.sum())
    if not all(totals):
        return Rate(float("nan"), -inf, inf, n)
    first, second = float(above_then.sum()) / totals[0], float(above_now.sum()) / totals[1]
    if n < FEWEST:
        return Rate(scale * (second - first), -inf, inf, n)
    spread = (above_now - second * below_now) / totals[1] - (above_then - first * below_then) / totals[0]
    # None seen is not none: one event may well have been missed.
    missed = sum((scale / total) ** 2 for total, rate in zip(totals, (first, second), strict=True) if not rate)
    half = _t(level, n) * sqrt(scale**2 * _variance(spread, n) + missed)
    change = scale * (second - first)
    return Rate(change, change - half, change + half, n)


def factor(then: Ratio, now: Ratio, *, level: float = 0.95) -> Rate:
    """By which factor a ratio changed, on the same documents; not defined where one of the two is 0.

    Args:
        then: The first ratio.
        now: The second, for the same documents in the same order.
        level: Confidence level.
    """
    (above_then, below_then), (above_now, below_now) = then, now
    n = int(np.count_nonzero(below_then + below_now))
    sums = [float(one.sum()) for one in (above_then, below_then, above_now, below_now)]
    if not all(total > 0 for total in sums):
        return Rate(float("nan"), 0.0, inf, n)
    first, second = sums[0] / sums[1], sums[2] / sums[3]
    value = log(second / first)
    if n < FEWEST:
        return Rate(exp(value), 0.0, inf, n)
    spread = (above_now - second * below_now) / sums[2] - (above_then - first * below_then) / sums[0]
    half = _t(level, n) * sqrt(_variance(spread, n))
    return Rate(exp(value), exp(value - half), exp(value + half), n)


def _variance(spread: Sums, n: int) -> float:
    """Variance of the sum of `spread` over `n` documents."""
    return float((spread**2).sum()) * n / (n - 1)


def _t(level: float, n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + level) / 2))
