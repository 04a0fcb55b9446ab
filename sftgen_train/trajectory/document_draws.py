"""Bootstrap over documents: the same resampled documents for every number of a curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sftgen_train.trajectory.alignment import Floats

DRAWS = 1000
"""The ends of an interval are then exact to about a tenth of its width."""
_MOST_UNITS = 4096


def resampled_sums(values: Floats, clusters: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Sums over documents drawn with replacement; documents of one cluster are drawn together.

    Of more than 4,096 clusters random groups of clusters are drawn, so time and memory do not grow further.

    Args:
        values: Documents x columns.
        clusters: A label for each document.
        draws: How many samples.
        seed: Of the random numbers: equal seeds and clusters give equal draws.

    Returns:
        Draws x columns.
    """
    random = np.random.default_rng(seed)
    numbers = np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)
    units = int(numbers.max(initial=-1)) + 1
    if units > _MOST_UNITS:
        numbers = (random.permutation(units) % _MOST_UNITS)[numbers]
        units = _MOST_UNITS
    summed = np.stack([np.bincount(numbers, column, units) for column in values.T], axis=1)
    drawn = random.multinomial(units, np.full(units, 1 / units), size=draws)
    return np.asarray(drawn.astype(np.float64) @ summed)


def interval(found: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of what resampling gave; NaN where nothing is defined."""
    there = found[np.isfinite(found)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
