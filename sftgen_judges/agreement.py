"""How good a judge is: its agreement with people's labels or with other judges, with intervals.

All figures are over items: one row is one item, one column is one judge or the labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sftgen_judges.errors import SftgenError

Level = Literal["nominal", "ordinal", "interval"]
Label = float | str
Data = npt.NDArray[np.float64]
# Exponent of the distance between two labels: 0 counts all misses alike, 1 by distance, 2 by its square.
WEIGHTS: dict[Level, int] = {"nominal": 0, "ordinal": 1, "interval": 2}
RESAMPLES = 1000


class AgreementError(SftgenError, ValueError):
    """Columns that cannot be compared."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval over items; `value` is None where the figure is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Pair:
    """How far two columns agree.

    Attributes:
        columns: Their names, labels first.
        n: Items that both columns have.
        missing: Items that at least one column lacks.
        accuracy: Share of equal labels.
        kappa: Cohen's kappa.
        alpha: Krippendorff's alpha of the two columns.
        labels: The labels that occur, in order.
        table: How often the first's label (row) met the second's (column).
    """

    columns: tuple[str, str]
    n: int
    missing: int
    accuracy: Interval
    kappa: Interval
    alpha: Interval
    labels: list[Label]
    table: list[list[int]]


def compare(
    columns: Mapping[str, Sequence[Any]], *, labels: str | None = None, level: Level = "nominal"
) -> tuple[list[Pair], Interval]:
    """Compare each column with the labels and with every other.

    Args:
        columns: Name to its values, one for each item; None and empty text are missing.
        labels: The column of people's labels, if there is one.
        level: Whether labels are names (nominal), have an order (ordinal) or distances (interval).

    Returns:
        Every pair of columns, those with the labels first, and Krippendorff's alpha of all columns.

    Raises:
        AgreementError: There are fewer than two columns, or a pair has no item in common.
    """
    names = sorted(columns, key=lambda name: name != labels)
    if len(names) < 2:
        raise AgreementError(f"agreement needs at least two columns, found {', '.join(names) or 'no column'}")
    data, known = _coded({name: [read_label(value) for value in columns[name]] for name in names}, level)
    pairs = [
        _pair((names[first], names[second]), data[:, [first, second]], known, level)
        for first, second in combinations(range(len(names)), 2)
    ]
    everybody = pairs[0].alpha if len(names) == 2 else bootstrap(data, lambda rows: alpha(rows, level))
    return pairs, everybody


def _coded(columns: Mapping[str, Sequence[Label | None]], level: Level) -> tuple[Data, list[Label]]:
    """Numbers (items, columns) and the labels. A name becomes its place among the labels, a missing one NaN."""
    found = {label for column in columns.values() for label in column if label is not None}
    known: list[Label] = sorted(found, key=lambda label: (isinstance(label, str), label))
    kinds = {type(label) for label in known}
    if len(kinds) > 1 or (kinds == {str} and level != "nominal"):
        shown = ", ".join(map(str, known[:8]))
        raise AgreementError(
            f"labels {shown}: expected {'numbers' if level != 'nominal' else 'all numbers or all names'}"
        )
    code: Callable[[Label], float] = float if kinds == {float} else known.index
    rows = zip(*columns.values(), strict=True)
    return np.array([[math.nan if label is None else code(label) for label in row] for row in rows]), known


def read_label(value: Any) -> Label | None:
    """A label as a number where possible (yes and true are 1, no and false are 0); None where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float):  # True is 1
        return float(value)
    text = str(value).strip().lower()
    if text in {"yes", "true", "no", "false"}:
        return float(text in {"yes", "true"})
    try:
        return float(text)
    except ValueError:
        return text or None


def at_least(values: Sequence[Any], threshold: float) -> list[Label | None]:
    """1 for numbers from the threshold on, else 0; a column of 0 and 1, or with names, stays as it is."""
    labels = [read_label(value) for value in values]
    if set(labels) <= {0.0, 1.0, None} or any(isinstance(label, str) for label in labels):
        return labels
    return [None if label is None else float(float(label) >= threshold) for label in labels]


def _pair(names: tuple[str, str], data: Data, known: list[Label], level: Level) -> Pair:
    rows = data[~np.isnan(data).any(axis=1)]
    if not len(rows):
        raise AgreementError(f"columns {names[0]!r} and {names[1]!r}: no item has both")
    values, table = _table(rows)
    return Pair(
        columns=names,
        n=len(rows),
        missing=len(data) - len(rows),
        accuracy=bootstrap(rows, lambda drawn: float((drawn[:, 0] == drawn[:, 1]).mean())),
        kappa=bootstrap(rows, lambda drawn: kappa(drawn, level)),
        alpha=bootstrap(rows, lambda drawn: alpha(drawn, level)),
        labels=[value if isinstance(known[0], float) else known[int(value)] for value in values.tolist()],
        table=table.tolist(),
    )


def kappa(rows: Data, level: Level = "nominal") -> float:
    """Cohen's kappa of rows (items, 2); NaN where all labels are the same."""
    values, table = _table(rows)
    expected = np.outer(table.sum(1), table.sum(0)) / len(rows)
    places = values if level == "interval" else np.arange(len(values))
    distance = np.abs(places[:, None] - places)
    weights = (distance > 0) * distance ** WEIGHTS[level]
    chance = float((weights * expected).sum())
    return 1 - float((weights * table).sum()) / chance if chance else math.nan


def _table(rows: Data) -> tuple[Data, npt.NDArray[np.int64]]:
    """The labels in rows (items, 2), and how often each label of the first column met each of the second."""
    values, codes = np.unique(rows, return_inverse=True)
    size = len(values)
    return values, np.bincount(codes.reshape(rows.shape) @ [size, 1], minlength=size**2).reshape(size, size)


def alpha(rows: Data, level: Level = "nominal") -> float:
    """Krippendorff's alpha of rows (items, judges); NaN where all labels are the same."""
    import krippendorff

    try:
        return float(krippendorff.alpha(reliability_data=rows.T, level_of_measurement=level))
    except ValueError:  # one label only, or no item with two
        return math.nan


def bootstrap(rows: Data, figure: Callable[[Data], float]) -> Interval:
    """A figure of rows (items, columns) with its percentile interval; draws where it is not defined are left out."""
    value = figure(rows)
    if math.isnan(value):
        return Interval(None)
    rng = np.random.default_rng(0)
    draws = [figure(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))
