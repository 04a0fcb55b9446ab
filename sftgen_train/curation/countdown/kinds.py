"""Which Countdown puzzles to make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.errors import SftgenError

OPERATORS = "+-*/"
LEVELS = ("sum", "product", "bracket", "nested")
"""How difficult a puzzle is, see `difficulty`."""

Whole = NDArray[np.int64]


class CountdownError(SftgenError):
    """No such puzzles."""


@dataclass(frozen=True)
class Kind:
    """Which puzzles to make.

    Attributes:
        counts: How many numbers a puzzle has, each as often as the others: from 3 to 6.
        largest_number: Numbers are drawn from 1 to this.
        largest_target: Targets are whole numbers from 1 to this.
        operators: What solutions may use: `+-`, and `*` or `/` or both.
        whole: Whether the solution that a puzzle is made from has positive whole numbers only on its way. Without this
            condition it may pass through negative numbers and fractions.
        levels: Which levels of difficulty, see `difficulty`.
        balanced: Whether each level is as frequent as the others. Drawn at random, more than half are a `sum`.
        test_share: Which share of all sets of numbers belongs to the test split.

    Raises:
        CountdownError: A field is out of range.
    """

    counts: tuple[int, ...] = (3, 4)
    largest_number: int = 99
    largest_target: int = 999
    operators: str = OPERATORS
    whole: bool = True
    levels: tuple[str, ...] = LEVELS
    balanced: bool = False
    test_share: float = 0.05

    def __post_init__(self) -> None:
        if not self.counts or not set(self.counts) <= {3, 4, 5, 6}:
            raise CountdownError(f"counts {self.counts}: expected some of 3, 4, 5 and 6")
        if not set("+-") <= set(self.operators) <= set(OPERATORS):
            raise CountdownError(f"operators {self.operators!r}: expected + and -, and * or / or both")
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise CountdownError(f"levels {self.levels}: expected some of {', '.join(LEVELS)}")
        if not 2 <= self.largest_number <= 127:
            raise CountdownError(f"largest number {self.largest_number}: expected 2 to 127")
        if not 1 <= self.largest_target <= 100_000:
            raise CountdownError(f"largest target {self.largest_target}: expected 1 to 100,000")
        if not 0 < self.test_share < 1:
            raise CountdownError(f"test share {self.test_share}: expected a number between 0 and 1")


KIND = Kind()
"""Three or four numbers, as the benchmark's own puzzles."""
