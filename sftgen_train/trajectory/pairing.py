"""Two arms on the documents and steps that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_train.trajectory.alignment import Curves, Floats, Integers, LeftOut, align


@dataclass(frozen=True)
class Samples:
    """What one arm answered to the documents of a task.

    Attributes:
        values: Documents x steps x repeats; NaN where there is no value.
        steps: The step of each column, ascending.
        documents: The name of each document, the same in all arms.
        clusters: The label of each document's cluster; None where every document is its own.
        truncated: As `values`, with as many repeats or one: 1 where an answer was truncated, 0 where not.
        beside: Further numbers of the answers by name, in the shape of `values`.
    """

    values: Floats
    steps: tuple[int, ...]
    documents: NDArray[Any]
    clusters: NDArray[Any] | None = None
    truncated: Floats | None = None
    beside: Mapping[str, Floats] = field(default_factory=dict)

    def only(self, step: int) -> Samples:
        """One checkpoint of it.

        Raises:
            ValueError: There is no such step.
        """
        return self._at([self.steps.index(step)])

    def without(self, step: int) -> Samples:
        """All other steps."""
        return self._at([place for place, other in enumerate(self.steps) if other != step])

    def _at(self, places: list[int]) -> Samples:
        """Some steps, and the documents that have a value at one of them."""
        values = self.values[:, places]
        there = np.isfinite(values).any(axis=(1, 2))
        return Samples(
            values[there],
            tuple(self.steps[place] for place in places),
            self.documents[there],
            None if self.clusters is None else self.clusters[there],
            None if self.truncated is None else self.truncated[:, places][there],
            {name: numbers[:, places][there] for name, numbers in self.beside.items()},
        )


@dataclass(frozen=True)
class Pair:
    """Two arms, aligned.

    Attributes:
        name: The task.
        steps: The compared steps of the first arm, ascending.
        other_steps: Those of the second: the same, unless one checkpoint each is compared.
        values: Documents x (steps of the first, then of the second): means over repeats, nothing missing.
        truncated: The same of truncated shares; None if they are not known for all.
        clusters: For each document the number of its cluster.
        first: Documents x steps x repeats of the first arm.
        second: Of the second.
        repeats: Mean number of repeats.
        noise: For each column the variance of its mean that comes from repeats alone.
        left_out: What is not compared, with reasons.
    """

    name: str
    steps: tuple[int, ...]
    other_steps: tuple[int, ...]
    values: Floats
    truncated: Floats | None
    clusters: Integers
    first: Floats
    second: Floats
    repeats: float
    noise: Floats
    left_out: tuple[LeftOut, ...]

    def columns(self, steps: Sequence[int]) -> list[int]:
        """The columns of some steps, of the first arm, then of the second."""
        places = [self.steps.index(step) for step in steps]
        return [*places, *(len(self.steps) + place for place in places)]


def pair(name: str, first: Samples, second: Samples, *, complete: bool = False) -> Pair:
    """Keep the documents and steps that both arms have.

    Where both arms are one checkpoint, these are compared, whatever their steps.

    Args:
        name: The task.
        first: The arm that others are compared with.
        second: Another.
        complete: Whether documents that lack repeats are left out, see `align`.
    """
    _, rows, others = np.intersect1d(first.documents, second.documents, return_indices=True)
    said = [
        LeftOut("documents", len(arm.documents) - len(rows), f"in the {which} arm only")
        for arm, which in ((first, "first"), (second, "second"))
        if len(arm.documents) > len(rows)
    ]
    a, b = first.values[rows], second.values[others]
    steps, other_steps = first.steps, second.steps
    if not len(steps) == len(other_steps) == 1:
        there = [
            {step for place, step in enumerate(arm.steps) if np.isfinite(values[:, place]).any()}
            for arm, values in ((first, a), (second, b))
        ]
        steps = other_steps = tuple(sorted(there[0] & there[1]))
        lost = sorted({*first.steps, *second.steps} - set(steps))
        if lost:
            said.append(LeftOut("steps", len(lost), "without values in both arms: " + ", ".join(map(str, lost))))
    columns = [[arm.steps.index(step) for step in of] for arm, of in ((first, steps), (second, other_steps))]
    a, b = a[:, columns[0]], b[:, columns[1]]
    repeats = max(a.shape[2], b.shape[2])
    labels = None if first.clusters is None else first.clusters[rows]
    both = np.concatenate([_wide(a, repeats), _wide(b, repeats)], axis=1)
    curves: Curves = align(both, range(both.shape[1]), clusters=labels, complete=complete)
    kept = curves.kept
    whole = len(curves.steps) == both.shape[1]
    truncated = None
    if first.truncated is not None and second.truncated is not None and whole and len(kept):
        cut = [first.truncated[rows][:, columns[0]][kept], second.truncated[others][:, columns[1]][kept]]
        truncated = np.concatenate([means_over_repeats(values) for values in cut], axis=1)
        truncated = truncated if np.isfinite(truncated).all() else None
    return Pair(
        name,
        steps if whole else (),
        other_steps if whole else (),
        curves.values if whole else np.zeros((0, 0)),
        truncated,
        curves.clusters if whole else np.zeros(0, dtype=np.int64),
        a[kept],
        b[kept],
        curves.repeats,
        curves.noise,
        (*said, *curves.left_out),
    )


def _wide(values: Floats, repeats: int) -> Floats:
    return np.pad(values, ((0, 0), (0, 0), (0, repeats - values.shape[2])), constant_values=np.nan)


def means_over_repeats(values: Floats) -> Floats:
    """Documents x steps: the mean of what is there of documents x steps x repeats; NaN where nothing is."""
    there = np.isfinite(values)
    counts = there.sum(axis=2)
    return np.where(counts > 0, np.where(there, values, 0.0).sum(axis=2) / np.maximum(counts, 1), np.nan)


def truncated_shares(of: Samples, truncated: Samples) -> Floats:
    """What share of the answers was truncated, for the documents and steps of other values.

    Args:
        of: The values.
        truncated: The same answers: 1 where one was truncated, 0 where not; its documents are sorted.

    Returns:
        Documents x steps x 1; NaN where it is not known.
    """
    found = np.full((len(of.documents), len(of.steps), 1), np.nan)
    _, rows, others = np.intersect1d(of.documents, truncated.documents, return_indices=True)
    means = means_over_repeats(truncated.values)
    for place, step in enumerate(of.steps):
        if step in truncated.steps:
            found[rows, place, 0] = means[others, truncated.steps.index(step)]
    return found
