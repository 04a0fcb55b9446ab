"""Verdicts on published tables: means of steps, without the documents behind them.

    read_means({0: 0.708, 10: 0.649, 640: 0.862}, documents=500, repeats=3).end

A table does not tell how documents move together, so its verdicts are weaker than those of a run: see `read_means`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import expit, ndtr, ndtri

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.claims import DELTA, SIGNIFICANCE, Claim, End, first_shown
from sftgen_train.trajectory.reference import benchmarks, by_step
from sftgen_train.trajectory.simulation import ABILITY, STEP_NOISE, shifts
from sftgen_train.trajectory.statistics import holm

WIDER = 2.0
"""The noise of documents at one step is taken to be so many times that of the simulations."""


@dataclass(frozen=True)
class MeansVerdict:
    """What a table of means shows. The words are those of a run's verdict.

    Attributes:
        base: The first step.
        dips: Steps that are shown to be below it.
        lowest: The lowest step after the base.
        lowest_change: Its change.
        end: The word about the last step.
        end_change: Its change.
        end_low: Its lower 95 % limit.
        end_high: Its upper 95 % limit.
        p: p-value of every claim.
    """

    base: int
    dips: tuple[int, ...]
    lowest: int
    lowest_change: float
    end: End
    end_change: float
    end_low: float
    end_high: float
    p: Mapping[Claim, float]


def read_means(means: Mapping[int, float], documents: int, repeats: int, *, delta: float = DELTA) -> MeansVerdict:
    """Read a table of means: normal tests with binomial variance, widened.

    The answers to all documents count as independent (n · k of them), the binomial variance. Both ends of a difference
    count in full, although they are of the same documents. Then it is widened: of k answers to one document at one
    step, a part moves together, as if documents had twice the step noise of the simulations. Dips are adjusted for the
    number of steps by Holm's method, and so is the end's distance from the lowest step.

    Args:
        means: The score at each step, between 0 and 1. The smallest step is the base.
        documents: How many documents the benchmark has.
        repeats: Answers to each.
        delta: The loss that does not matter.

    Raises:
        ValueError: Fewer than two steps, or a score outside 0 to 1.
    """
    steps = sorted(means)
    scores = np.asarray([means[step] for step in steps], dtype=np.float64)
    if len(steps) < 2 or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"means {dict(means)}: expected at least two steps, each between 0 and 1")
    variances = scores * (1 - scores) / documents * (1 / repeats + (1 - 1 / repeats) * together(scores))

    def falls(later: int, earlier: int, beyond: float = 0.0) -> float:
        """p-value for "the later score is more than this below the earlier"."""
        error = sqrt(variances[later] + variances[earlier])
        gap = scores[later] - scores[earlier] + beyond
        return float(ndtr(gap / error)) if error > 0 else float(gap >= 0)

    after = range(1, len(steps))
    adjusted = holm([falls(place, 0) for place in after])
    lowest, last = min(after, key=lambda place: scores[place]), len(steps) - 1
    over = min(1.0, falls(lowest, last) * (len(steps) - 1)) if lowest != last else 1.0
    not_worse = 1 - falls(last, 0, delta)
    dips = tuple(steps[place] for place, p in zip(after, adjusted, strict=True) if p <= SIGNIFICANCE)
    p: dict[Claim, float] = {
        "dips": min(adjusted),
        "above base": falls(0, last),
        "recovered": max(min(adjusted), over, not_worse),
        **({} if dips else {"held": not_worse}),
        "not recovered": falls(last, 0, delta),
        "below base": falls(last, 0),
    }
    change = scores[last] - scores[0]
    half = -float(ndtri(SIGNIFICANCE)) * sqrt(variances[last] + variances[0])
    return MeansVerdict(
        steps[0],
        dips,
        steps[lowest],
        float(scores[lowest] - scores[0]),
        first_shown(p),
        float(change),
        float(change - half),
        float(change + half),
        p,
    )


def together(scores: Floats) -> Floats:
    """The part of the binomial variance that all answers to a document at one step share, and other steps do not."""
    noise = WIDER * STEP_NOISE
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    inside = np.clip(scores, 0.01, 0.99)
    # Abilities x step noise, for each score: how much the rate of a document varies between steps.
    rates = expit(shifts(inside)[:, None, None] + ABILITY * nodes[:, None] + noise * nodes)
    of_document = rates @ weights
    varies = ((rates**2) @ weights - of_document**2) @ weights
    return np.asarray(varies / (inside * (1 - inside)))


def read_published(benchmark: str = "math500") -> dict[str, MeansVerdict]:
    """The verdicts on the published tables of a benchmark by step: name of the training to its verdict.

    Args:
        benchmark: Its name in the tables, of one whose number of documents is known.
    """
    about = benchmarks()[benchmark]
    assert about.documents is not None
    tables = by_step(about)
    return {name: read_means(means, about.documents, about.repeats) for name, means in tables.items()}
