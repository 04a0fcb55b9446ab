"""Countdown puzzles in bulk: solvable, different up to the order of their numbers, train and test apart.

A puzzle is made backwards: random exact operations combine random numbers, and the result is the target. Rows come in
blocks, each with a random stream of its own: a larger set with the same seed holds every puzzle of a smaller one.

Train and test are apart by construction: a hash of the sorted numbers, without the target, says which of the two a
puzzle belongs to, whatever the seed. So no two puzzles with the same numbers are on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sftgen_train.curation.countdown.difficulty import levels_of
from sftgen_train.curation.countdown.kinds import KIND, LEVELS, OPERATORS, CountdownError, Kind, Whole

BLOCK = 1 << 16
"""Draws a block; part of what a seed means."""
_IN_VAIN = 50
"""So many blocks in a row that give nothing new end the search."""

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Puzzles:
    """A block of puzzles of one count `n`, each with the solution that it was made from.

    Attributes:
        numbers: Whole numbers, shape (rows, n), in the order in which they are shown.
        targets: Shape (rows,).
        plans: Shape (rows, n - 1, 3). A solution as steps: the operator (its place in `+-*/`), and the places of its
            left and right operand among the values that are left. Both are taken out, and the result goes to the end.
        levels: Shape (rows,): the place of its difficulty in `LEVELS`; not looked at yet where it is 255.
    """

    numbers: Whole
    targets: Whole
    plans: Whole
    levels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self) -> list[tuple[list[int], int, list[list[int]], int]]:
        """One after the other: numbers, target, plan, level."""
        return list(zip(*(getattr(self, field.name).tolist() for field in fields(self)), strict=True))

    def take(self, rows: Any) -> Puzzles:
        """Some of them."""
        return Puzzles(*(getattr(self, field.name)[rows] for field in fields(self)))


def make_puzzles(
    size: int, *, seed: int = 0, kind: Kind = KIND, split: Split = "train", without: Iterable[tuple[Any, int]] = ()
) -> Iterator[Puzzles]:
    """Make `size` different puzzles of one split.

    Args:
        size: How many.
        seed: Seed of numbers and solutions.
        kind: Which puzzles.
        split: Which side.
        without: Puzzles as (numbers, target) that must not come up, for example those of an evaluation.

    Yields:
        Blocks of puzzles, every block of one count.

    Raises:
        CountdownError: There are no more puzzles of this kind.
    """
    left_out = [_key(np.array([numbers]), np.array([target]))[0] for numbers, target in without]
    seen = np.unique(np.array(left_out, np.int64))
    in_vain = made = block = 0
    while made < size:
        fresh = []
        for count in kind.counts:
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, count, block])))
            drawn = _draw(rng, count, kind)
            drawn = drawn.take(is_test(drawn.numbers, kind.test_share) == (split == "test"))
            keys, first = np.unique(_key(drawn.numbers, drawn.targets), return_index=True)
            new = np.sort(first[np.isin(keys, seen, assume_unique=True, invert=True)])
            fresh.append(_of_levels(drawn.take(new), kind))
        # Every count as often as the others.
        most = min(map(len, fresh))
        in_vain = 0 if most else in_vain + 1
        if in_vain == _IN_VAIN:
            raise CountdownError(
                f"found {made:,} different puzzles of this kind, not {size:,}: "
                "allow larger numbers or targets, more numbers, more levels or more operators"
            )
        for place, each in enumerate(fresh):
            found = each.take(slice(min(most, -(-(size - made) // (len(fresh) - place)))))
            # A stable sort of two sorted halves is a merge.
            seen = np.sort(np.concatenate([seen, np.sort(_key(found.numbers, found.targets))]), kind="stable")
            made += len(found)
            if len(found):
                yield found
        block += 1


def _of_levels(drawn: Puzzles, kind: Kind) -> Puzzles:
    """Those of the wanted levels; where they shall be balanced, one of each level after the other."""
    levels = levels_of(drawn.numbers, drawn.targets, kind.operators)
    places = [np.flatnonzero(levels == LEVELS.index(level)) for level in kind.levels]
    if kind.balanced:
        chosen = np.stack([rows[: min(map(len, places))] for rows in places], axis=1).ravel()
    else:
        chosen = np.sort(np.concatenate(places))
    return Puzzles(drawn.numbers[chosen], drawn.targets[chosen], drawn.plans[chosen], levels[chosen])


def is_test(numbers: Whole, test_share: float = Kind.test_share) -> NDArray[np.bool_]:
    """Whether puzzles with these numbers belong to the test split: one answer a row of `numbers`, order aside."""
    state = _packed(np.sort(numbers, axis=1)).astype(np.uint64)
    with np.errstate(over="ignore"):  # the finaliser of SplitMix64, which wraps around
        state += np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    test: NDArray[np.bool_] = (state >> np.uint64(11)).astype(np.float64) / 2.0**53 < test_share
    return test


def _packed(numbers: Whole) -> Whole:
    """Up to six numbers below 128 in one: 7 bits each."""
    packed = np.zeros(len(numbers), np.int64)
    for column in numbers.T:
        packed = packed << 7 | column
    return packed


def _key(numbers: Whole, targets: Whole) -> Whole:
    """One whole number a puzzle, the same for every order of its numbers. Targets are below 2^17."""
    return _packed(np.sort(numbers, axis=1)) << 17 | targets


def _draw(rng: np.random.Generator, count: int, kind: Kind) -> Puzzles:
    """Draw a block and keep what has a target in range. Exact: numerators and denominators stay below 128^6."""
    numbers = rng.integers(1, kind.largest_number + 1, (BLOCK, count))
    tops, bottoms = numbers, np.ones_like(numbers)
    plans = np.empty((BLOCK, count - 1, 3), np.int64)
    allowed = np.array([OPERATORS.index(operator) for operator in kind.operators])
    for step in range(count - 1):
        left, size = count - step, len(numbers)
        rows = np.arange(size)
        first = rng.integers(0, left, size)
        second = (first + rng.integers(1, left, size)) % left
        operator = rng.choice(allowed, size)
        if kind.whole:
            # The larger one first, where the other way round could not give a positive whole number.
            turn = (operator % 2 == 1) & (tops[rows, first] < tops[rows, second])
            first, second = np.where(turn, second, first), np.where(turn, first, second)
        plans[:, step] = np.stack([operator, first, second], axis=1)
        top, bottom = _combined(
            operator, tops[rows, first], bottoms[rows, first], tops[rows, second], bottoms[rows, second]
        )
        rest = np.ones((size, left), bool)
        rest[rows, first] = rest[rows, second] = False
        tops = np.concatenate([tops[rest].reshape(size, left - 2), top[:, None]], axis=1)
        bottoms = np.concatenate([bottoms[rest].reshape(size, left - 2), bottom[:, None]], axis=1)
        if kind.whole:
            good = _whole(top, bottom) & (top * np.sign(bottom) > 0)
            tops[:, -1], bottoms[:, -1] = np.where(good, top // np.where(good, bottom, 1), 0), 1
            numbers, plans, tops, bottoms = numbers[good], plans[good], tops[good], bottoms[good]
    top, bottom = tops[:, 0], bottoms[:, 0]
    whole = _whole(top, bottom)
    targets = np.where(whole, top // np.where(whole, bottom, 1), 0)
    good = whole & (targets >= 1) & (targets <= kind.largest_target) & ~(numbers == targets[:, None]).any(axis=1)
    return Puzzles(numbers, targets, plans, np.full(len(numbers), 255, np.uint8)).take(good)


def _whole(top: Whole, bottom: Whole) -> NDArray[np.bool_]:
    whole: NDArray[np.bool_] = (bottom != 0) & (top % np.where(bottom == 0, 1, bottom) == 0)
    return whole


def _combined(operator: Whole, a: Whole, b: Whole, c: Whole, d: Whole) -> tuple[Whole, Whole]:
    """a/b and c/d by an operator each; a denominator of 0 says that the result does not exist, and stays."""
    sign = np.where(operator == 1, -1, 1)
    top = np.select([operator < 2, operator == 2], [a * d + sign * c * b, a * c], a * d)
    bottom = np.select([operator < 2, operator == 2], [b * d, b * d], b * c)
    return top, np.where((b == 0) | (d == 0), 0, bottom)
