"""Intervals of shares, and of changes of shares, each on its own: skewed where few documents are right, or wrong."""

from __future__ import annotations

from collections.abc import Sequence

from sftgen_train.trajectory.flips import Rows
from sftgen_train.trajectory.intervals import Band, changes_at, shares_at
from sftgen_train.trajectory.resampling import Interval


def share_intervals(rows: Rows, *, confidence: float = 0.95) -> list[Interval]:
    """The interval of each column, a mean of numbers from 0 to 1, see `shares_at`."""
    return [_first(shares_at(_columns(rows, [place]), _normal(confidence))) for place in range(rows.columns)]


def change_intervals(
    rows: Rows, plus: Sequence[int], minus: Sequence[int], *, confidence: float = 0.95
) -> list[Interval]:
    """The interval of each column of `plus` less that of `minus`, see `changes_at`."""
    # Where all documents agree: so many would differ at most, if none of these does (rule of three).
    agreed = 1 - ((1 - confidence) / 2) ** (1 / len(rows))
    return [
        _first(changes_at(_columns(rows, [one, other]), [0], [1], _normal(confidence), agreed=agreed))
        for one, other in zip(plus, minus, strict=True)
    ]


def _columns(rows: Rows, places: list[int]) -> Rows:
    return Rows(rows.values[:, places], rows.weights, rows.strata)


def _first(band: Band) -> Interval:
    return Interval(float(band.mean[0]), float(band.low[0]), float(band.high[0]))


def _normal(confidence: float) -> float:
    from scipy.special import ndtri  # takes a while to import, so only where it is needed

    return float(ndtri((1 + confidence) / 2))
