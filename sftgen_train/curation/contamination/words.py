"""Texts as hashes of their words and n-grams, many texts in one pass of numpy: about a microsecond a hundred bytes.

A word is a run of letters, in lower case, or a run of digits; bytes beyond ASCII are letters. Everything else only
separates.
Texts in scripts without spaces come out as few long words: exact copies are found there, near ones are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_NUMBER = np.uint64(0x5851F42D4C957F2D)
_LOOKS = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014\u2212\u00a0", "''\"\"--- ")


def _letters() -> NDArray[np.uint8]:
    """Each byte as it counts: 0 for what separates, letters in lower case."""
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 128 or chr(byte).isalnum():
            table[byte] = ord(chr(byte).lower()) if byte < 128 else byte
    return table


_TABLE = _letters()


@dataclass(frozen=True)
class Words:
    """The words of several texts, one after the other.

    Attributes:
        hashes: One a word.
        numbers: Whether a word is of digits alone.
        starts: Where each text's words begin, and one more at the end: shape (texts + 1,).
    """

    hashes: Hashes
    numbers: NDArray[np.bool_]
    starts: Places

    def masked(self) -> Words:
        """With all numbers alike."""
        return Words(np.where(self.numbers, _NUMBER, self.hashes), self.numbers, self.starts)

    def ngrams(self, n: int) -> tuple[Hashes, Places]:
        """Hashes of all n-grams within a text, and the word at which each begins."""
        count = len(self.hashes) - n + 1
        if count < 1:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        combined = np.zeros(count, np.uint64)
        with np.errstate(over="ignore"):
            for place in range(n):
                combined = combined * np.uint64(_BASE) + self.hashes[place : place + count]
            combined ^= combined >> np.uint64(29)
        begins = np.arange(count)
        text = np.searchsorted(self.starts, begins, side="right") - 1
        inside = begins + n <= self.starts[text + 1]
        return combined[inside], begins[inside]


def words_of(texts: Sequence[str]) -> Words:
    """Read the words of texts."""
    encoded = [
        (text if text.isascii() else text.translate(_LOOKS).lower()).encode("utf-8", "replace") for text in texts
    ]
    data = np.frombuffer(b"\n".join(encoded) + b"\n", np.uint8)
    letters = _TABLE[data]
    kinds = np.where((data >= 48) & (data <= 57), np.int8(2), np.where(letters, np.int8(1), np.int8(0)))
    edges = np.flatnonzero(np.diff(kinds, prepend=0))  # the last byte separates
    within = np.flatnonzero(kinds[edges])
    starts, ends = edges[within], edges[within + 1]
    if not len(starts):
        return Words(np.empty(0, np.uint64), np.empty(0, bool), np.zeros(len(texts) + 1, np.int64))
    # A word is the number that its letters write to one base: a difference of sums over all that is before.
    powers = _powers(len(data) + 1)
    with np.errstate(over="ignore"):
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(letters * powers[:-1], dtype=np.uint64)])
        hashes = (sums[ends] - sums[starts]) * _inverse_powers(len(data) + 1)[starts]
        hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    lengths = np.array([len(each) + 1 for each in encoded])
    return Words(hashes, kinds[starts] == 2, np.searchsorted(starts, np.concatenate([[0], np.cumsum(lengths)])))


_known: dict[int, Hashes] = {}


def _powers(size: int, base: int = _BASE) -> Hashes:
    """1, base, base^2 and so on, modulo 2^64; kept, since every batch needs them."""
    known = _known.get(base)
    if known is None or len(known) < size:
        factors = np.full(max(size, 1 << 20), base, np.uint64)
        factors[0] = 1
        with np.errstate(over="ignore"):
            known = _known[base] = np.cumprod(factors, dtype=np.uint64)
    return known[:size]


def _inverse_powers(size: int) -> Hashes:
    return _powers(size, pow(_BASE, -1, 1 << 64))
