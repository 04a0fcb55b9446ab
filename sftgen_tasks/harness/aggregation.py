"""What every task reports, and aggregations that are no mean, for the `metric_list` of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

METRICS = {
    "score": True,
    "score_paper": True,
    "answered": True,
    "truncated": False,
    "coverage": True,
    "response_tokens": False,
    "unknown_markers": False,
}
"""Metric to whether more is better. Those that a task's verdicts do not carry are not reported."""


def ratio(values: Sequence[Sequence[float]]) -> float:
    """Sum of parts over sum of wholes, for `[part, whole]` of each document; nan without a whole.

    Instruction-level accuracy, for one: a prompt with three instructions counts three times.
    """
    whole = sum(value[1] for value in values)
    return sum(value[0] for value in values) / whole if whole else float("nan")


def balanced(values: Sequence[Sequence[float]]) -> float:
    """Mean over classes of each class's mean, for `[class, value]` of each document."""
    classes: dict[float, list[float]] = defaultdict(list)
    for of_class, value in values:
        classes[of_class].append(value)
    return fmean(fmean(found) for found in classes.values()) if classes else float("nan")
