"""How good a judge is: its agreement with people's labels or with other judges, with intervals.

All figures are over items: one row is one item, one column is one judge or the labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sftgen_judges.diagnostics.rates import wilson
from sftgen_judges.errors import SftgenError

Level = Literal["nominal", "ordinal", "interval"]
Label = float | str
Data = npt.NDArray[np.float64]
# Exponent of the distance between two labels: 0 counts all misses alike, 1 by distance, 2 by its square.
WEIGHTS: dict[Level, int] = {"nominal": 0, "ordinal": 1, "interval": 2}
RESAMPLES = 1000
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
MISSING = frozenset({"", "nan", "-nan", "n/a", "na", "#n/a", "#na", "<na>", "none", "null", "nil"})
"""Texts that stand for a missing label, in small letters: what tables and their readers write for it."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:e[-+]?\d{1,3})?")
_MOST_LABELS = 1000


class AgreementError(SftgenError, ValueError):
    """Columns that cannot be compared."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval over items.

    Attributes:
        value: None where the figure is not defined.
        low: Lower end; None where nobody can tell, as where all items agree.
        high: Upper end.
    """

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
    columns: Mapping[str, Sequence[Any]],
    *,
    labels: str | None = None,
    level: Level = "nominal",
    scale: tuple[float, float] | None = None,
) -> tuple[list[Pair], Interval]:
    """Compare each column with the labels and with every other.

    Args:
        columns: Name to its values, one for each item; None, NaN and the texts of `MISSING` are missing.
        labels: The column of people's labels, if there is one.
        level: Whether labels are names (nominal), have an order (ordinal) or distances (interval).
        scale: Lowest and highest label, where known. The labels between them belong to the scale of an ordinal kappa
            whether they occur or not.

    Returns:
        Every pair of columns, those with the labels first, and Krippendorff's alpha of all columns.

    Raises:
        AgreementError: There are fewer than two columns, or a pair has no item in common.
    """
    names = sorted(columns, key=lambda name: name != labels)
    if len(names) < 2:
        raise AgreementError(f"agreement needs at least two columns, found {', '.join(names) or 'no column'}")
    data, known = _coded({name: [read_label(value) for value in columns[name]] for name in names}, level)
    steps = scale_labels(known, scale) if level == "ordinal" else ()
    pairs = [
        _pair((names[first], names[second]), data[:, [first, second]], known, level, steps)
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


def scale_labels(known: Sequence[Label], scale: tuple[float, float] | None = None) -> tuple[float, ...]:
    """The labels of a scale in order, also those that nobody gave.

    Whole numbers are labels in equal steps from the lowest to the highest: 1, 2 and 5 belong to a scale from 1 to 5,
    and 0, 50 and 100 to a scale with three labels. Of other numbers the labels are those that occur.

    >>> scale_labels([1.0, 2.0, 5.0]), scale_labels([2.0], (1, 3))
    ((1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 2.0, 3.0))
    """
    numbers = sorted({*(float(label) for label in known), *map(float, scale or ())})
    if len(numbers) > 1 and all(number.is_integer() for number in numbers):
        low, high = int(numbers[0]), int(numbers[-1])
        step = 1 if scale else math.gcd(*(int(number) - low for number in numbers))
        if (high - low) // step < _MOST_LABELS:
            return tuple(map(float, range(low, high + 1, step)))
    return tuple(numbers)


def read_label(value: Any) -> Label | None:
    """A label as a number where possible (yes and true are 1, no and false are 0); None where it is missing."""
    if value is None or (isinstance(value, int | float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):  # True is 1
        return float(value)
    text = str(value).strip().lower()
    if text in MISSING:
        return None
    if text in WORDS:
        return WORDS[text]
    return float(text) if _NUMBER.fullmatch(text) else text


def at_least(values: Sequence[Any], threshold: float, scale: tuple[float, float] | None = None) -> list[Label | None]:
    """1 for scores from the threshold on, else 0.

    Names, yes and no (true and false) stay as they are, and so does a column on the scale from 0 to 1.

    Args:
        values: A column.
        threshold: Lowest score that becomes 1.
        scale: Lowest and highest score of the column. Where it is not known, a column of 0 and 1 is on the scale from 0
            to 1 if a 0 occurs; a column of ones has scores: 1 is the lowest of a scale from 1 to 5.
    """
    labels = [read_label(value) for value in values]
    if not has_scores(values, scale):
        return labels
    return [
        label if label is None or is_word(value) else float(float(label) >= threshold)
        for value, label in zip(values, labels, strict=True)
    ]


def has_scores(values: Sequence[Any], scale: tuple[float, float] | None = None) -> bool:
    """Whether a threshold applies to a column: it has numbers that are not 0 and 1 of the scale from 0 to 1."""
    numbers = {label for value in values if (label := read_label(value)) is not None and not is_word(value)}
    if not numbers or any(isinstance(label, str) for label in numbers):
        return False
    binary = numbers <= {0.0, 1.0} and (scale == (0, 1) if scale else 0.0 in numbers)
    return not binary


def is_word(value: Any) -> bool:
    """Whether a label is yes, no, true or false."""
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in WORDS)


def _pair(names: tuple[str, str], data: Data, known: list[Label], level: Level, steps: Sequence[float]) -> Pair:
    rows = data[~np.isnan(data).any(axis=1)]
    if not len(rows):
        raise AgreementError(f"columns {names[0]!r} and {names[1]!r}: no item has both")
    values, table = _table(rows)
    equal = float((rows[:, 0] == rows[:, 1]).mean())
    return Pair(
        columns=names,
        n=len(rows),
        missing=len(data) - len(rows),
        accuracy=Interval(equal, *wilson(equal, len(rows))),
        kappa=bootstrap(rows, lambda drawn: kappa(drawn, level, steps)),
        alpha=bootstrap(rows, lambda drawn: alpha(drawn, level)),
        labels=[value if isinstance(known[0], float) else known[int(value)] for value in values.tolist()],
        table=table.tolist(),
    )


def kappa(rows: Data, level: Level = "nominal", steps: Sequence[float] = ()) -> float:
    """Cohen's kappa of rows (items, 2); NaN where all labels are the same.

    Args:
        rows: The labels.
        level: How near misses are weighed: not at all, by the labels between the two, or by their squared distance.
        steps: All labels of an ordinal scale, in order; without them those that occur in `rows`.
    """
    values, table = _table(rows)
    expected = np.outer(table.sum(1), table.sum(0)) / len(rows)
    ranks = np.searchsorted(steps, values) if len(steps) else np.arange(len(values))
    places = ranks if level == "ordinal" else values
    distance = np.abs(places[:, None] - places).astype(float)
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
    """A figure of rows (items, columns) with its percentile interval.

    Draws where it is not defined are left out. If all others agree, they show nothing of other items: no interval.
    """
    value = figure(rows)
    if math.isnan(value):
        return Interval(None)
    rng = np.random.default_rng(0)
    draws = [figure(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high)) if high > low else Interval(value)
