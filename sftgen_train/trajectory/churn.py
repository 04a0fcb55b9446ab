"""Documents won, lost and kept between two models, and how much of it asking the first one twice would give.

A document with several answers has a rate, not a bit: lost is the chance that an answer of the first model is right
and one of the second is wrong. Both models answer on their own, so products of rates are unbiased. Answering twice,
one model alone loses p · (1 - p) of a document with rate p: what is lost and won beyond that is excess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import rows_of
from sftgen_train.trajectory.resampling import DRAWS, Interval, intervals, resample
from sftgen_train.trajectory.singles import share_intervals


@dataclass(frozen=True)
class Churn:
    """What became of documents, as shares of all of them.

    Attributes:
        documents: How many.
        won: Wrong, then right.
        lost: Right, then wrong.
        kept: Right both times.
        missed: Wrong both times.
        by_chance: What the first model alone would win, and lose as much, if it answered twice.
        excess: Won and lost, less twice `by_chance`. 0 in expectation where nothing changed; below 0 where the second
            model is surer of the same answers.
        moved: Mean square change of the documents' rates: won and lost, less what answering twice would give of each
            model. 0 in expectation where no rate changed, above 0 otherwise.
        options: Among how many options an answer may be guessed; the shares are then of what is known. None: as seen.
    """

    documents: int
    won: Interval
    lost: Interval
    kept: Interval
    missed: Interval
    by_chance: Interval
    excess: Interval
    moved: Interval
    options: int | None = None


def churn(
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    options: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Churn:
    """Compare the answers of two models to the same documents.

    With `options` a right answer may be a guess: a model that does not know hits one of k options (know or guess;
    Harmon et al., arXiv 2510.17776). Each rate a becomes (a - 1/k) / (1 - 1/k), so shares of few documents may leave
    0 to 1.

    Args:
        first: Documents x repeats, values from 0 to 1; NaN where an answer is missing.
        second: The same of the second model; it may have more or fewer repeats.
        clusters: The label of each document's cluster.
        options: How many options there are to guess from.
        draws: Draws of documents.
        seed: Of the random numbers.

    Returns:
        `by_chance`, `excess` and `moved` are of NaN where no document has two answers: one answer does not tell how
        much luck is in it. They are of the documents that have.

    Raises:
        ValueError: Other documents, none, values outside of 0 to 1, or fewer than two options.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    a, b = (values[:, None] if values.ndim == 1 else values for values in (a, b))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"arms of shapes {a.shape} and {b.shape}: expected the same documents x repeats")
    if any(((values < 0) | (values > 1)).any() for values in (a, b)):
        raise ValueError("values outside of 0 to 1: only shares can be won and lost")
    if options is not None and options < 2:
        raise ValueError(f"{options} options: expected 2 or more")
    labels: NDArray[Any] = np.arange(len(a)) if clusters is None else np.asarray(clusters)
    there = np.isfinite(a).any(axis=1) & np.isfinite(b).any(axis=1)
    if not there.any():
        raise ValueError("no documents: expected at least one that both models answered")
    a, b, labels = a[there], b[there], labels[there]
    if options is not None:
        a, b = ((values - 1 / options) / (1 - 1 / options) for values in (a, b))
    p, q = np.nanmean(a, axis=1), np.nanmean(b, axis=1)
    shares = np.stack([(1 - p) * q, p * (1 - q), p * q, (1 - p) * (1 - q)], axis=1)
    plain = share_intervals(rows_of(shares, labels)) if options is None else _means(shares, labels, draws, seed)
    changed, luck = (1 - p) * q + p * (1 - q), _luck(a)
    own = luck + _luck(b)
    twice, both = np.isfinite(luck), np.isfinite(own)
    [chance, excess] = _means(np.stack([luck, changed - 2 * luck], axis=1)[twice], labels[twice], draws, seed)
    [moved] = _means((changed - own)[both, None], labels[both], draws, seed)
    won, lost, kept, missed = plain
    return Churn(len(a), won, lost, kept, missed, chance, excess, moved, options)


def _luck(values: Floats) -> Floats:
    """The unbiased p · (1 - p) of each document, over all pairs of different answers; NaN with one answer."""
    there = np.isfinite(values)
    held = np.where(there, values, 0.0)
    count, total = there.sum(axis=1), held.sum(axis=1)
    pairs = total * (count - total) - (held * (1 - held)).sum(axis=1)
    return np.where(count > 1, pairs / np.maximum(count * (count - 1), 1), np.nan)


def _means(values: Floats, labels: NDArray[Any], draws: int, seed: int) -> list[Interval]:
    if not len(values):
        return [Interval(np.nan, np.nan, np.nan)] * values.shape[1]
    drawn = resample(rows_of(values, labels), draws=draws, seed=seed)
    ends = intervals(drawn.seen, drawn.means, drawn.units)
    return [Interval(*map(float, found)) for found in zip(drawn.seen, *ends, strict=True)]
