"""Two readings of a text in different tokens: log-probabilities of the smallest stretches that both have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def stretches(ours: Sequence[int], theirs: Sequence[int], begin: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
    """The smallest stretches of a text of which both readings have whole tokens, as start and end.

    Args:
        ours: Where each token of one reading ends, in characters.
        theirs: Where each token of the other ends.
        begin: Where the first token of each begins.

    >>> stretches([2, 5, 9], [5, 7, 9])
    [(0, 5), (5, 9)]
    """
    shared = sorted({begin[0], *ours} & {begin[1], *theirs})
    shared = [place for place in shared if place >= max(begin)]
    return list(pairwise(shared))


def summed(values: NDArray[np.float64], ends: Sequence[int], of: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """The sums of tokens' numbers over stretches.

    Several tokens of one character, such as the bytes of a letter, have one end: they belong together.

    Args:
        values: A number a token.
        ends: Where each token ends, ascending.
        of: Stretches that begin and end where tokens end, or where the first begins.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.searchsorted(np.asarray(ends), np.asarray(of, dtype=np.int64).reshape(-1, 2), side="right")
    sums: NDArray[np.float64] = total[places[:, 1]] - total[places[:, 0]]
    return sums
