"""The same token seen again: did its loss rise?

A sample of the tokens is kept, by their keys: the smallest ones. So a token is in the sample whenever it is seen, and
the sample is one of all tokens, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from sftgen_train.training.tokens.counting import Counts
from sftgen_train.training.tokens.outputs import NO_KEY

MOST = 1 << 16
"""Tokens that are kept at most; about 10 MB."""
CHANGE = -log(0.9)
"""Nats by which a loss must change to count as risen: the token's probability fell by more than a tenth."""


@dataclass(frozen=True)
class Again:
    """Sampled tokens against the last time that they were seen.

    Attributes:
        sampled: Tokens in the sample.
        again: Those of them that had been seen before.
        rising: Share of those whose probability fell by more than a tenth; None without any.
        falling: Share whose probability rose by as much.
    """

    sampled: int = 0
    again: int = 0
    rising: float | None = None
    falling: float | None = None


class Seen:
    """The sample, with the loss of each token when it was seen last."""

    def __init__(self, most: int = MOST) -> None:
        """Nothing was seen yet."""
        self._most, self._below = most, NO_KEY
        self._losses: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._losses)

    def compare(self, counts: Counts) -> Again:
        """Compare tokens with the last time, and keep their losses for the next."""
        chosen = counts.keys < self._below
        again = rising = falling = 0
        for key, loss in zip(counts.keys[chosen].tolist(), counts.losses[chosen].tolist(), strict=True):
            if key >= self._below:  # they were let go of a moment ago
                continue
            before = self._losses.get(key)
            if before is not None:
                again += 1
                rising += loss > before + CHANGE
                falling += loss < before - CHANGE
            self._losses[key] = loss
            if len(self._losses) > self._most:
                self._halve()
        shares = (rising / again, falling / again) if again else (None, None)
        return Again(int(chosen.sum()), again, *shares)

    def _halve(self) -> None:
        """Let go of the larger keys, now and from now on."""
        self._below = sorted(self._losses)[len(self._losses) // 2]
        self._losses = {key: loss for key, loss in self._losses.items() if key < self._below}
