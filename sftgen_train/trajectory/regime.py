"""Under-optimised, converged or over-fitted: a written rule over score and length at the end of a run.

Compared is the last step with the latest step of at most half of it: what one more doubling of training did.

* over-fitted: the last step is shown to be below an earlier peak of the score, and the length is shown to grow.
* under-optimised: no such fall is shown, and the score is shown to rise, or the length to move by more than a tenth.
* converged: no such fall is shown, the score's change is within delta, and the length's within a tenth, all shown.
* cannot tell: everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from sftgen_train.trajectory.alignment import Curves, Floats
from sftgen_train.trajectory.claims import DELTA, SIGNIFICANCE, Fall
from sftgen_train.trajectory.flips import DRAWS, contrast, flip, rows_of
from sftgen_train.trajectory.intervals import limits

Word = Literal["under-optimised", "converged", "over-fitted", "cannot tell"]
MARGIN = 0.1
"""The change of the length, as a share of it, that does not matter."""
_WAYS = 3
"""The score rises, the length grows, the length shrinks: any of these is enough for `under-optimised`."""


@dataclass(frozen=True)
class Moved:
    """What one more doubling did to a number.

    Attributes:
        change: Mean change.
        low: One-sided lower 95 % limit.
        high: One-sided upper 95 % limit.
        strict_low: The lower limit that pays for looking at three numbers.
        strict_high: The upper limit that does.
    """

    change: float
    low: float
    high: float
    strict_low: float
    strict_high: float


@dataclass(frozen=True)
class Regime:
    """How far a training is.

    Attributes:
        word: The regime.
        sentence: Why, with its numbers.
        half: The step that the last one is compared with; None without one.
        last: The last step; None without steps.
        score: Change of the score.
        length: Change of the length, as a share of the length at `half`.
    """

    word: Word
    sentence: str
    half: int | None = None
    last: int | None = None
    score: Moved | None = None
    length: Moved | None = None


def read_regime(
    scores: Curves,
    lengths: Curves,
    *,
    fall: Fall | None = None,
    delta: float = DELTA,
    margin: float = MARGIN,
    share: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Regime:
    """Read the regime at the end of a run.

    Args:
        scores: Scores of documents, aligned.
        lengths: Tokens of documents, aligned.
        fall: The verdict's fall from a peak, if one is shown.
        delta: The change of the score that does not matter.
        margin: The change of the length that does not matter, as a share of it.
        share: Whether scores lie between 0 and 1.
        draws: Random flips.
        seed: Of the random numbers.
    """
    shared = [step for step in scores.steps if step in lengths.steps]
    last = shared[-1] if shared else None
    half = max((step for step in shared if last is not None and 0 < step <= last / 2), default=None)
    if last is None or half is None or not len(scores.values) or not len(lengths.values):
        return Regime("cannot tell", "no step after the base is at most half of the last one", half, last)
    scale = float(lengths.values[:, lengths.steps.index(half)].mean())
    if scale <= 0:
        return Regime("cannot tell", f"responses at step {half} have no tokens", half, last)
    score, length = (
        _moved(_pair(curves, (half, last), by), curves, span, draws=draws, seed=seed)
        for curves, by, span in ((scores, 1.0, (-1.0, 1.0) if share else None), (lengths, scale, None))
    )
    fell = fall is not None and fall.at_end
    rises = score.strict_low > 0
    moves = length.strict_low > margin or length.strict_high < -margin
    still = length.low > -margin and length.high < margin
    kept = score.low > -delta and score.high < delta
    grows = length.low > 0
    word: Word = "cannot tell"
    if fell:
        word = "over-fitted" if grows else "cannot tell"
    elif rises or moves:
        word = "under-optimised"
    elif kept and still:
        word = "converged"
    told = [
        f"from step {half} to {last} the score changes by {score.change:+.3f} (95 % limits {score.low:+.3f} and "
        f"{score.high:+.3f}, delta {delta:g}), the length by {length.change:+.0%} "
        f"({_limits(length)}, margin {margin:.0%})"
    ]
    if fell and fall is not None:
        told.append(f"the last step is below the peak at step {fall.peak}")
    if word == "cannot tell":
        why = (("the score falls from its peak, but the length is not shown to grow", fell),
               ("the limits of the score's change are not within delta", not fell and not kept),
               ("the limits of the length's change are not within the margin", not fell and not still))  # fmt: skip
        told += [text for text, holds in why if holds]
    return Regime(word, "; ".join(told), half, last, score, length)


def _limits(length: Moved) -> str:
    return f"{length.low:+.0%} and {length.high:+.0%}" if isfinite(length.low) else "too few documents for limits"


def _pair(curves: Curves, steps: tuple[int, int], scale: float) -> Floats:
    return np.asarray(curves.values[:, [curves.steps.index(step) for step in steps]] / scale)


def _moved(values: Floats, curves: Curves, span: tuple[float, float] | None, *, draws: int, seed: int) -> Moved:
    flips = flip(rows_of(values, curves.clusters), draws=draws, seed=seed)
    of = contrast(2, [1], [0])
    plain = limits(flips, of, confidence=1 - SIGNIFICANCE, span=span)
    strict = limits(flips, of, confidence=1 - SIGNIFICANCE / _WAYS, span=span)
    return Moved(float((flips.rows.means @ of)[0]), plain.low, plain.high, strict.low, strict.high)
