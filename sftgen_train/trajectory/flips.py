"""Sign flips of whole rows of documents, all steps at once: one set of flips for every test and interval.

If nothing changed, a document's difference between two steps is as likely to be up as down, so its sign can be
flipped. A row, the values of a document (or a cluster) at all steps, is flipped as a whole: how steps depend on each
other is kept. Everything is linear in the columns, so one product of signs and values serves every contrast.

    rows = rows_of(curves.values, curves.clusters)
    flips = flip(rows)
    tests = max_test(flips, against(0, rows.columns), "less")  # every later step against the first
    limits(flips, contrast(rows.columns, [-1], [0])).low  # of the last step's change
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sftgen_train.trajectory.alignment import Floats, Integers

DRAWS = 4000
"""Random flips beside the data as they are: the smallest p-value is then 1 in 4,001."""
EXACT = 12
"""Up to so many rows every flip is taken: 2 to the power of 12 are 4,096."""
TIE = 1e-7
"""Numbers that differ by less are equal, but for rounding."""
_CHUNK = 1024  # rows of signs that are in memory together


@dataclass(frozen=True)
class Rows:
    """What is flipped: rows that add up to the means.

    Attributes:
        values: Rows x columns; the sum of a column is the mean over documents.
        weights: The share of each row in the mean; their sum is 1.
        strata: The number of the task that each row is of. Rows of one task are alike, those of others are not.
    """

    values: Floats
    weights: Floats
    strata: Integers

    @property
    def columns(self) -> int:
        """The number of columns, usually steps."""
        return int(self.values.shape[1])

    @property
    def means(self) -> Floats:
        """The mean of each column."""
        return np.asarray(self.values.sum(axis=0))

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Flips:
    """Random subsets of rows, whose signs are flipped; the first is empty: the data as they are.

    Attributes:
        rows: What is flipped.
        values: Subsets x columns: the sum of the rows in the subset.
        weights: Subsets x strata: their weights.
        exact: Whether these are all subsets.
    """

    rows: Rows
    values: Floats
    weights: Floats
    exact: bool


def rows_of(values: ArrayLike, clusters: ArrayLike | None = None) -> Rows:
    """The rows of one task.

    Args:
        values: Documents x columns, without NaN.
        clusters: The label of each document's cluster; by default each is its own.

    Raises:
        ValueError: No documents, or a value is missing.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim == 1:
        given = given[:, None]
    if not len(given):
        raise ValueError("no documents: expected at least one that every step has")
    missing = np.argwhere(~np.isfinite(given))
    if len(missing):
        row, column = missing[0].tolist()
        raise ValueError(
            f"{len(missing)} values are missing, the first {given[row, column]} of document {row} in column {column}: "
            "`align` keeps the documents that have all"
        )
    labels = np.arange(len(given)) if clusters is None else np.asarray(clusters)
    if labels.shape != (len(given),):
        raise ValueError(f"clusters of shape {labels.shape} for {len(given)} documents: expected one a document")
    names, numbers = np.unique(labels, return_inverse=True)
    count = len(names)
    if count == len(given):
        summed, sizes = given[np.argsort(numbers)] / len(given), np.full(count, 1 / len(given))
    else:
        summed = np.stack([np.bincount(numbers, column, count) for column in given.T], axis=1) / len(given)
        sizes = np.bincount(numbers, minlength=count) / len(given)
    return Rows(summed, sizes, np.zeros(count, dtype=np.int64))


def pool(tasks: Sequence[Rows]) -> Rows:
    """The rows of several tasks, for the mean of their means; documents stay within their task.

    Raises:
        ValueError: No tasks, or their columns differ.
    """
    if not tasks or len({rows.columns for rows in tasks}) > 1:
        raise ValueError(f"tasks with {[rows.columns for rows in tasks]} columns: expected as many each")
    return Rows(
        np.concatenate([rows.values for rows in tasks]) / len(tasks),
        np.concatenate([rows.weights for rows in tasks]) / len(tasks),
        np.repeat(np.arange(len(tasks)), [len(rows) for rows in tasks]),
    )


def flip(rows: Rows, *, draws: int = DRAWS, seed: int = 0) -> Flips:
    """Draw subsets of rows to flip, or take all where there are few rows.

    Memory does not grow with the number of rows.

    Args:
        rows: What is flipped.
        draws: Random subsets.
        seed: Of the random numbers: equal seeds give equal results.
    """
    strata = int(rows.strata.max()) + 1
    if len(rows) <= EXACT:
        numbers = np.arange(2 ** len(rows))
        taken = [((numbers[:, None] >> np.arange(len(rows))) & 1).astype(np.float64)]
    else:
        taken = []
    summed = np.zeros((len(taken[0]) if taken else draws + 1, rows.columns + strata))
    random = np.random.default_rng(seed)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        kind = rows.strata[part, None] == np.arange(strata)
        block = np.concatenate([rows.values[part], rows.weights[part, None] * kind], axis=1)
        if taken:
            summed += taken[0] @ block
        else:
            bits = np.unpackbits(random.integers(0, 256, (len(block), -(-draws // 8)), dtype=np.uint8), axis=1)
            summed[1:] += bits[:, :draws].astype(np.float64).T @ block
    return Flips(rows, summed[:, : rows.columns], summed[:, rows.columns :], bool(taken))


def against(column: int, columns: int) -> Floats:
    """Contrasts of every later column with this one: columns x contrasts."""
    found = np.eye(columns)[:, column + 1 :]
    found[column] = -1
    return found


def contrast(columns: int, plus: Sequence[int], minus: Sequence[int] = ()) -> Floats:
    """One contrast: the mean of some columns less the mean of others."""
    found = np.zeros((columns, 1))
    for index in plus:
        found[index] += 1 / len(plus)
    for index in minus:
        found[index] -= 1 / len(minus)
    return found


# ------------------------------------------------------------------------------ numbers of contrasts


def standard_errors(rows: Rows, contrasts: Floats) -> Floats:
    """Standard error of each contrast, between rows and within strata; infinite where a stratum has one row."""
    sizes = np.bincount(rows.strata)
    if (sizes == 1).any():
        return np.full(contrasts.shape[1], np.inf)
    deviations = centred(rows, centres_of(rows)) * np.sqrt(sizes / (sizes - 1))[rows.strata, None]
    return np.asarray(np.sqrt(quadratic(deviations, contrasts)))


def centres_of(rows: Rows) -> Floats:
    """The mean of each stratum: strata x columns."""
    weights = np.bincount(rows.strata, rows.weights)
    return np.stack([np.bincount(rows.strata, column) for column in rows.values.T], axis=1) / weights[:, None]


def centred(rows: Rows, centres: Floats) -> Floats:
    """Each row less what it would be if its documents had their stratum's mean."""
    expected = rows.weights[:, None] * centres[rows.strata]
    found = rows.values - expected
    # What rounding leaves where all documents have one value.
    found[np.abs(found) <= 1e-12 * np.abs(expected)] = 0.0
    return np.asarray(found)


def quotient(above: Floats, below: Floats) -> Floats:
    """0 where nothing varies and nothing changes; infinite where a change does not vary."""
    above, below = np.broadcast_arrays(above, below)
    endless = np.where(np.abs(above) > TIE * TIE, np.copysign(np.inf, above), 0.0)
    return np.divide(above, below, out=endless, where=below > 0)


def quadratic(values: Floats, contrasts: Floats) -> Floats:
    """The sum of squares of each contrast over rows, without making the rows of the contrasts."""
    gram = values.T @ values
    found = np.einsum("jc,jk,kc->c", contrasts, gram, contrasts, optimize=True)
    size = np.abs(contrasts).T @ np.diag(gram)
    # What rounding leaves of a contrast that is 0 in every row.
    return np.where(found > 1e-13 * size, found, 0.0)
