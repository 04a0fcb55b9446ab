"""Two arms at equal in-domain score: what each has elsewhere when it first reaches the same score at home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import pool, rows_of
from sftgen_train.trajectory.pairing import Pair
from sftgen_train.trajectory.resampling import DRAWS, Interval, Resamples, intervals, resample

PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where between the lowest and the highest score that both arms reach the levels lie."""


@dataclass(frozen=True)
class IsoLevel:
    """Both arms at one in-domain score.

    Attributes:
        level: The in-domain score.
        first: Out-of-domain score of the first arm where it first reaches the level, between steps on a line.
        second: Of the second.
        difference: Second less first; the intervals of all levels hold together with 95 %.
        reached: Share of draws in which both arms reach the level.
    """

    level: float
    first: float
    second: float
    difference: Interval
    reached: float


@dataclass(frozen=True)
class EqualInDomain:
    """A comparison at equal in-domain score.

    Attributes:
        levels: Ascending; empty where there is nothing to compare.
        why: Why not.
    """

    levels: tuple[IsoLevel, ...]
    why: str = ""


def equal_in_domain(
    inside: Sequence[Pair],
    outside: Sequence[Pair],
    *,
    levels: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> EqualInDomain:
    """Compare out-of-domain scores of two arms where their in-domain scores are equal.

    Args:
        inside: The in-domain tasks; the score is the mean over them.
        outside: The other tasks, of other documents.
        levels: In-domain scores to compare at; by default five between the lowest and the highest that both reach.
        draws: Draws of documents, within each task.
        seed: Of the random numbers.

    Raises:
        ValueError: No tasks of one kind.
    """
    if not inside or not outside:
        raise ValueError("expected at least one in-domain task and one other")
    pairs = [*inside, *outside]
    steps = tuple(sorted(set.intersection(*(set(of.steps) for of in pairs))))
    if len(steps) < 2 or not all(len(of.values) for of in pairs):
        return EqualInDomain((), "fewer than two steps that all tasks of both arms share")
    seeds = np.random.SeedSequence(seed).generate_state(2)
    home, away = (_drawn(part, steps, draws, int(of)) for part, of in zip((inside, outside), seeds, strict=True))
    count = len(steps)
    low = max(home.seen[0], home.seen[count])
    high = min(home.seen[:count].max(), home.seen[count:].max())
    if levels is None:
        if high <= low:
            return EqualInDomain((), "no in-domain score above the start that both arms reach")
        levels = [float(low + place * (high - low)) for place in PLACES]
    at = np.asarray(sorted(levels), dtype=np.float64)

    def both(home_means: Floats, away_means: Floats) -> tuple[Floats, Floats]:
        first, second = (slice(0, count), slice(count, 2 * count))
        return _reach(home_means[:, first], away_means[:, first], at), _reach(
            home_means[:, second], away_means[:, second], at
        )

    a, b = both(home.seen[None], away.seen[None])
    drawn_a, drawn_b = both(home.means, away.means)
    units = min(home.units, away.units)
    ends = intervals((b - a)[0], drawn_b - drawn_a, units, confidence=1 - 0.05 / len(at))
    reached = np.isfinite(drawn_b - drawn_a).mean(axis=0)
    return EqualInDomain(
        tuple(
            IsoLevel(float(level), float(x), float(y), Interval(float(y - x), float(least), float(most)), float(share))
            for level, x, y, least, most, share in zip(at, a[0], b[0], *ends, reached, strict=True)
        )
    )


def _drawn(pairs: Sequence[Pair], steps: tuple[int, ...], draws: int, seed: int) -> Resamples:
    rows = pool([rows_of(of.values[:, of.columns(steps)], of.clusters) for of in pairs])
    return resample(rows, draws=draws, seed=seed)


def _reach(home: Floats, away: Floats, levels: Floats) -> Floats:
    """Draws x levels: the score away where the score at home first reaches the level; NaN where it never does."""
    found = np.full((len(home), len(levels)), np.nan)
    draws = np.arange(len(home))
    for place, level in enumerate(levels):
        there = home >= level - 1e-12
        step = there.argmax(axis=1)
        before = np.maximum(step - 1, 0)
        rise = home[draws, step] - home[draws, before]
        part = np.where(rise > 0, (level - home[draws, before]) / np.where(rise > 0, rise, 1), 1.0)
        value = away[draws, before] + part * (away[draws, step] - away[draws, before])
        # An arm that starts above the level has reached it at its first step.
        found[:, place] = np.where(there.any(axis=1), np.where(step == 0, away[:, 0], value), np.nan)
    return found
