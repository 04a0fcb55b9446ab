"""The same documents under every point of a curve: values as arrays, and what was left out, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ROUNDING = 1e-9
"""So far a share may be outside of 0 to 1."""


@dataclass(frozen=True)
class LeftOut:
    """What a comparison does not rest on.

    Attributes:
        what: `documents`, `steps` or `repeats`.
        count: How many.
        why: The reason.
    """

    what: str
    count: int
    why: str


@dataclass(frozen=True)
class Curves:
    """Values of the documents that all compared steps share.

    Attributes:
        steps: The compared steps, ascending.
        values: Documents x steps: the mean over a document's repeats. Nothing is missing.
        clusters: For each document the number of its cluster, from 0. Documents of one cluster are not independent.
        kept: For each document its row in the input.
        counts: For each step the documents that have a value there, shared or not.
        repeats: Mean number of repeats of a value.
        noise: For each step the variance of the mean over documents that comes from repeats alone; NaN without
            repeats.
        left_out: What is not in `values`, with reasons.
    """

    steps: tuple[int, ...]
    values: Floats
    clusters: Integers
    kept: Integers
    counts: tuple[int, ...]
    repeats: float
    noise: Floats
    left_out: tuple[LeftOut, ...] = ()

    @property
    def partial(self) -> tuple[int, ...]:
        """Steps at which some other documents have a value too, or fewer documents than at the fullest step."""
        return tuple(
            step for step, count in zip(self.steps, self.counts, strict=True) if count < max(self.counts, default=0)
        )


def align(
    values: ArrayLike, steps: Sequence[int], *, clusters: ArrayLike | None = None, complete: bool = False
) -> Curves:
    """Average the repeats of each document and keep the documents that every step has.

    A step at which no document has a value is left out, as after an evaluation that failed.

    Args:
        values: Documents x steps, or documents x steps x repeats. NaN is a missing value, infinity too.
        steps: The step of each column.
        clusters: A label for each document, of any type. Documents of one label are resampled together. By default
            every document is its own cluster.
        complete: Whether to leave out documents that lack some repeats at some step. Otherwise their mean is of the
            repeats that are there, and they are counted only.

    Raises:
        ValueError: The shapes do not fit, or a step is named twice.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim == 2:
        given = given[:, :, None]
    if given.ndim != 3 or given.shape[1] != len(steps):
        raise ValueError(
            f"values of shape {np.shape(values)} with {len(steps)} steps: expected documents x steps, or "
            "documents x steps x repeats"
        )
    twice = sorted({step for step in steps if list(steps).count(step) > 1})
    if twice:
        raise ValueError(f"step {twice[0]} is named twice: expected every step once; merge its values first")
    labels = _labels(clusters, given.shape[0])
    order = sorted(range(len(steps)), key=lambda column: steps[column])
    given, named = given[:, order, :], [int(steps[column]) for column in order]

    there = np.isfinite(given)
    counts = there.sum(axis=2)
    measured = (counts > 0).any(axis=0)
    left_out = [
        LeftOut("steps", 1, f"step {step}: no document has a value")
        for step, any_value in zip(named, measured, strict=True)
        if not any_value
    ]
    given, there, counts = given[:, measured], there[:, measured], counts[:, measured]
    named = [step for step, any_value in zip(named, measured, strict=True) if any_value]

    shared = (counts > 0).all(axis=1) if named else np.zeros(len(labels), dtype=bool)
    lost = len(labels) - int(shared.sum())
    if lost:
        left_out.append(LeftOut("documents", lost, "no value at some step"))
    # A document lacks repeats where it has fewer than the fullest document has at that step.
    gaps = shared & (counts < counts.max(axis=0, initial=0)).any(axis=1)
    if gaps.any():
        why = "some repeats are missing" + ("" if complete else "; their mean is of the others")
        left_out.append(LeftOut("documents" if complete else "repeats", int(gaps.sum()), why))
    if complete:
        shared = shared & ~gaps
    kept = np.flatnonzero(shared)
    given, there, numbers = given[kept], there[kept], counts[kept]
    means = np.where(there, given, 0.0).sum(axis=2) / np.maximum(numbers, 1)
    return Curves(
        tuple(named),
        means,
        np.unique(labels[kept], return_inverse=True)[1].reshape(-1).astype(np.int64),
        kept.astype(np.int64),
        tuple(int(count) for count in (counts > 0).sum(axis=0)),
        float(numbers.mean()) if numbers.size else 0.0,
        _noise(given, there, numbers, means),
        tuple(left_out),
    )


def require_shares(curves: Curves) -> None:
    """Check that values lie between 0 and 1.

    Raises:
        ValueError: One does not.
    """
    odd = np.argwhere((curves.values < -ROUNDING) | (curves.values > 1 + ROUNDING))
    if len(odd):
        row, column = odd[0].tolist()
        raise ValueError(
            f"value {curves.values[row, column]:g} of document {curves.kept[row]} at step {curves.steps[column]}: "
            "expected 0 to 1; `share=False` is for values of another kind"
        )


def stack(
    documents: Sequence[Any] | NDArray[Any],
    steps: Sequence[int] | Integers,
    values: ArrayLike,
    repeats: Sequence[int] | Integers | None = None,
) -> tuple[Floats, list[int], NDArray[Any]]:
    """Samples, one an entry, as the array that `align` takes.

    Args:
        documents: Which document each sample is of.
        steps: At which step.
        values: Its value; NaN where there is none.
        repeats: Which repeat it is.

    Returns:
        Documents x steps x repeats with NaN where there is no sample, the steps, and the documents.

    Raises:
        ValueError: The lengths differ, or a document has a repeat twice at a step.
    """
    numbers = np.asarray(values, dtype=np.float64)
    repeats = np.zeros(len(numbers), dtype=np.int64) if repeats is None else np.asarray(repeats)
    if not len(documents) == len(steps) == len(numbers) == len(repeats):
        raise ValueError(f"{len(documents)} documents, {len(steps)} steps, {len(numbers)} values: expected as many")
    names, row = np.unique(np.asarray(documents), return_inverse=True)
    found, column = np.unique(np.asarray(steps, dtype=np.int64), return_inverse=True)
    kinds, layer = np.unique(repeats, return_inverse=True)
    shape = (len(names), len(found), len(kinds))
    place = np.ravel_multi_index((row, column, layer), shape) if len(numbers) else np.zeros(0, dtype=np.int64)
    once, first = np.unique(place, return_index=True)
    if len(once) < len(place):
        extra = int(np.setdiff1d(np.arange(len(place)), first)[0])
        raise ValueError(
            f"document {names[row[extra]].tolist()!r} has repeat {kinds[layer[extra]]} twice at step "
            f"{found[column[extra]]}: expected every sample once"
        )
    array = np.full(shape, np.nan)
    array.reshape(-1)[place] = numbers
    return array, [int(step) for step in found], names


def _labels(clusters: ArrayLike | None, documents: int) -> NDArray[Any]:
    if clusters is None:
        return np.arange(documents)
    labels = np.asarray(clusters)
    if labels.shape != (documents,):
        raise ValueError(f"clusters of shape {labels.shape} for {documents} documents: expected one label a document")
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def _noise(given: Floats, there: NDArray[np.bool_], numbers: NDArray[Any], means: Floats) -> Floats:
    """Variance of each step's mean that asking again would show: only documents with two repeats tell."""
    several = numbers > 1
    square = np.where(there, (given - means[:, :, None]) ** 2, 0.0).sum(axis=2)
    variance = np.where(several, square / np.maximum((numbers - 1) * numbers, 1), 0.0)
    telling = several.sum(axis=0)
    return np.where(telling > 0, variance.sum(axis=0) / np.maximum(telling, 1) / max(len(given), 1), np.nan)
