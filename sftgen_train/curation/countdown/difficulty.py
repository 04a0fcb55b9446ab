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

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from sftgen_train.curation.countdown.kinds import LEVELS, OPERATORS, Whole

_ROWS = 4096
"""Rows looked at together: their columns stay in the processor's cache."""


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
    for start in range(0, len(targets), _ROWS):
        unsolved = np.arange(start, min(start + _ROWS, len(targets)))
        for level, form in enumerate((_sums, _products, _brackets)):
            solved = form(numbers[unsolved].T, targets[unsolved], operators)
            found[unsolved[solved]] = level
            unsolved = unsolved[~solved]
    return found


def _sums(columns: Whole, targets: Whole, operators: str) -> NDArray[np.bool_]:
    solved = np.zeros(len(targets), bool)
    for total in _signed(columns):
        solved |= total == targets
    return solved


def _products(columns: Whole, targets: Whole, operators: str) -> NDArray[np.bool_]:
    solved = np.zeros(len(targets), bool)
    for i, j in combinations(range(len(columns)), 2):
        solved |= _factors(columns[i], columns[j], np.delete(columns, (i, j), axis=0), targets, operators)
    return solved


def _brackets(columns: Whole, targets: Whole, operators: str) -> NDArray[np.bool_]:
    """Every way to share the numbers between a left factor, a right factor and the rest."""
    solved = np.zeros(len(targets), bool)
    for sides in product((0, 1, 2), repeat=len(columns)):
        left, right, rest = (columns[np.equal(sides, side)] for side in (0, 1, 2))
        # `_factors` looks at both ways round, so one order of the two factors is enough.
        once = 1 not in sides or 0 not in sides or sides.index(0) < sides.index(1)
        if len(left) and len(right) and len(left) + len(right) > 2 and once:
            for a in _signed(left, first=(1,)):
                for b in _signed(right, first=(1,)):
                    solved |= _factors(a, b, rest, targets, operators)
    return solved


def _factors(a: Whole, b: Whole, rest: Whole, targets: Whole, operators: str) -> NDArray[np.bool_]:
    """Whether a product or quotient of `a` and `b`, plus or minus the rest, is the target."""
    solved = np.zeros(len(targets), bool)
    times = a * b
    for total in _signed(rest):
        left = targets - total
        if "*" in operators:
            solved |= np.abs(left) == np.abs(times)
        if "/" in operators:
            solved |= (b != 0) & (np.abs(a) == np.abs(left * b)) | (a != 0) & (np.abs(b) == np.abs(left * a))
    return solved


def _signed(columns: Whole, first: tuple[int, ...] = (1, -1)) -> Iterator[Whole]:
    """All sums of the columns with a plus or minus before each; `first` are the signs of the first."""
    if not len(columns):
        yield np.int64(0)
        return
    for signs in product(first, *[(1, -1)] * (len(columns) - 1)):
        yield np.einsum("i,ij->j", np.array(signs), columns)
