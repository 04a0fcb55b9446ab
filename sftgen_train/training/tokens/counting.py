"""Counts of tokens: small tensors on the device of the model, then numbers of a window of steps.

Nothing waits for the device until the counts are taken. Losses go into a histogram whose bins are 1.1 % wide, so that a
quantile is at most half of that away; below 2^-20 a loss counts as 0, above 64 as 64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftgen_train.training.tokens.outputs import NO_KEY, Tokens

BINS_AN_OCTAVE = 64
LOWEST, HIGHEST = -20, 6
"""Powers of two between which losses have bins."""
BINS = (HIGHEST - LOWEST) * BINS_AN_OCTAVE + 2
"""The first is for what lies below, the last for what lies above."""
MOST_OF_A_PASS = 256
"""Tokens of a forward pass that are sampled at most."""
_HEAD = 3
"""Counts before the histogram: labels, right ones, losses that are not finite."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """The tokens of one kind in some forward passes of one process.

    Attributes:
        tokens: How many have a label.
        right: In how many the label is the most likely token; None where nobody computed it.
        not_finite: How many losses are no number; they are in no bin and not in the sum.
        loss: Sum of the losses, in nats.
        bins: The histogram of the losses.
        keys: Of the sampled tokens, in order of time.
        losses: Their losses.
    """

    tokens: int = 0
    right: int | None = 0
    not_finite: int = 0
    loss: float = 0.0
    bins: Integers = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))
    keys: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    losses: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))

    def quantile(self, share: float) -> float:
        """A quantile of the losses; NaN without a finite one."""
        total = int(self.bins.sum())
        if not total:
            return nan
        found = int(np.searchsorted(self.bins.cumsum(), share * total))
        if found in {0, BINS - 1}:
            return 0.0 if found == 0 else float(2.0**HIGHEST)
        return float(2.0 ** (LOWEST + (found - 0.5) / BINS_AN_OCTAVE))


def summed(parts: Iterable[Counts]) -> Counts:
    """The counts of several processes, or of several times."""
    held = list(parts)
    if not held:
        return Counts()
    rights = [part.right for part in held if part.tokens]
    return Counts(
        sum(part.tokens for part in held),
        None if None in rights else sum(right for right in rights if right is not None),
        sum(part.not_finite for part in held),
        sum(part.loss for part in held),
        np.sum([part.bins for part in held], axis=0),
        np.concatenate([part.keys for part in held]),
        np.concatenate([part.losses for part in held]),
    )


class Tally:
    """Counts tokens on their device; `take` waits for the device, nothing else does."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._whole: dict[torch.device, tuple[Tensor, Tensor]] = {}
        self._sampled: list[tuple[Tensor, Tensor]] = []
        self._right = True

    def __len__(self) -> int:
        """Forward passes whose samples are held."""
        return len(self._sampled)

    def add(self, tokens: Tokens) -> None:
        """Count the tokens of a forward pass."""
        device = tokens.losses.device
        if device not in self._whole:
            self._whole[device] = (
                torch.zeros(_HEAD + BINS, dtype=torch.int64, device=device),
                torch.zeros((), dtype=torch.float64, device=device),
            )
        counts, loss = self._whole[device]
        finite = tokens.losses.isfinite() & tokens.counted
        losses = torch.where(finite, tokens.losses, 0).clamp_(min=0)
        counts[0] += tokens.counted.sum()
        if tokens.right is None:
            self._right = False
        else:
            counts[1] += (tokens.right & tokens.counted).sum()
        counts[2] += (tokens.counted & ~finite).sum()
        loss += losses.sum(dtype=torch.float64)
        place = ((losses.log2() - LOWEST) * BINS_AN_OCTAVE).floor_().clamp_(-1, BINS - 2).long() + 1
        counts[_HEAD:].index_add_(0, place.flatten(), finite.flatten().long())
        if tokens.keys is not None:
            keys = torch.where(finite, tokens.keys, NO_KEY).flatten()
            sampled = keys.topk(min(MOST_OF_A_PASS, len(keys)), largest=False)
            self._sampled.append((sampled.values, losses.flatten()[sampled.indices]))

    def take(self) -> Counts:
        """What was counted, which is then forgotten."""
        heads = [(counts.cpu().numpy(), float(loss)) for counts, loss in self._whole.values()]
        keys = [keys.cpu().numpy() for keys, _ in self._sampled]
        losses = [losses.cpu().numpy() for _, losses in self._sampled]
        right, empty = self._right, Counts()
        self._whole, self._sampled, self._right = {}, [], True
        if not heads:
            return empty
        whole = np.sum([counts for counts, _ in heads], axis=0)
        kept = np.concatenate([empty.keys, *keys])
        there = kept != NO_KEY
        return Counts(
            int(whole[0]),
            int(whole[1]) if right else None,
            int(whole[2]),
            sum(loss for _, loss in heads),
            whole[_HEAD:],
            kept[there],
            np.concatenate([empty.losses, *losses])[there],
        )
