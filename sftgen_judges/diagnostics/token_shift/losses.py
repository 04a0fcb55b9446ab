"""How the loss of each token moves over the checkpoints, after Rho-1 (2404.07965)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LOSS_CLASSES = ("H→H", "L→H", "H→L", "L→L")
"""Stays high, rises, falls, stays low."""
CHANGE = 0.2
"""Nats by which a fitted loss must change to count as risen or fallen; Rho-1's."""


def loss_classes(losses: Floats) -> NDArray[np.uint8]:
    """The class of each token, as a place in `LOSS_CLASSES`.

    A line is fitted to a token's losses by least squares, with the checkpoints at equal distances. Where it changes by
    at most `CHANGE`, the token is high or low by whether its last loss is above the mean of all tokens' last losses.

    Args:
        losses: Negative log-probabilities, checkpoints x tokens, the base first.
    """
    places = np.arange(len(losses)) - (len(losses) - 1) / 2
    slopes = places @ losses / max(float(places @ places), 1.0)
    change = slopes * (len(losses) - 1)
    high = losses[-1] > losses[-1].mean()
    found = np.where(high, LOSS_CLASSES.index("H→H"), LOSS_CLASSES.index("L→L"))
    found[change > CHANGE] = LOSS_CLASSES.index("L→H")
    found[change < -CHANGE] = LOSS_CLASSES.index("H→L")
    return found.astype(np.uint8)


def risen(losses: Floats) -> NDArray[np.bool_]:
    """Whether each token's loss is above that under the base by more than `CHANGE`: checkpoints x tokens."""
    return losses > losses[:1] + CHANGE
