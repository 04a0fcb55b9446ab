"""Limits of one contrast and bands of several, from the same flips as the tests.

Limits of one contrast are quantiles of its means over random subsets (Hartigan's typical values). These are the
flips turned around: a limit is beyond a value where the test of that value says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.flips import TIE, Flips, Rows, centred, centres_of, quadratic, quotient, standard_errors
from sftgen_train.trajectory.statistics import PRIOR

Span = tuple[float, float]

SPARSE = 10
"""With fewer rows than this that differ from the rest, a limit counts one more, which differs fully."""


@dataclass(frozen=True)
class Limits:
    """Both one-sided limits of one contrast.

    Attributes:
        low: The mean is above it with the confidence asked for.
        high: The mean is below it with the confidence asked for.
        confidence: Of each limit; both together are an interval of 1 - 2 · (1 - confidence).
    """

    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Band:
    """An interval for each contrast; all of them hold together with the confidence asked for.

    Attributes:
        mean: The contrasts' means.
        low: Lower ends.
        high: Upper ends.
        critical: How many standard errors wide on each side.
    """

    mean: Floats
    low: Floats
    high: Floats
    critical: float


def limits(flips: Flips, of: Floats, *, confidence: float = 0.95, span: Span | None = None) -> Limits:
    """One-sided limits of one contrast that was named before looking.

    Args:
        flips: Of the rows.
        of: Columns x 1.
        confidence: Of each limit.
        span: The smallest and largest value that the contrast can take for a document, (-1, 1) for a change of a
            share. With it the limits of data in which (nearly) all documents agree stay honest.
    """
    alpha = 1 - confidence
    low, high = _subset_means(flips, of, span)
    index = int(alpha * len(low) + 1e-9)
    ends = [float(np.partition(low, index)[index]), float(-np.partition(-high, index)[index])]
    if span is not None:
        agreed = _agreed(flips.rows, of)
        if agreed is not None:
            # So many documents would differ at most, if none of these does (rule of three).
            share = 1 - alpha ** (1 / len(flips.rows))
            ends = [agreed - share * (agreed - span[0]), agreed + share * (span[1] - agreed)]
        ends = [max(ends[0], span[0]), min(ends[1], span[1])]
    return Limits(ends[0], ends[1], confidence)


def p_beyond(
    flips: Flips, of: Floats, value: float, alternative: Literal["less", "greater"], *, span: Span | None = None
) -> float:
    """p-value for "the contrast is above (below) this value": it is at most 0.05 where the limit is beyond the value.

    Args:
        flips: Of the rows.
        of: Columns x 1.
        value: With which the contrast is compared.
        alternative: `greater` or `less`.
        span: As in `limits`.
    """
    if span is not None:
        agreed = _agreed(flips.rows, of)
        if agreed is not None:
            room = agreed - span[0] if alternative == "greater" else span[1] - agreed
            apart = agreed - value if alternative == "greater" else value - agreed
            if apart <= 0 or room <= 0:
                return float(apart <= 0)
            return float(max(0.0, 1 - apart / room) ** len(flips.rows))
    low, high = _subset_means(flips, of, span)
    tie = TIE * abs(value)
    return float((low <= value + tie).mean() if alternative == "greater" else (high >= value - tie).mean())


def band(flips: Flips, contrasts: Floats, *, confidence: float = 0.95, span: Span | None = None) -> Band:
    """Intervals of several contrasts that hold together, from flips of the rows' deviations from their means.

    Args:
        flips: Of the rows.
        contrasts: Columns x contrasts.
        confidence: With which all intervals hold together.
        span: The smallest and largest value that the contrasts can take.
    """
    rows, alpha = flips.rows, 1 - confidence
    mean = rows.means @ contrasts
    if len(rows) == 1:
        ends = span or (-np.inf, np.inf)
        return Band(mean, np.full_like(mean, ends[0]), np.full_like(mean, ends[1]), np.inf)
    centres = centres_of(rows)
    scale = np.sqrt(quadratic(centred(rows, centres), contrasts))
    sums = 2 * np.abs((flips.values - flips.weights @ centres) @ contrasts)
    largest = np.sort(quotient(sums, scale).max(axis=1, initial=0.0))
    z = largest[max(0, ceil(confidence * len(largest) - 1e-9) - 1)]
    n, units = len(rows), _units(rows, centred(rows, centres), contrasts)
    critical = float(np.sqrt(units - 1) * z / np.sqrt(units - z * z)) if z * z < units else np.inf
    error = standard_errors(rows, contrasts)
    half = np.multiply(error, critical, out=np.zeros_like(error), where=error > 0)
    low, high = mean - half, mean + half
    if span is not None:
        share = np.where(error > 0, 0.0, 1 - (alpha / 2 / max(1, len(mean))) ** (1 / n))
        low = np.maximum(low - share * (mean - span[0]), span[0])
        high = np.minimum(high + share * (span[1] - mean), span[1])
    return Band(mean, low, high, critical)


def share_band(flips: Flips, *, confidence: float = 0.95) -> Band:
    """Intervals of the columns themselves that hold together, for shares between 0 and 1.

    Each task has Wilson's, widened; those of several tasks are put together side by side (Zou and Donner's MOVER), so
    that the long side of a low score stays long.
    """
    rows = flips.rows
    plain = band(flips, np.eye(rows.columns), confidence=confidence, span=(0.0, 1.0))
    if not np.isfinite(plain.critical):
        return plain
    mean, square = np.clip(centres_of(rows), 0, 1), plain.critical**2
    weights, sizes = np.bincount(rows.strata, rows.weights)[:, None], np.bincount(rows.strata)[:, None]
    size = _sizes_of_shares(rows, mean, sizes)
    centre = (mean + square / (2 * size)) / (1 + square / size)
    half = np.sqrt(square) / (1 + square / size) * np.sqrt(mean * (1 - mean) / size + square / (4 * size * size))
    down, up = np.maximum(mean - centre + half, 0), np.maximum(centre + half - mean, 0)
    means = np.clip(plain.mean, 0, 1)
    low, high = (np.sqrt(((weights * side) ** 2).sum(axis=0)) for side in (down, up))
    return Band(means, np.clip(means - low, 0, 1), np.clip(means + high, 0, 1), plain.critical)


def _sizes_of_shares(rows: Rows, mean: Floats, sizes: Integers) -> Floats:
    """As many documents of each task as would have its variance if each were right or wrong: strata x columns."""
    widest = mean * (1 - mean)
    squares = centred(rows, centres_of(rows)) ** 2
    weights = np.bincount(rows.strata, rows.weights)[:, None]
    sums = np.stack([np.bincount(rows.strata, column) for column in squares.T], axis=1)
    spread = sums * (sizes / (sizes - 1) * sizes / weights**2)
    # A few documents may agree by chance, above all at low and high scores.
    spread = ((sizes - 1) * spread + PRIOR * np.maximum(spread, widest)) / (sizes - 1 + PRIOR)
    found = sizes * quotient(widest, spread)
    return np.where((spread > 0) & (found > 0), found, sizes)


def _units(rows: Rows, deviations: Floats, contrasts: Floats) -> float:
    """Rows that tell of the variance: of several tasks, one with few documents may bring most of it (Satterthwaite)."""
    sizes = np.bincount(rows.strata)
    if len(sizes) == 1 or (sizes == 1).any():
        return float(len(rows))
    parts = [quadratic(deviations[rows.strata == task], contrasts) for task in range(len(sizes))]
    variances = np.stack(parts) * (sizes / (sizes - 1))[:, None]
    freedom = quotient(variances.sum(axis=0) ** 2, (variances**2 / (sizes - 1)[:, None]).sum(axis=0))
    return float(min(freedom[freedom > 0].min(initial=np.inf) + 1, len(rows)))


def _deviations(rows: Rows, of: Floats) -> tuple[Floats, float]:
    found = (rows.values @ of)[:, 0] / rows.weights
    middle = float(np.median(found))
    return found - middle, middle


def _agreed(rows: Rows, of: Floats) -> float | None:
    """The value of the contrast that every row has, if they agree."""
    deviations, middle = _deviations(rows, of)
    return middle if not (np.abs(deviations) > TIE).any() else None


def _subset_means(flips: Flips, of: Floats, span: Span | None) -> tuple[Floats, Floats]:
    """Means over the subsets, for the lower and the upper limit; the empty subset excludes nothing."""
    sums, weights = (flips.values @ of)[:, 0], flips.weights.sum(axis=1)
    ends: list[Floats] = []
    deviations, _ = _deviations(flips.rows, of)
    few = span is not None and int((np.abs(deviations) > TIE).sum()) < SPARSE
    for empty, extreme in zip((-np.inf, np.inf), span or (0.0, 0.0), strict=True):
        found = np.full(len(sums), empty)
        np.divide(sums, weights, out=found, where=weights > 1e-12)
        if few:
            # One more row, as far from the others as can be, is in every other subset.
            share = 1 / len(flips.rows)
            found = np.concatenate([found, (sums + share * extreme) / (weights + share)])
        ends.append(found)
    return ends[0], ends[1]
