"""How difficult a puzzle is: the simplest form that a solution of it has.

| level | simplest solution | example |
| --- | --- | --- |
| `sum` | plus and minus alone | 12 = 3 + 4 + 5 |
| `product` | plus and minus, and one product or quotient of two numbers | 17 = 3 * 4 + 5 |
| `bracket` | plus and minus, and one product or quotient of sums | 27 = 3 * (4 + 5) |
| `nested` | none of these: two products, brackets in brackets, or fractions on the way | 24 = 8 / (3 - 8 / 3) |

Every level is decided by looking at all solutions of its form, so that a label is a fact of the puzzle and not of the
solution that it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sftgen_train.curation.countdown.kinds import LEVELS, OPERATORS, Whole

_ROWS = 4096
"""Rows looked at together: their columns stay in the processor's cache."""
_Narrow = NDArray[np.int32]
_Test = Callable[[_Narrow, _Narrow, str], NDArray[np.bool_]]


def levels_of(numbers: Whole, targets: Whole, operators: str = OPERATORS) -> NDArray[np.uint8]:
    """The level of each puzzle, as its place in `LEVELS`.

    Args:
        numbers: Shape (rows, n), n at most 6.
        targets: Shape (rows,).
        operators: What solutions may use: `+-`, and `*` or `/` or both.

    Returns:
        Shape (rows,). A puzzle without any solution is `nested`: whether it has one is not looked at.
    """
    found = np.full(len(targets), LEVELS.index("nested"), np.uint8)
    # 32 bits are enough: no product here is above 127 * 6 * 100,762.
    columns, wanted = numbers.T.astype(np.int32), targets.astype(np.int32)
    tests = [(level, test) for level, form in enumerate((_sums, _products, _brackets)) for test in form(len(columns))]
    for start in range(0, len(targets), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(targets)))
        some, of_some = columns[:, rows], wanted[rows]
        for level, test in tests:
            solved = test(some, of_some, operators)
            if solved.any():
                found[rows[solved]] = level
                # A puzzle that is solved is looked at no more.
                rows, some, of_some = rows[~solved], some[:, ~solved], of_some[~solved]
                if not len(rows):
                    break
    return found


def _sums(count: int) -> list[_Test]:
    return [partial(_sum, signs) for signs in product((1, -1), repeat=count)]


def _products(count: int) -> list[_Test]:
    return [partial(_factors, sides) for sides in _shared(count) if sides.count(0) == sides.count(1) == 1]


def _brackets(count: int) -> list[_Test]:
    return [partial(_factors, sides) for sides in _shared(count) if sides.count(0) + sides.count(1) > 2]


def _shared(count: int) -> list[tuple[int, ...]]:
    """Every way to share the numbers between a factor (0), another one (1) and the rest (2).

    `_factors` looks at both ways round, so one order of the two factors is enough.
    """
    ways = product((0, 1, 2), repeat=count)
    return [sides for sides in ways if 0 in sides and 1 in sides and sides.index(0) < sides.index(1)]


def _sum(signs: Sequence[int], columns: _Narrow, targets: _Narrow, operators: str) -> NDArray[np.bool_]:
    solved: NDArray[np.bool_] = _total(columns, signs) == targets
    return solved


def _factors(sides: Sequence[int], columns: _Narrow, targets: _Narrow, operators: str) -> NDArray[np.bool_]:
    """Whether a product or quotient of two sums, plus or minus the rest, is the target; signs do not matter then."""
    left, right, rest = (columns[np.equal(sides, side)] for side in (0, 1, 2))
    wanted = np.abs(targets - _signed(rest)) if len(rest) else targets[None]
    solved = np.zeros(len(targets), bool)
    rights = np.abs(_signed(right, first=(1,)))
    for a in np.abs(_signed(left, first=(1,))):
        for b in rights:
            if "*" in operators:
                solved |= (wanted == a * b).any(axis=0)
            if "/" in operators:
                quotient = ((wanted * b == a) | (wanted * a == b)).any(axis=0)
                solved |= quotient & ((a != 0) | (b != 0))  # 0 / 0 is nothing
    return solved


def _signed(columns: _Narrow, first: tuple[int, ...] = (1, -1)) -> _Narrow:
    """All sums of the columns with a plus or minus before each, shape (sums, rows); `first`: signs of the first."""
    return np.stack([_total(columns, signs) for signs in product(first, *[(1, -1)] * (len(columns) - 1))])


def _total(columns: _Narrow, signs: Sequence[int]) -> _Narrow:
    total: _Narrow = columns[0] * np.int32(signs[0])
    for column, sign in zip(columns[1:], signs[1:], strict=True):
        total = total + column if sign > 0 else total - column
    return total
