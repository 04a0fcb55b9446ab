"""Overlap of 5-grams, weighted by how rare they are among all benchmarks' questions: the method of decon.

An n-gram's weight is log(questions / questions that hold it). Of a training text only one stretch counts: matching
n-grams with at most `GAP` words between them that do not match. The overlap is the weight of the question's n-grams
in the stretch, of that of all its n-grams. A question is found where the overlap reaches the threshold: 0.8 from 50
words on, 1 up to 20 words, and in a straight line between them. A question of fewer words than an n-gram is found only
where a prompt, or a line of it, is that question.

Method: allenai/decon. There every tenth 5-gram of a training text is looked up; here every one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftgen_train.curation.contamination.words import Hashes, Places, Words, words_of

N, GAP, NEAR = 5, 11, 50
"""Words of an n-gram; words that may differ in a stretch; words between a question and its answer."""
THRESHOLD, FULL, SHORT = 0.8, 50, 20
FEWEST = 6
"""Words that are no numbers which a question needs for its numbers not to count."""
_RARE = 16
"""An n-gram of at most so many questions makes one of them a candidate."""
_BITS = 24


@dataclass(frozen=True)
class Hit:
    """A question that a text holds.

    Attributes:
        text: Which text.
        item: Which question.
        overlap: How much of the question: the weight of its n-grams in the stretch, of all; or a method's likeness.
        first: The word at which the stretch begins, counted over all texts.
        last: The word after its end.
        verbatim: Whether all words of the question follow each other there.
    """

    text: int
    item: int
    overlap: float
    first: int
    last: int
    verbatim: bool


class Index:
    """The n-grams of questions, to be looked up in any number of texts."""

    def __init__(
        self, questions: Sequence[str], *, masked: bool = False, n: int = N, threshold: float = THRESHOLD
    ) -> None:
        """Read the questions.

        Args:
            questions: Their texts.
            masked: Whether all numbers count as the same word, so that a question with other numbers is found.
            n: Words of an n-gram.
            threshold: The overlap from which a long question is found.
        """
        self._n, self._masked = n, masked
        words = self._words(questions)
        self.lengths = np.diff(words.starts)
        hashes, begins = words.ngrams(n)
        items = np.searchsorted(words.starts, begins, side="right") - 1
        self._order = np.split(hashes, np.searchsorted(items, np.arange(1, len(questions))))
        pairs = np.unique(np.stack([hashes, items.astype(np.uint64)], axis=1), axis=0)
        self._grams, first, frequency = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        self._items = pairs[:, 1].astype(np.int64)
        self._first, self._frequency = first, frequency
        weights = np.log(max(len(questions), 2) / frequency)
        # Of few questions an n-gram that all have still tells something.
        self._weights = np.maximum(weights, 1e-3)
        gram_of_pair = np.repeat(np.arange(len(self._grams)), frequency)
        self._totals = np.bincount(self._items, self._weights[gram_of_pair], len(questions))
        common = np.where(frequency > _RARE, self._weights, 0.0)
        self._common = np.bincount(self._items, common[gram_of_pair], len(questions))
        ramp = np.clip((self.lengths - SHORT) / (FULL - SHORT), 0, 1)
        self._thresholds = 1 - (1 - threshold) * ramp - 1e-9
        if masked:
            # "What is 5^2 - 3^2?" without its numbers is in half of all texts.
            items = np.searchsorted(words.starts, np.flatnonzero(~words.numbers), side="right") - 1
            self._thresholds[np.bincount(items, minlength=len(questions)) < FEWEST] = np.inf
        self._filter = np.zeros(1 << _BITS, bool)
        self._filter[self._grams >> np.uint64(64 - _BITS)] = True

    def find(self, words: Words) -> Iterator[Hit]:
        """The questions that texts hold, each at its best stretch."""
        words = words.masked() if self._masked else words
        hashes, begins = words.ngrams(self._n)
        passed = np.flatnonzero(self._filter[hashes >> np.uint64(64 - _BITS)])
        places = np.searchsorted(self._grams, hashes[passed])
        places[places == len(self._grams)] = 0
        known = self._grams[places] == hashes[passed] if len(self._grams) else np.zeros(0, bool)
        grams, begins = places[known], begins[passed[known]]
        texts = np.searchsorted(words.starts, begins, side="right") - 1
        for text, item in self._candidates(texts, grams):
            low, high = np.searchsorted(texts, [text, text + 1])
            yield from self._stretch(text, item, grams[low:high], begins[low:high])

    def _candidates(self, texts: Places, grams: Places) -> list[tuple[int, int]]:
        """Pairs of text and question whose rare n-grams leave it possible that the threshold is reached."""
        rare = np.flatnonzero(self._frequency[grams] <= _RARE)
        counts = self._frequency[grams[rare]]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        repeated = np.repeat(rare, counts)
        items = self._items[self._first[grams[repeated]] + within]
        triples = np.unique(np.stack([texts[repeated], items, grams[repeated]], axis=1), axis=0)
        if not len(triples):
            return []
        pairs, place = np.unique(triples[:, :2], axis=0, return_inverse=True)
        found = np.bincount(place.ravel(), self._weights[triples[:, 2]])
        item = pairs[:, 1]
        possible = found + self._common[item] >= self._thresholds[item] * self._totals[item]
        return [(int(text), int(item)) for text, item in pairs[possible]]

    def _stretch(self, text: int, item: int, grams: Places, begins: Places) -> Iterator[Hit]:
        own = self._order[item]
        mine = np.isin(self._grams[grams], own)
        grams, begins = grams[mine], begins[mine]
        cuts = np.flatnonzero(np.diff(begins) > GAP + 1) + 1
        best: Hit | None = None
        for part, at in zip(np.split(grams, cuts), np.split(begins, cuts), strict=True):
            overlap = float(self._weights[np.unique(part)].sum() / self._totals[item])
            if overlap >= self._thresholds[item] and (best is None or overlap > best.overlap):
                verbatim = _holds(self._grams[part], at, own)
                best = Hit(text, item, overlap, int(at[0]), int(at[-1]) + self._n, verbatim)
        if best:
            yield best

    def _words(self, texts: Sequence[str]) -> Words:
        words = words_of(texts)
        return words.masked() if self._masked else words


def _holds(found: Hashes, begins: Places, own: Hashes) -> bool:
    """Whether a question's n-grams follow each other among those found."""
    for start in np.flatnonzero(found == own[0]):
        end = start + len(own)
        if end <= len(found) and begins[end - 1] - begins[start] == len(own) - 1 and (found[start:end] == own).all():
            return True
    return False


def line_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """One hash a text: that of its words in order, for texts that are shorter than an n-gram."""
    words = words_of(texts)
    combined = np.zeros(len(texts), np.uint64)
    lengths = np.diff(words.starts)
    with np.errstate(over="ignore"):
        for place in range(N):
            has = lengths > place
            combined[has] = combined[has] * np.uint64(0x9E3779B97F4A7C15) + words.hashes[words.starts[:-1][has] + place]
    return np.where((lengths > 0) & (lengths < N), combined, 0)
