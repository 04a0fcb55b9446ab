"""Intervals of shares, and of changes of shares, each on its own: skewed where few documents are right, or wrong."""

from __future__ import annotations

from collections.abc import Sequence

from sftgen_train.trajectory.flips import Rows
from sftgen_train.trajectory.intervals import Band, changes_at, shares_at
from sftgen_train.trajectory.resampling import Interval
from sftgen_train.trajectory.statistics import may_differ, normal_quantile


def share_intervals(rows: Rows, *, confidence: float = 0.95) -> list[Interval]:
    """The interval of each column, a mean of numbers from 0 to 1, see `shares_at`."""
    z = normal_quantile((1 - confidence) / 2)
    return [_first(shares_at(_columns(rows, [place]), z)) for place in range(rows.columns)]


def change_intervals(
    rows: Rows, plus: Sequence[int], minus: Sequence[int], *, confidence: float = 0.95
) -> list[Interval]:
    """The interval of each column of `plus` less that of `minus`, see `changes_at`."""
    tail = (1 - confidence) / 2
    z, agreed = normal_quantile(tail), may_differ(len(rows), tail)
    return [
        _first(changes_at(_columns(rows, [one, other]), [0], [1], z, agreed=agreed))
        for one, other in zip(plus, minus, strict=True)
    ]


def _columns(rows: Rows, places: list[int]) -> Rows:
    return Rows(rows.values[:, places], rows.weights, rows.strata)


def _first(band: Band) -> Interval:
    return Interval(float(band.mean[0]), float(band.low[0]), float(band.high[0]))
