"""Landmarks of a curve: how deep it dips and when, when it is back, its peak, its end, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sftgen_train.trajectory.alignment import Curves, Floats, require_shares
from sftgen_train.trajectory.flips import TIE, Rows, rows_of
from sftgen_train.trajectory.intervals import Band, changes_at, contrasts_at, shares_at
from sftgen_train.trajectory.resampling import DRAWS, Interval, Resamples, resample
from sftgen_train.trajectory.statistics import may_differ, normal_quantile

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
ONE_SIDED = 0.05
"""Error of each side of the interval of a lowest or highest step, see `_extreme`. Only one side is ever near it, so the
interval holds about 95 %; seen on simulated runs that are none of those in docs/error_rates.md."""

LOWEST = 2
"""Steps less than so many standard errors above the lowest may be lower, for the lower limit of a dip's depth."""
EQUAL = 3
"""Steps less than so many standard errors below the highest may be as high, for differences of two arms."""
EXTREMES = frozenset({"dip depth", "peak", "peak truncation"})
"""Landmarks that are the lowest or highest of several steps. Where these are nearly as low or high, their intervals
hold the truth more often than in 95 of 100, because nobody knows which step it is."""


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
    curves: Curves,
    base: int | None = 0,
    *,
    truncated: ArrayLike | None = None,
    share: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Landmark, ...]:
    """The landmarks of a curve, each with what other documents would make of it.

    The lowest and the highest step are chosen by looking, so noise alone makes a depth and a peak. Their intervals are
    of the true lowest and highest mean, and pay for the looking; `read_curve` shows whether there is a dip.

    Args:
        curves: The curve.
        base: The step before training; without it nothing is said of dips.
        truncated: Documents x steps: the share of truncated answers of the same documents.
        share: Whether values lie between 0 and 1.
        draws: Draws of documents.
        seed: Of the random numbers.

    Raises:
        ValueError: No documents, a share outside of 0 to 1, or `truncated` has another shape than the values.
    """
    if share:
        require_shares(curves)
    columns = [curves.values]
    if truncated is not None:
        extra = np.asarray(truncated, dtype=np.float64)
        if extra.shape != curves.values.shape:
            raise ValueError(f"truncated of shape {extra.shape} for values of shape {curves.values.shape}")
        columns.append(extra)
    rows = rows_of(np.concatenate(columns, axis=1), curves.clusters)
    return tuple(landmarks_of(rows, resample(rows, draws=draws, seed=seed), curves.steps, base, share=share))


def landmarks_of(
    rows: Rows, drawn: Resamples, steps: Sequence[int], base: int | None, *, share: bool = True
) -> list[Landmark]:
    """The landmarks of a curve.

    Args:
        rows: Its columns are the values at the steps; if as many follow, they are truncated shares.
        drawn: Of the rows.
        steps: The steps.
        base: As `landmarks`.
        share: As `landmarks`.
    """
    seen, found = (measured(part, steps, base) for part in (drawn.seen[None], drawn.means))
    ends = _ends(rows, drawn, steps, base, share=share)
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
            made.append(Landmark(name, Interval(float(at), *ends[name])))
    return made


# ------------------------------------------------------------------------------ intervals

_Ends = tuple[float, float]


def _ends(rows: Rows, drawn: Resamples, steps: Sequence[int], base: int | None, *, share: bool) -> dict[str, _Ends]:
    """The interval of every landmark that is a number."""
    count = len(steps)
    first = steps.index(base) if base in steps else None
    after = list(range(0 if first is None else first + 1, count))
    # The area is a mean of documents' areas: one more column.
    areas = rows.values[:, :count] @ _heights(steps)
    wide = Rows(np.concatenate([rows.values, areas], axis=1), rows.weights, rows.strata)
    one, few, level = normal_quantile(0.025), normal_quantile(ONE_SIDED), np.eye(wide.columns)

    def levels(columns: Sequence[int], z: float, *, share: bool = share) -> Band:
        part = Rows(wide.values[:, list(columns)], wide.weights, wide.strata)
        return shares_at(part, z) if share else contrasts_at(part, np.eye(part.columns), z)

    def changes(z: float) -> Band:
        plus, minus = after, [first or 0] * len(after)
        if share:
            return changes_at(wide, plus, minus, z, agreed=may_differ(len(wide), ONE_SIDED / len(after)))
        return contrasts_at(wide, level[:, plus] - level[:, minus], z)

    found = {"end": _of(levels(range(count), one), count - 1), "area": _of(levels([wide.columns - 1], one), 0)}
    if after:
        joint = _joint(drawn.means[:, after] - drawn.seen[after])
        found["peak"] = _extreme(levels(after, few), levels(after, joint), highest=True)
    if after and first is not None:
        apart = drawn.means[:, after] - drawn.means[:, [first]]
        joint = _joint(apart - apart.mean(axis=0))
        found["dip depth"] = _extreme(changes(few), changes(joint), highest=False, which=_may_be_lowest(drawn, after))
    if rows.columns == 2 * count:
        cut = list(range(count, 2 * count))
        joint = _joint(drawn.means[:, cut] - drawn.seen[cut])
        found["peak truncation"] = _extreme(levels(cut, few, share=True), levels(cut, joint, share=True), highest=True)
    nothing = (np.nan, np.nan)
    return {name: ends if drawn.units > 1 else nothing for name, ends in found.items()}


def _of(band: Band, place: int) -> _Ends:
    return float(band.low[place]), float(band.high[place])


def _may_be_lowest(drawn: Resamples, columns: Sequence[int]) -> NDArray[np.bool_]:
    """Which columns are so near to the lowest that they may be lower."""
    seen, means = drawn.seen[columns], drawn.means[:, columns]
    lowest = int(seen.argmin())
    error = (means - means[:, [lowest]]).std(axis=0)
    return np.asarray(seen - seen[lowest] <= LOWEST * error + TIE)


def _extreme(each: Band, together: Band, *, highest: bool, which: NDArray[np.bool_] | slice = slice(None)) -> _Ends:
    """The interval of the highest (lowest) of several true means.

    The highest mean is below the largest of the upper limits where that of its own step holds, whichever it is: limits
    of single steps do. It is above the largest of the lower limits where all of these hold together.

    Args:
        each: Limits of single steps.
        together: Limits that hold together.
        highest: Whether the highest is asked for.
        which: Of which steps the limits of single steps count.
    """
    if highest:
        return float(together.low.max()), float(each.high[which].max())
    return float(each.low[which].min()), float(together.high.min())


def _joint(deviations: Floats) -> float:
    """How many standard deviations one side of all columns may be away together, from draws x columns."""
    scale = deviations.std(axis=0)
    found = np.abs(np.divide(deviations, scale, out=np.zeros_like(deviations), where=scale > 0)).max(axis=1)
    return max(normal_quantile(ONE_SIDED), float(np.quantile(found, 1 - 2 * ONE_SIDED)))


def differences_of(
    rows: Rows, drawn: Resamples, steps: Sequence[int], base: int | None, *, share: bool = True
) -> dict[str, tuple[float, float]]:
    """The intervals of every landmark that is a number, second arm less first.

    Args:
        rows: Its columns are the values of the first arm at the steps, those of the second, then, if they are there,
            the truncated shares of both.
        drawn: Of the rows.
        steps: The steps of both.
        base: As `landmarks`.
        share: As `landmarks`.
    """
    if drawn.units < 2:
        return dict.fromkeys(MEANINGS, (np.nan, np.nan))
    count, identity = len(steps), np.eye(rows.columns)
    one, two = identity[:, :count], identity[:, count : 2 * count]
    first = steps.index(base) if base in steps else None
    after = list(range(0 if first is None else first + 1, count))
    means = np.concatenate([identity[:, [count - 1]], one @ _heights(steps)], axis=1)
    means = np.concatenate([two[:, [-1]], two @ _heights(steps)], axis=1) - means
    plain = contrasts_at(rows, means, normal_quantile(0.025))
    found = {"end": _of(plain, 0), "area": _of(plain, 1)}
    if after:
        found["peak"] = _apart(drawn, one[:, after], two[:, after])
    if after and first is not None:
        low, high = _apart(drawn, one[:, [first]] - one[:, after], two[:, [first]] - two[:, after])
        found["dip depth"] = -high, -low
    if rows.columns == 4 * count:
        found["peak truncation"] = _apart(drawn, identity[:, 2 * count : 3 * count], identity[:, 3 * count :])
    others = may_differ(drawn.units, 0.025)  # where all documents agree
    for name, (low, high) in found.items():
        if high - low <= TIE and (share or name == "peak truncation"):
            found[name] = max(low - others, -1.0), min(high + others, 1.0)
    return found


def _apart(drawn: Resamples, one: Floats, two: Floats) -> _Ends:
    """The interval of the highest of two's true means less the highest of one's, which need not be at one step.

    By how much the highest of several means is seen too high depends on how far the others are below it, see
    `_errors_of_highest`. The interval holds the truth whichever of these is so, and so more often where that matters.

    Args:
        drawn: Of the rows.
        one: Columns x contrasts: the means of one.
        two: Of two.
    """
    from scipy.special import stdtrit  # takes a while to import, so only where it is needed

    seen = float((drawn.seen @ two).max() - (drawn.seen @ one).max())
    wider = float(stdtrit(drawn.units - 1, 0.975)) / normal_quantile(0.025) * np.sqrt(drawn.units / (drawn.units - 1))
    deviations = wider * (drawn.means - drawn.seen)
    errors = [_errors_of_highest(drawn.seen @ arm, deviations @ arm) for arm in (one, two)]
    ends = [_turned(seen, of_two - of_one) for of_one in errors[0] for of_two in errors[1]]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _errors_of_highest(means: Floats, deviations: Floats) -> tuple[Floats, Floats]:
    """How much too high the highest of several means is seen, in each draw.

    Once as if it stood out by one standard error more than was seen, so that it is hardly too high. Once as if all that
    may be the highest were equal, so that it is as much too high as can be.

    Args:
        means: As seen.
        deviations: Draws x means.
    """
    highest = int(means.argmax())
    error = (deviations[:, [highest]] - deviations).std(axis=0)
    alone = means - error
    equal = np.where(means[highest] - means <= EQUAL * error + TIE, means[highest], means)
    first, second = ((true + deviations).max(axis=1) - true.max() for true in (alone, equal))
    return first, second


def _turned(seen: float, errors: Floats) -> _Ends:
    """The interval from errors of draws. It holds what was seen; what one side then needs less, the other has."""
    tail = 0.025
    low, high = min(tail, float((errors > 0).mean())), min(tail, float((errors < 0).mean()))
    low, high = 2 * tail - high if high < tail else low, 2 * tail - low if low < tail else high
    return min(seen, seen - float(np.quantile(errors, 1 - low))), max(seen, seen - float(np.quantile(errors, high)))


def _heights(steps: Sequence[int]) -> Floats:
    """What each step counts in the area: steps x 1."""
    if len(steps) == 1:
        return np.ones((1, 1))
    place_on_axis = np.log2(1 + np.asarray(steps, dtype=np.float64))
    found = np.trapezoid(np.eye(len(steps)), place_on_axis, axis=1)
    return np.asarray(found[:, None] / max(found.sum(), 1e-12))


def measured(means: Floats, steps: Sequence[int], base: int | None) -> dict[str, Floats]:
    """Every landmark of every draw, by name; steps by their place, NaN for none.

    Args:
        means: Draws x columns, see `landmarks_of`.
        steps: The steps.
        base: As `landmarks`.
    """
    count = len(steps)
    curve, rest = means[:, :count], means[:, count : 2 * count]
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
        found["area"] = (curve @ _heights(steps))[:, 0]
    if rest.shape[1] == count and count:
        found["peak truncation"] = rest.max(axis=1)
    return found
