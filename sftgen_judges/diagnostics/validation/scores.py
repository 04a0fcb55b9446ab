"""Precision, recall and F1 of labels, with intervals that know that segments of one document are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
import numpy.typing as npt

from sftgen_judges.diagnostics.rates import wilson
from sftgen_judges.plugins.contracts import Interval

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """How well found labels agree with the right ones.

    Attributes:
        units: Units, for example segments.
        documents: Documents that they stand in.
        positives: Units that have the label.
        found: Units that were found to have it.
        precision: Share of the found that have it.
        recall: Share of those that have it that were found.
        f1: Harmonic mean of the two.
        trivial_f1: F1 of finding every unit.
    """

    units: int
    documents: int
    positives: int
    found: int
    precision: Interval
    recall: Interval
    f1: Interval
    trivial_f1: float


Counted = tuple[int, int, int, int]
"""Of a document: units that both sides name, that are right, that were found, and all."""


def counted(right: Sequence[bool], found: Sequence[bool]) -> Counted:
    """Compare the labels that were found in one document with the right ones.

    Args:
        right: Whether each of its units has the label.
        found: The same, as it was found.

    Raises:
        ValueError: The two differ in length.
    """
    if len(right) != len(found):
        raise ValueError("right and found labels are not of the same units")
    return sum(a and b for a, b in zip(right, found, strict=True)), sum(right), sum(found), len(right)


def score(documents: Sequence[Counted]) -> Scores:
    """How well found labels agree with the right ones.

    Args:
        documents: What was counted in each document.

    Raises:
        ValueError: There is no unit.
    """
    counts = np.array(documents, dtype=np.float64).reshape(-1, 4)
    both, positives, founds, units = counts.T
    if not units.sum():
        raise ValueError("no unit to score")
    total = positives.sum() + units.sum()
    return Scores(
        units=int(units.sum()),
        documents=int((units > 0).sum()),
        positives=int(positives.sum()),
        found=int(founds.sum()),
        precision=proportion(both, founds),
        recall=proportion(both, positives),
        # F1 is a share too: of the units that either side names, counted once a side, those that both name.
        f1=proportion(2 * both, positives + founds, weight=2),
        trivial_f1=float(2 * positives.sum() / total),
    )


def proportion(above: Counts, below: Counts, weight: float = 1.0) -> Interval:
    """A ratio of sums over documents that lies between 0 and 1, with Wilson's interval.

    The sample size in it is the one that gives the variance between documents (linearised), at most the number of
    units: units of one document that agree with each other count less than they are. Without units it is anything
    from 0 to 1, and its value 0, as is usual for precision and F1.

    Args:
        above: What is counted, a number a document.
        below: Of how many.
        weight: How much one unit counts in `below`.
    """
    total = float(below.sum())
    if not total:
        return Interval(0.0, 0.0, 1.0)
    share = float(above.sum()) / total
    documents = int((below > 0).sum())
    units = total / weight
    variance = 0.0
    if documents > 1:
        spread = above - share * below
        variance = float((spread**2).sum()) * documents / (documents - 1) / total**2
    n = min(units, share * (1 - share) / variance) if variance else min(units, documents)
    return Interval(share, *wilson(share, n))


def product(one: Interval, other: Interval) -> Interval:
    """A share of a share, for example of all answers: the sides of both intervals together (Zou and Donner's MOVER)."""
    value = one.value * other.value
    down = hypot((one.value - one.low) * other.value, (other.value - other.low) * one.value)
    up = hypot((one.high - one.value) * other.value, (other.high - other.value) * one.value)
    return Interval(value, max(0.0, value - down), min(1.0, value + up))
