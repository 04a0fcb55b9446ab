"""Landmarks of a curve: how deep it dips and when, when it is back, its peak, its end, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from sftgen_train.trajectory.alignment import Curves, Floats
from sftgen_train.trajectory.flips import TIE, rows_of
from sftgen_train.trajectory.resampling import DRAWS, Interval, Resamples, interval_of, resample

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "dip depth": "the lowest mean after the base, less the base; above 0 where no step is below the base",
        "dip step": "the first step with the lowest mean, if it is below the base",
        "back at": "the first step after the dip step that is at the base or above",
        "peak": "the highest mean after the base",
        "peak step": "the first step with that mean",
        "end": "the mean of the last step",
        "area": "the mean height of the curve over log2(1 + step), by trapezoids",
        "peak truncation": "the highest share of truncated answers of all steps",
    }
)
"""Every landmark with its definition, in the order of tables."""
STEPS = frozenset({"dip step", "back at", "peak step"})
"""Landmarks that are one of the steps, or none: they have a distribution, not an interval."""
EXTREMES = frozenset({"dip depth", "peak", "peak truncation"})
"""Landmarks that are the most extreme of several steps. Noise makes them more extreme, and drawing again once more:
their intervals are turned around (2 x seen - draw), which takes as much away as drawing again adds."""


@dataclass(frozen=True)
class Landmark:
    """One landmark of one curve.

    Attributes:
        name: One of `MEANINGS`.
        seen: A number with its interval. Of a landmark that is a step: NaN.
        step: The step, of a landmark that is one; None where there is none.
        distribution: Of such a landmark: the share of draws with each step; None stands for no step.
    """

    name: str
    seen: Interval
    step: int | None = None
    distribution: Mapping[int | None, float] | None = None


def landmarks(
    curves: Curves, base: int | None = 0, *, truncated: ArrayLike | None = None, draws: int = DRAWS, seed: int = 0
) -> tuple[Landmark, ...]:
    """The landmarks of a curve, each with what other documents would make of it.

    The lowest and the highest step are chosen by looking, so noise alone makes a depth and a peak; intervals are of
    the landmark of this curve, and do not show that there is a dip: `read_curve` does.

    Args:
        curves: The curve.
        base: The step before training; without it nothing is said of dips.
        truncated: Documents x steps: the share of truncated answers of the same documents.
        draws: Draws of documents.
        seed: Of the random numbers.

    Raises:
        ValueError: No documents, or `truncated` has another shape than the values.
    """
    columns = [curves.values]
    if truncated is not None:
        extra = np.asarray(truncated, dtype=np.float64)
        if extra.shape != curves.values.shape:
            raise ValueError(f"truncated of shape {extra.shape} for values of shape {curves.values.shape}")
        columns.append(extra)
    drawn = resample(rows_of(np.concatenate(columns, axis=1), curves.clusters), draws=draws, seed=seed)
    return tuple(landmarks_of(drawn, curves.steps, base))


def landmarks_of(drawn: Resamples, steps: Sequence[int], base: int | None, start: int = 0) -> list[Landmark]:
    """The landmarks of the curve that stands in some columns of a resample.

    Args:
        drawn: Its columns from `start` on are the means at the steps; if as many follow, they are truncated shares.
        steps: The steps.
        base: As `landmarks`.
        start: The first column of the curve.
    """
    seen, found = (measured(part, steps, base, start) for part in (drawn.seen[None], drawn.means))
    made = []
    for name, values in found.items():
        at = seen[name][0]
        if name in STEPS:
            kinds, times = np.unique(np.where(np.isfinite(values), values, -1), return_counts=True)
            shares = {
                None if kind < 0 else steps[int(kind)]: float(time / len(values))
                for kind, time in zip(kinds, times, strict=True)
            }
            step = steps[int(at)] if np.isfinite(at) else None
            made.append(Landmark(name, Interval(np.nan, np.nan, np.nan), step, shares))
        else:
            turned = 2 * at - values if name in EXTREMES else values
            made.append(Landmark(name, interval_of(float(at), turned, drawn.units)))
    return made


def measured(means: Floats, steps: Sequence[int], base: int | None, start: int = 0) -> dict[str, Floats]:
    """Every landmark of every draw, by name; steps by their place, NaN for none.

    Args:
        means: Draws x columns, see `landmarks_of`.
        steps: The steps.
        base: As `landmarks`.
        start: The first column of the curve.
    """
    count = len(steps)
    curve, rest = means[:, start : start + count], means[:, start + count : start + 2 * count]
    found: dict[str, Floats] = {}
    first = steps.index(base) if base in steps else None
    after = curve if first is None else curve[:, first + 1 :]
    skipped = count - after.shape[1]
    if first is not None and after.shape[1]:
        level = curve[:, first]
        lowest, place = after.min(axis=1), after.argmin(axis=1)
        dips = lowest < level - TIE
        back = (after >= level[:, None] - TIE) & (np.arange(after.shape[1]) > place[:, None])
        found["dip depth"] = lowest - level
        found["dip step"] = np.where(dips, place + skipped, np.nan)
        found["back at"] = np.where(dips & back.any(axis=1), back.argmax(axis=1) + skipped, np.nan)
    if after.shape[1]:
        found["peak"] = after.max(axis=1)
        found["peak step"] = after.argmax(axis=1).astype(np.float64) + skipped
    found["end"] = curve[:, -1]
    if count > 1:
        place_on_axis = np.log2(1 + np.asarray(steps, dtype=np.float64))
        found["area"] = np.trapezoid(curve, place_on_axis, axis=1) / (place_on_axis[-1] - place_on_axis[0])
    if rest.shape[1] == count and count:
        found["peak truncation"] = rest.max(axis=1)
    return found
