"""A rate that was measured, beside its goal."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

CHANCE = 0.001
"""A rate is called missed where chance shows such a one less often than this, if the goal is met."""


@dataclass(frozen=True)
class Rate:
    """How often something happened, and how often it may or should.

    Attributes:
        claim: What.
        data: In which simulated data.
        truth: With which truth.
        hits: So often.
        runs: Of so many.
        low: The goal: at least this share.
        high: At most this share.
    """

    claim: str
    data: str
    truth: str
    hits: int
    runs: int
    low: float = 0.0
    high: float = 1.0

    @property
    def share(self) -> float:
        """How often."""
        return self.hits / self.runs

    @property
    def error(self) -> float:
        """Standard error of the share; not 0 where all runs agree."""
        middle = (self.hits + 1) / (self.runs + 2)
        return sqrt(middle * (1 - middle) / self.runs)

    @property
    def goal(self) -> str:
        """In words."""
        if self.low and self.high < 1:
            return f"{100 * self.low:g} to {100 * self.high:g} %"
        return f"at least {100 * self.low:g} %" if self.low else f"at most {100 * self.high:g} %"

    @property
    def met(self) -> str:
        """`yes`; `within error`, beyond the goal, but so far by chance in more than one of 1,000; or `missed`."""
        if self.low <= self.share <= self.high:
            return "yes"
        from scipy.special import bdtr, bdtrc

        too_low = self.share < self.low
        chance = bdtr(self.hits, self.runs, self.low) if too_low else bdtrc(self.hits - 1, self.runs, self.high)
        return "within error" if chance > CHANCE else "missed"
