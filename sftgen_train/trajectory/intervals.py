"""Limits of one contrast and bands of several, from the same flips as the tests.

Limits of one contrast are quantiles of its means over random subsets (Hartigan's typical values). These are the
flips turned around: a limit is beyond a value where the test of that value says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.flips import TIE, Flips, Rows, centred, centres_of, quadratic, quotient, standard_errors
from sftgen_train.trajectory.statistics import PRIOR, may_differ

Span = tuple[float, float]

POOLED = 30
"""What all columns say of the variance of a document counts as so many documents beside those of one column. This and
`_FREEDOM` were chosen on simulated runs that are none of those in docs/error_rates.md."""
_FREEDOM = (0.6, 4.0)
"""Degrees of freedom at least and at most, a document."""
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
            share = may_differ(len(flips.rows), alpha)
            ends = [agreed - share * (agreed - span[0]), agreed + share * (span[1] - agreed)]
        ends = [max(ends[0], span[0]), min(ends[1], span[1])]
    return Limits(ends[0], ends[1], confidence)


def ratio_limits(flips: Flips, of: Floats, by: Floats, *, confidence: float = 0.95) -> Limits:
    """One-sided limits of a mean as a share of another that is above 0, both from the same documents.

    Args:
        flips: Of the rows.
        of: Columns x 1: what is divided.
        by: Columns x 1: by what.
        confidence: Of each limit.
    """
    above, below = (flips.values @ of)[:, 0], (flips.values @ by)[:, 0]
    index = int((1 - confidence) * len(above) + 1e-9)
    ends = []
    for empty in (-np.inf, np.inf):
        found = np.divide(above, below, out=np.full(len(above), empty), where=below > TIE * TIE)
        ends.append(float(np.sort(found if empty < 0 else -found)[index]))
    return Limits(ends[0], -ends[1], confidence)


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


def band(flips: Flips, contrasts: Floats, *, confidence: float = 0.95) -> Band:
    """Intervals of several contrasts that hold together, from flips of the rows' deviations from their means.

    Args:
        flips: Of the rows.
        contrasts: Columns x contrasts.
        confidence: With which all intervals hold together.
    """
    return contrasts_at(flips.rows, contrasts, _joint(flips, contrasts, confidence))


def share_band(flips: Flips, *, confidence: float = 0.95) -> Band:
    """Intervals of the columns themselves that hold together, for shares between 0 and 1: see `shares_at`."""
    rows, z = flips.rows, _joint(flips, np.eye(flips.rows.columns), confidence)
    if z > 0:
        return shares_at(rows, z)
    # All documents agree at every step: no flip tells how much others may differ.
    mean, share = np.clip(rows.means, 0, 1), may_differ(len(rows), (1 - confidence) / 2 / rows.columns)
    return Band(mean, mean - share * mean, mean + share * (1 - mean), z)


def change_band(flips: Flips, plus: Sequence[int], minus: Sequence[int], *, confidence: float = 0.95) -> Band:
    """Intervals of changes of shares that hold together: each column of `plus` less that of `minus`.

    See `changes_at`.
    """
    z = _joint(flips, _pairs(flips.rows.columns, plus, minus), confidence)
    share = may_differ(len(flips.rows), (1 - confidence) / 2 / max(1, len(plus)))
    return changes_at(flips.rows, plus, minus, z, agreed=share)


# ------------------------------------------------------------------------------ intervals so wide


def contrasts_at(rows: Rows, contrasts: Floats, z: float) -> Band:
    """Intervals of contrasts, as wide as `z` standard errors of a normal number, and Student's more.

    Args:
        rows: The rows.
        contrasts: Columns x contrasts.
        z: Quantile of the largest of all contrasts over its root sum of squares.
    """
    mean = rows.means @ contrasts
    if len(rows) == 1:
        return Band(mean, np.full_like(mean, -np.inf), np.full_like(mean, np.inf), np.inf)
    critical = _critical(z, _units(rows, contrasts, _plain_freedom(rows)))
    error = standard_errors(rows, contrasts)
    # Of a task with one document nobody knows how much documents differ.
    half = np.multiply(error, critical, out=np.where(error > 0, np.inf, 0.0), where=(error > 0) & np.isfinite(error))
    return Band(mean, mean - half, mean + half, critical)


def shares_at(rows: Rows, z: float) -> Band:
    """Intervals of the columns, for shares between 0 and 1.

    Each task has Wilson's, of as many documents as would have its variance if each were right or wrong; those of
    several tasks are put together side by side (Zou and Donner's MOVER), so that the long side of a low score stays
    long. As with Student's t, they are wider where documents tell their variance badly, as where few are right, and
    hardly so where about half of them are: the degrees of freedom come from the kurtosis.

    Args:
        rows: The rows.
        z: As `contrasts_at`.
    """
    mean = np.clip(rows.means, 0, 1)
    if len(rows) == 1:
        return Band(mean, np.zeros_like(mean), np.ones_like(mean), np.inf)
    critical = _critical(z, _units(rows, np.eye(rows.columns), _freedom(rows)))
    tasks = _wilson(rows, _spread_of_all_columns(rows), critical)
    low, high = (np.sqrt((tasks.weights**2 * side**2).sum(axis=0)) for side in (tasks.down, tasks.up))
    return Band(mean, np.clip(mean - low, 0, 1), np.clip(mean + high, 0, 1), critical)


def changes_at(rows: Rows, plus: Sequence[int], minus: Sequence[int], z: float, *, agreed: float = 0.0) -> Band:
    """Intervals of changes of shares.

    Newcombe's paired hybrid score: the sides of both shares' Wilson intervals, with the correlation of documents. Where
    one share is near 0 or 1 the change is skewed, and so is its interval.

    Args:
        rows: The rows.
        plus: Columns.
        minus: For each the column that is taken from it.
        z: As `contrasts_at`.
        agreed: The share of documents that might differ where all agree.
    """
    contrasts = _pairs(rows.columns, plus, minus)
    mean = np.clip(rows.means @ contrasts, -1, 1)
    if len(rows) == 1:
        return Band(mean, np.full_like(mean, -1.0), np.ones_like(mean), np.inf)
    critical = _critical(z, _units(rows, contrasts, _plain_freedom(rows)))
    tasks = _wilson(rows, _spread_of_columns(rows), critical)
    together = _correlations(rows, plus, minus)

    def side(one: Floats, other: Floats) -> Floats:
        a, b = one[:, plus], other[:, minus]
        squares = np.maximum(a * a - 2 * together * a * b + b * b, 0.0)
        return np.asarray(np.sqrt((tasks.weights**2 * squares).sum(axis=0)))

    same = (standard_errors(rows, contrasts) == 0) | (z == 0)
    low = np.where(same, mean - agreed * (mean + 1), mean - side(tasks.down, tasks.up))
    high = np.where(same, mean + agreed * (1 - mean), mean + side(tasks.up, tasks.down))
    return Band(mean, np.maximum(low, -1.0), np.minimum(high, 1.0), critical)


def _pairs(columns: int, plus: Sequence[int], minus: Sequence[int]) -> Floats:
    identity = np.eye(columns)
    return np.asarray(identity[:, list(plus)] - identity[:, list(minus)])


# ------------------------------------------------------------------------------ how wide


def _joint(flips: Flips, contrasts: Floats, confidence: float) -> float:
    """How many root sums of squares the largest of all contrasts may reach by flips of the deviations."""
    rows = flips.rows
    if len(rows) == 1:
        return np.inf
    centres = centres_of(rows)
    scale = np.sqrt(quadratic(centred(rows, centres), contrasts))
    sums = 2 * np.abs((flips.values - flips.weights @ centres) @ contrasts)
    largest = np.sort(quotient(sums, scale).max(axis=1, initial=0.0))
    return float(largest[max(0, ceil(confidence * len(largest) - 1e-9) - 1)])


def _critical(z: float, units: float) -> float:
    """The same in standard errors, as Student's t of so many units."""
    return float(np.sqrt(units - 1) * z / np.sqrt(units - z * z)) if z * z < units else np.inf


def _units(rows: Rows, contrasts: Floats, freedom: Floats) -> float:
    """Rows that tell of the variance: of several tasks, one with few documents may bring most of it (Satterthwaite).

    Args:
        rows: The rows.
        contrasts: Columns x contrasts.
        freedom: Degrees of freedom of each stratum's variance.
    """
    sizes = np.bincount(rows.strata)
    if len(sizes) == 1:
        return float(freedom[0]) + 1
    if (sizes == 1).any():
        return float(len(rows))
    deviations = centred(rows, centres_of(rows))
    parts = [quadratic(deviations[rows.strata == task], contrasts) for task in range(len(sizes))]
    variances = np.stack(parts) * (sizes / (sizes - 1))[:, None]
    found = quotient(variances.sum(axis=0) ** 2, (variances**2 / freedom[:, None]).sum(axis=0))
    return float(min(found[found > 0].min(initial=np.inf) + 1, freedom.sum() + len(sizes)))


def _plain_freedom(rows: Rows) -> Floats:
    """Degrees of freedom of each stratum's variance, of normal numbers."""
    return np.asarray(np.bincount(rows.strata) - 1, dtype=np.float64)


def _freedom(rows: Rows) -> Floats:
    """Degrees of freedom of each stratum's variance, from the kurtosis of its rows over all columns."""
    deviations = centred(rows, centres_of(rows))
    found = []
    for task, size in enumerate(np.bincount(rows.strata)):
        squares = deviations[rows.strata == task] ** 2
        second, fourth = (squares.mean(axis=0) ** 2).sum(), (squares**2).mean(axis=0).sum()
        kurtosis = fourth / second if second > 0 else 3.0
        least, most = (max(2.0, part * size) for part in _FREEDOM)
        found.append(float(np.clip(2 * size / (kurtosis - 1 + 2 / max(1, size - 1)), least, most)))
    return np.asarray(found)


# ------------------------------------------------------------------------------ Wilson's


@dataclass(frozen=True)
class _Wilson:
    """The sides of each task's intervals: strata x columns; `weights` is strata x 1."""

    weights: Floats
    down: Floats
    up: Floats


def _wilson(rows: Rows, spread: Floats, critical: float) -> _Wilson:
    """Wilson's interval of each task and column.

    Args:
        rows: The rows.
        spread: Variance of one document: strata x columns.
        critical: In standard errors.
    """
    mean, sizes = np.clip(centres_of(rows), 0, 1), np.bincount(rows.strata)[:, None]
    weights: Floats = np.asarray(np.bincount(rows.strata, rows.weights), dtype=np.float64)[:, None]
    if not np.isfinite(critical):
        return _Wilson(weights, mean, 1 - mean)
    # As many documents as would have this variance if each were right or wrong.
    found = sizes * quotient(mean * (1 - mean), spread)
    size, square = np.where((spread > 0) & (found > 0), found, sizes), critical**2
    centre = (mean + square / (2 * size)) / (1 + square / size)
    half = critical / (1 + square / size) * np.sqrt(mean * (1 - mean) / size + square / (4 * size * size))
    return _Wilson(weights, np.maximum(mean - centre + half, 0), np.maximum(centre + half - mean, 0))


def _spread_of_columns(rows: Rows) -> Floats:
    """The variance of a document, for each task and column by itself: a few may agree by chance."""
    found, widest, sizes = _spread(rows)
    return np.asarray(((sizes - 1) * found + PRIOR * np.maximum(found, widest)) / (sizes - 1 + PRIOR))


def _spread_of_all_columns(rows: Rows) -> Floats:
    """The same, where every column also has what all of a task's columns say of the variance beside the widest."""
    found, widest, sizes = _spread(rows)
    ratio = quotient(found.sum(axis=1, keepdims=True), widest.sum(axis=1, keepdims=True))
    return np.asarray(((sizes - 1) * found + POOLED * ratio * widest) / (sizes - 1 + POOLED))


def _spread(rows: Rows) -> tuple[Floats, Floats, Integers]:
    """The variance of a document as seen, the widest that its mean allows, and the size of each task."""
    sizes, mean = np.bincount(rows.strata)[:, None], np.clip(centres_of(rows), 0, 1)
    squares = centred(rows, centres_of(rows)) ** 2
    weights = np.bincount(rows.strata, rows.weights)[:, None]
    sums = np.stack([np.bincount(rows.strata, column) for column in squares.T], axis=1)
    return sums * (sizes / np.maximum(sizes - 1, 1) * sizes / weights**2), mean * (1 - mean), sizes


def _correlations(rows: Rows, plus: Sequence[int], minus: Sequence[int]) -> Floats:
    """The correlation of two columns over the documents of each task: strata x pairs; 0 where one does not vary."""
    deviations = centred(rows, centres_of(rows))
    found = []
    for task in range(int(rows.strata.max()) + 1):
        own = deviations[rows.strata == task]
        scale = np.sqrt((own**2).sum(axis=0))
        above, below = (own[:, plus] * own[:, minus]).sum(axis=0), scale[plus] * scale[minus]
        found.append(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
    return np.stack(found)


# ------------------------------------------------------------------------------ subsets


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
