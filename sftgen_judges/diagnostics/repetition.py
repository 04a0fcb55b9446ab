"""Repetition in a text: n-grams that came before, loops, and the longest stretch that stands in it twice.

Words are hashed to numbers once. All else is arrays: time is that of a few sorts, memory a few times the text.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

N = 4
"""Words of an n-gram."""
COPIES = 3
"""So many copies of a stretch, right after one another, are a loop."""
FEWEST_WORDS = 12
"""A loop has at least so many words: `no, no, no` is none."""
PERIODS = 8
"""Lengths of loops that are looked for in one text: those that its n-grams suggest most often."""
SHORTEST = 500
"""Bytes of the shortest text whose compression says something: below, the header counts."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
# Languages without spaces have a word a character.
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
_ODD = 0x9E3779B97F4A7C15

Codes = NDArray[np.uint64]


@dataclass(frozen=True)
class Repetition:
    """What repeats in a text.

    Attributes:
        words: Words, signs of punctuation among them.
        ngrams: Share of n-grams that came before; None where there is none.
        looped: Share of words in loops.
        longest: Words of the longest stretch that stands in the text twice; it may overlap itself.
        loops: First and last character of each loop.
    """

    words: int
    ngrams: float | None
    looped: float
    longest: int
    loops: tuple[tuple[int, int], ...] = ()


def repetition_of(text: str) -> Repetition:
    """Measure a text."""
    numbers: dict[str, int] = {}
    words = _WORD.findall(text)
    ids = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.int64, len(words))
    count = len(ids)
    if count < N:
        return Repetition(count, None, 0.0, _short_repeat(ids))
    codes = _windows(ids, N)
    before = _previous(codes)
    seen = before >= 0
    places = np.flatnonzero(seen)
    ngrams = len(places) / len(codes)
    if not len(places):
        return Repetition(count, ngrams, 0.0, _short_repeat(ids))
    apart = places - before[places]
    looped = _loops(ids, apart)
    # Neighbours that repeat the same distance back are one stretch; a longer one may repeat another copy.
    stretches = _runs((np.diff(places) == 1) & (np.diff(apart) == 0))
    longest = _longest(ids, max((end - start + 1 for start, end in stretches), default=1) + N - 1)
    share = float(looped.mean())
    return Repetition(count, ngrams, share, longest, _characters(text, looped) if share else ())


def compression_of(text: str) -> float | None:
    """Compressed size as a share of the size (zlib, window of 32 kB); None for a short text."""
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 6)) / len(data) if len(data) >= SHORTEST else None


def _windows(ids: NDArray[np.int64], size: int) -> Codes:
    """A hash of every window of so many words, by prefix sums of a polynomial modulo 2 to the power of 64."""
    count = len(ids)
    with np.errstate(over="ignore"):
        # Scattered first: small numbers in a row would collide.
        scattered = ids.astype(np.uint64) * np.uint64(_ODD) ^ (
            ids.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F) >> np.uint64(29)
        )
        powers = np.cumprod(np.full(count + 1, np.uint64(_ODD), dtype=np.uint64))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(scattered * powers[:count])])
        # Brought to one power, so that equal windows are equal wherever they stand.
        codes: Codes = (sums[size:] - sums[:-size]) * powers[count - size :: -1][: count - size + 1]
    return codes


def _previous(codes: Codes) -> NDArray[np.int64]:
    """For each code the place of the same code before it; -1 where it is the first."""
    order = np.argsort(codes, kind="stable")
    same = codes[order][1:] == codes[order][:-1]
    before = np.full(len(codes), -1, dtype=np.int64)
    before[order[1:][same]] = order[:-1][same]
    return before


def _loops(ids: NDArray[np.int64], apart: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which words are in a loop."""
    looped = np.zeros(len(ids), dtype=bool)
    distances, counts = np.unique(apart, return_counts=True)
    likely = distances[np.argsort(-counts, kind="stable")][:PERIODS]
    for period in sorted(int(distance) for distance in likely):
        for start, end in _runs(ids[period:] == ids[:-period]):
            # A run of so many words that equal those a period back, and the period before it.
            if end - start >= (COPIES - 1) * period and end - start + period >= FEWEST_WORDS:
                looped[start : end + period] = True
    return looped


def _runs(mask: NDArray[Any]) -> list[tuple[int, int]]:
    """Where a mask is true: start and end of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _longest(ids: NDArray[np.int64], known: int) -> int:
    """The length of the longest repeated stretch, from a length that is known to repeat."""
    low, step = known, 1
    while low + step < len(ids) and _repeats(ids, low + step):
        low, step = low + step, step * 2
    while step > 1:
        step //= 2
        if low + step < len(ids) and _repeats(ids, low + step):
            low += step
    return low


def _repeats(ids: NDArray[np.int64], size: int) -> bool:
    """Whether a stretch of so many words stands in the text twice. Equal hashes are looked at."""
    codes = _windows(ids, size)
    before = _previous(codes)
    return any(
        np.array_equal(ids[place : place + size], ids[before[place] : before[place] + size])
        for place in np.flatnonzero(before >= 0)[:4].tolist()
    )


def _short_repeat(ids: NDArray[np.int64]) -> int:
    """The longest repeated stretch of a text without a repeated n-gram: shorter than one."""
    return next((size for size in range(min(N, len(ids)) - 1, 0, -1) if _repeats(ids, size)), 0)


def _characters(text: str, looped: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Where loops stand in the text."""
    found = []
    runs = _runs(looped)
    place = 0
    start = 0
    for number, word in enumerate(_WORD.finditer(text)):
        if number == runs[place][0]:
            start = word.start()
        if number == runs[place][1] - 1:
            found.append((start, word.end()))
            place += 1
            if place == len(runs):
                break
    return tuple(found)
