"""What a change of a score is made of: truncation, ability of finished answers, answers given before the cut.

    score = (1 - t) · (score of finished answers) + t · (score of truncated answers)

with t the share of truncated answers. The change between two steps is split into the three factors by their Shapley
values: a factor's change, averaged over all orders in which the three can change. The parts sum to the change exactly.

    parts = split(scores, truncated, clusters)  # documents x 2 steps, or documents x 2 steps x repeats
    parts.truncation.change, parts.finished.change, parts.before_cut.change
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import rows_of
from sftgen_train.trajectory.resampling import FEWER, percentiles, resample
from sftgen_train.trajectory.statistics import may_differ

ROUNDING = 1e-9


@dataclass(frozen=True)
class Factor:
    """One of the three.

    Attributes:
        before: Its value at the first step; NaN where no answer shows it.
        after: Its value at the second step.
        change: What it contributes to the change of the score.
        low: Lower end of the 95 % interval, from resampled documents.
        high: Upper end.
    """

    before: float
    after: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Parts:
    """The change of a score between two steps.

    Attributes:
        before: The score at the first step.
        after: The score at the second.
        change: Their difference: the sum of the three parts.
        low: Lower end of its 95 % interval, from the same resampled documents.
        high: Upper end.
        truncation: By other answers being truncated; its values are shares of truncated answers.
        finished: By finished answers being better or worse; its values are their scores.
        before_cut: By answers given before the cut; its values are the scores of truncated answers.
        documents: Documents that have a value at both steps.
    """

    before: float
    after: float
    change: float
    low: float
    high: float
    truncation: Factor
    finished: Factor
    before_cut: Factor
    documents: int

    def sentence(self) -> str:
        """The split in one sentence."""
        more = self.truncation.after >= self.truncation.before
        pieces = (
            (self.truncation, "more truncation" if more else "less truncation"),
            (self.finished, "finished answers"),
            (self.before_cut, "answers before the cut"),
        )
        told = (f"{each.change:+.3f} by {name} ({each.low:+.3f} to {each.high:+.3f})" for each, name in pieces)
        return f"{self.change:+.3f} = {', '.join(told)}"


def split(
    scores: ArrayLike, truncated: ArrayLike, clusters: ArrayLike | None = None, *, draws: int = FEWER, seed: int = 0
) -> Parts:
    """Split the change of a score between two steps.

    A factor that one of the steps does not show, for example the score of truncated answers where none is truncated, is
    given its value at the other step: then it contributes nothing. One that neither step shows contributes nothing.

    Args:
        scores: Documents x 2, or documents x 2 x repeats; NaN is a missing value. Only documents that have a value at
            both steps count.
        truncated: Whether each answer was truncated, in the same shape; a missing one counts as finished.
        clusters: A label for each document; by default each is its own.
        draws: Resampled samples of documents.
        seed: Of the random numbers.

    Raises:
        ValueError: The shapes do not fit, or no document has a value at both steps.
    """
    if np.ndim(scores) not in {2, 3} or np.shape(scores)[1] != 2:
        raise ValueError(f"scores of shape {np.shape(scores)}: expected documents x 2 steps, or x 2 steps x repeats")
    [parts] = split_steps(scores, truncated, [(0, 1)], clusters, draws=draws, seed=seed)
    return parts


def split_steps(
    scores: ArrayLike,
    truncated: ArrayLike,
    pairs: Sequence[tuple[int, int]],
    clusters: ArrayLike | None = None,
    *,
    draws: int = FEWER,
    seed: int = 0,
) -> list[Parts]:
    """Split several changes of one curve, on the same documents and the same draws of them.

    Args:
        scores: Documents x steps, or documents x steps x repeats. Only documents that have a value at every step count.
        truncated: As `split`, in the same shape.
        pairs: The places of two steps for each change.
        clusters: As `split`.
        draws: As `split`.
        seed: As `split`.

    Raises:
        ValueError: The shapes do not fit, or no document has a value at every step.
    """
    sums, labels = _document_sums(scores, truncated, clusters)
    made = resample(rows_of(sums.reshape(len(sums), -1), labels), draws=draws, seed=seed)
    drawn, total = made.means.reshape(draws, -1, 4), sums.sum(axis=0)[None]
    return [_parts(total[:, pair], drawn[:, pair], made.units, documents=len(sums)) for pair in map(list, pairs)]


def _parts(total: Floats, drawn: Floats, units: int, *, documents: int) -> Parts:
    """The parts of one change: the sums of the curve, and of each draw of so many units, at two steps."""
    before, after, parts = _split_sums(total)
    drawn_before, drawn_after, parts_drawn = _split_sums(drawn)
    values = _factors(total)
    truncation, finished, before_cut = (
        Factor(
            float(values[0, 0, place]),
            float(values[0, 1, place]),
            float(parts[0, place]),
            *percentiles(parts_drawn[:, place], units=units),
        )
        for place in range(3)
    )
    change = float(after[0] - before[0])
    if abs(float(parts[0].sum()) - change) > ROUNDING * max(1.0, float(np.abs(total).max())):
        raise ArithmeticError(f"the parts sum to {parts[0].sum()}, the change is {change}")
    low, high = percentiles(drawn_after - drawn_before, units=units)
    ends = float(before[0]), float(after[0])
    return Parts(*ends, change, low, high, truncation, finished, before_cut, documents=documents)


@dataclass(frozen=True)
class Among:
    """A measure among the answers that were not truncated, at one step, beside the share that was.

    Attributes:
        mean: The mean of the measure among finished answers; NaN without any.
        low: Lower end of its 95 % interval, from resampled documents.
        high: Upper end.
        answers: Finished answers with a value.
        truncated: The share of truncated answers.
        truncated_low: Lower end of its 95 % interval.
        truncated_high: Upper end.
    """

    mean: float
    low: float
    high: float
    answers: int
    truncated: float
    truncated_low: float
    truncated_high: float


def among_finished(
    values: ArrayLike,
    truncated: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    share: bool = True,
    draws: int = FEWER,
    seed: int = 0,
) -> Among:
    """The mean of a measure among finished answers, with truncation beside it and never in it.

    Args:
        values: Documents x repeats: the measure, for example the success of an attack; NaN where it has no value.
        truncated: Whether each answer was truncated, in the same shape; NaN where there is no answer.
        clusters: As `split`.
        share: Whether values lie between 0 and 1.
        draws: As `split`.
        seed: As `split`.

    Raises:
        ValueError: The shapes do not fit.
    """
    given, cut = np.asarray(values, dtype=np.float64), np.asarray(truncated, dtype=np.float64)
    if given.shape != cut.shape or given.ndim != 2:
        shapes = f"values of shape {given.shape}, truncated of {cut.shape}"
        raise ValueError(f"{shapes}: expected documents x repeats of both")
    labels = np.arange(len(given)) if clusters is None else np.asarray(clusters)
    asked = np.isfinite(cut)
    finished = np.isfinite(given) & ~(asked & (cut > 0))
    columns = (np.where(finished, given, 0.0), finished, np.where(asked, cut, 0.0), asked)
    sums = np.stack([column.sum(axis=1, dtype=np.float64) for column in columns], axis=1)
    total, drawn = sums.sum(axis=0), resample(rows_of(sums, labels), draws=draws, seed=seed)
    mean, cut_share = (float(total[place] / total[place + 1]) if total[place + 1] else np.nan for place in (0, 2))
    means, judged = drawn.means, len(np.unique(labels[finished.any(axis=1)]))
    return Among(
        mean,
        *_ends(mean, _quotient(means[:, 0], means[:, 1]), judged, share=share),
        int(total[1]),
        cut_share,
        *_ends(cut_share, _quotient(means[:, 2], means[:, 3]), drawn.units, share=True),
    )


def _ends(seen: float, found: Floats, units: int, *, share: bool) -> tuple[float, float]:
    """The interval of a mean, also of a share that is 0 or 1."""
    low, high = percentiles(found, units=units)
    others = may_differ(max(1, units), 0.025)
    if share and seen == 0:
        return 0.0, others
    if share and seen == 1:
        return 1 - others, 1.0
    return low, high


def _document_sums(scores: ArrayLike, truncated: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, NDArray[Any]]:
    """Documents x steps x 4: weight of finished answers, their score, weight of truncated ones, their score."""
    given, cut = np.asarray(scores, dtype=np.float64), np.asarray(truncated, dtype=np.float64)
    if given.ndim == 2:
        given, cut = given[:, :, None], cut[:, :, None] if cut.ndim == 2 else cut
    if given.ndim != 3 or given.shape != cut.shape:
        raise ValueError(
            f"scores of shape {np.shape(scores)}, truncated of {np.shape(truncated)}: expected documents x steps, or "
            "documents x steps x repeats, of both"
        )
    labels = np.arange(len(given)) if clusters is None else np.asarray(clusters)
    there = np.isfinite(given)
    shared = np.asarray(there.any(axis=2)).all(axis=1)
    if not shared.any():
        raise ValueError("no document has a value at every step")
    given, ended, there = given[shared], ~(cut[shared] > 0), there[shared]
    # Every document counts once at each step, however many of its repeats have a value.
    weight = there / there.sum(axis=2, keepdims=True)
    value = np.where(there, given, 0.0) * weight
    columns = [weight * ended, value * ended, weight * ~ended, value * ~ended]
    return np.stack([column.sum(axis=2) for column in columns], axis=2), labels[shared]


def _factors(sums: Floats) -> Floats:
    """Draws x 2 steps x 3: share of truncated answers, score of finished ones, score of truncated ones."""
    finished, right, cut, right_cut = (sums[:, :, place] for place in range(4))
    # Rounding leaves a little of a weight that is 0.
    finished, cut = (np.where(each > 1e-12, each, 0.0) for each in (finished, cut))
    return np.stack([cut / (finished + cut), _quotient(right, finished), _quotient(right_cut, cut)], axis=2)


def _split_sums(sums: Floats) -> tuple[Floats, Floats, Floats]:
    factors = _factors(sums)
    for place in (1, 2):
        one, two = factors[:, 0, place].copy(), factors[:, 1, place].copy()
        factors[:, 0, place] = np.nan_to_num(np.where(np.isnan(one), two, one))
        factors[:, 1, place] = np.nan_to_num(np.where(np.isnan(two), one, two))
    parts = np.zeros((len(factors), 3))
    orders = list(permutations(range(3)))
    for order in orders:
        now = factors[:, 0].copy()
        value = _score(now)
        for place in order:
            now[:, place] = factors[:, 1, place]
            moved = _score(now)
            parts[:, place] += (moved - value) / len(orders)
            value = moved
    return _score(factors[:, 0]), _score(factors[:, 1]), parts


def _score(factors: Floats) -> Floats:
    cut, finished, before_cut = factors.T
    return np.asarray((1 - cut) * finished + cut * before_cut)


def _quotient(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))
