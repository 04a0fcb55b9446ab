"""How many documents or repeats would settle what cannot be told yet."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, log, log1p

MOST = 10_000_000
"""A number of documents beyond this is not printed: the true change is too close to the question."""


@dataclass(frozen=True)
class Needed:
    """What would settle a question with a chance of 80 %, if the true change is the one that was seen.

    Attributes:
        documents: So many documents in all, with as many repeats as now; None beyond ten million.
        repeats: So many repeats of the same documents; None if they are unknown, or no number would do.
        repeats_known: Whether the data have repeats that tell.
    """

    documents: int | None
    repeats: int | None
    repeats_known: bool

    def sentence(self) -> str:
        """In words."""
        if self.documents is None:
            return "no feasible number of documents would settle it: the change is too close to what is asked"
        text = f"about {self.documents:,} documents would settle it"
        if self.repeats is not None:
            return f"{text}, or {self.repeats:,} repeats of these"
        return text + (", more repeats of these would not" if self.repeats_known else "")


def settle(
    gap: float, error: float, rows: int, documents: int, *, repeats: float, noise: float, delta: float
) -> Needed | None:
    """How much data is needed until a change is clear of what is asked.

    Args:
        gap: Distance between the change that was seen and the value it has to be clear of.
        error: Standard error of the change.
        rows: Independent units.
        documents: Documents; they grow in proportion with the units.
        repeats: Repeats of a document now; NaN if they are unknown.
        noise: The part of the variance of the change that comes from repeats; NaN if it is unknown.
        delta: The loss that does not matter.

    Returns:
        None if one unit does not tell how much units differ.
    """
    known = isfinite(noise) and isfinite(repeats) and repeats > 1
    if rows < 2 or not isfinite(error):
        return None
    if error == 0:
        # No document differs: so many are needed that one among them would, if a share of delta did.
        if not 0 < delta < 1:
            return Needed(None, None, known)
        needed = ceil(log(0.05) / log1p(-delta))
        return Needed(max(documents + 1, ceil(needed * documents / rows)), None, False)
    # Normal quantiles for one-sided 5 % and for a chance of 80 %.
    target = (abs(gap) / (1.6449 + 0.8416)) ** 2
    if target <= 0 or documents * (error**2 / target) > MOST:
        return Needed(None, None, known)
    number = max(documents + 1, ceil(documents * error**2 / target))
    more = None
    if known:
        between = max(0.0, error**2 - noise)
        if target > between and noise > 0:
            more = max(int(repeats) + 1, ceil(repeats * noise / (target - between)))
    return Needed(number, more if more is None or more <= MOST else None, known)
