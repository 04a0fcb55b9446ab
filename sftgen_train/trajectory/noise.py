"""Two kinds of noise: other documents or answers, and another checkpoint close by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.flips import rows_of, standard_errors

FEWEST = 3
"""Steps that tell of a spread between checkpoints."""


@dataclass(frozen=True)
class Noise:
    """How much late checkpoints differ, and how much of that other documents and answers explain.

    A trend among the late checkpoints counts as spread between them.

    Attributes:
        steps: The late checkpoints.
        spread: Standard deviation of their means.
        sampling: The standard deviation that documents and answers alone would give on the same documents.
        checkpoints: What is left of the spread: standard deviation between checkpoints; 0 where sampling explains all.
        p: p-value for "checkpoints differ at all" (F-test over documents and steps).
    """

    steps: tuple[int, ...]
    spread: float
    sampling: float
    checkpoints: float
    p: float


def noise_of(
    values: Floats, steps: tuple[int, ...], clusters: Integers | None = None, *, late: int | None = None
) -> Noise | None:
    """Tell sampling noise and noise between checkpoints apart, on the last steps of a curve.

    Args:
        values: Documents x steps, without NaN.
        steps: The step of each column.
        clusters: The label of each document's cluster.
        late: How many last steps; the last third, at least three, by default. The first step is never among them.

    Returns:
        None with fewer than three late steps or two clusters.
    """
    count = min(late or max(FEWEST, len(steps) // 3), len(steps) - 1)
    rows = rows_of(values[:, len(steps) - count :], clusters) if count >= FEWEST and len(values) else None
    if rows is None or len(rows) < 2:
        return None
    means = rows.means
    spread = float(means.var(ddof=1))
    # Each step less the mean of all: what documents share at all steps cancels.
    deviations = np.eye(count) - 1 / count
    sampling = float((standard_errors(rows, deviations) ** 2).sum() / (count - 1))
    from scipy.special import fdtrc

    if sampling > 0:
        p = float(fdtrc(count - 1, (count - 1) * (len(rows) - 1), spread / sampling))
    else:
        p = 0.0 if spread > 1e-24 else 1.0
    return Noise(steps[-count:], spread**0.5, sampling**0.5, max(0.0, spread - sampling) ** 0.5, p)
