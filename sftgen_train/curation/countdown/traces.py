r"""Written searches for a puzzle's solution, in several styles. What a trace says is true, planted errors apart.

* `direct`: the steps of one solution.
* `depth`: depth first. From every set of numbers a few steps are tried, each followed to its end before the next one;
  what fails is left with "back to".
* `breadth`: breadth first. A few steps from each set of numbers are written down before any is followed.
* `none`: no search.

A search tries at most `width` steps from a set of numbers, one of which leads on to the known solution. It says that a
result is not the target, never that a puzzle has no solution. It ends at the first success, known before or not.

With a share `errors`, an equation is written with a wrong result, checked, and corrected in the next line.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from sftgen_train.curation.countdown.kinds import OPERATORS, CountdownError

Number = int | Fraction
"""A whole number is an `int`: far faster, and most are."""


class Value(NamedTuple):
    """A number on the way, and the expression it came from.

    Attributes:
        number: Its exact value.
        expression: What it was made of.
        last: The operator of its last step; nothing for a number of the puzzle.
    """

    number: Number
    expression: str
    last: str = ""


class Step(NamedTuple):
    """One operation: which operator, and the places of its operands among the values that are left."""

    operator: int
    left: int
    right: int


Values = tuple[Value, ...]


@dataclass(frozen=True)
class Trace:
    """A written search.

    Attributes:
        text: The search, line by line.
        solution: The expression that it ends with.
        planted: How many errors were planted, each corrected in the next line.
    """

    text: str
    solution: str
    planted: int


@dataclass
class _Page:
    """The lines so far, and how the next equation is written."""

    rng: random.Random
    errors: float
    count: int
    lines: list[str] = field(default_factory=list)
    planted: int = 0

    def write(self, depth: int, line: str) -> None:
        self.lines.append("  " * depth + line)

    def equation(self, depth: int, before: Values, step: Step, after: Values, target: int | None) -> None:
        """Write one step; after the last one, also whether it is the target."""
        operands = f"{before[step.left].number} {OPERATORS[step.operator]} {_bracketed(before[step.right].number)}"
        result = after[-1].number
        if self.rng.random() < self.errors:
            wrong = result + self.rng.choice((-10, -2, -1, 1, 2, 10))
            self.write(depth, f"{operands} = {wrong}")
            self.write(depth, f"Check: {operands} = {result}, not {wrong}.")
            self.planted += 1
        ending = ""
        if target is not None:
            ending = ", found." if result == target else f", not {target}."
        self.write(depth, f"{operands} = {result}{ending}")


def search(
    numbers: Sequence[int],
    target: int,
    plan: Iterable[Sequence[int]],
    style: str,
    *,
    seed: int | str = 0,
    width: int = 3,
    errors: float = 0.0,
) -> Trace:
    """Write a search for the solution of a puzzle.

    Args:
        numbers: The puzzle's numbers.
        target: Its target.
        plan: A solution, as in `Puzzles.plans`.
        style: One of `STYLES`.
        seed: Seed of the order in which steps are tried.
        width: How many steps are tried from a set of numbers, at most.
        errors: Share of equations that get a planted error.

    Raises:
        CountdownError: There is no such style, or the plan does not lead to the target.
    """
    if style not in STYLES:
        raise CountdownError(f"style {style!r}: expected one of {', '.join(STYLES)}")
    page = _Page(random.Random(seed), errors, len(numbers))
    values = tuple(Value(number, str(number)) for number in numbers)
    steps = tuple(Step(*map(int, step)) for step in plan)
    found = STYLES[style](page, values, target, steps, width)
    if found is None or found.number != target:
        raise CountdownError(f"the plan {steps} does not make {target} of {list(numbers)}")
    return Trace("\n".join(page.lines), found.expression, page.planted)


def _none(page: _Page, values: Values, target: int, plan: tuple[Step, ...], width: int) -> Value | None:
    for step in plan:
        values = _after(values, step)
    return values[0]


def _direct(page: _Page, values: Values, target: int, plan: tuple[Step, ...], width: int) -> Value | None:
    for step in plan:
        after = _after(values, step)
        page.equation(0, values, step, after, target if len(after) == 1 else None)
        values = after
    return values[0]


def _depth(page: _Page, values: Values, target: int, plan: tuple[Step, ...], width: int) -> Value | None:
    depth = page.count - len(values)
    for number, step in enumerate(_tried(page.rng, values, plan, width)):
        if number and len(values) > 2:
            page.write(depth, f"Back to {_listed(values)}.")
        after = _after(values, step)
        page.equation(depth, values, step, after, target if len(after) == 1 else None)
        if len(after) == 1:
            if after[0].number == target:
                return after[0]
            continue
        page.write(depth + 1, f"Left: {_listed(after)}.")
        found = _depth(page, after, target, plan[1:] if plan and step == plan[0] else (), width)
        if found:
            return found
    return None


def _breadth(page: _Page, values: Values, target: int, plan: tuple[Step, ...], width: int) -> Value | None:
    level: list[tuple[Values, tuple[Step, ...]]] = [(values, plan)]
    for depth in range(len(values) - 1):
        following: list[tuple[Values, tuple[Step, ...]]] = []
        for before, way in level:
            page.write(depth, f"From {_listed(before)}:")
            for step in _tried(page.rng, before, way, width):
                after = _after(before, step)
                page.equation(depth, before, step, after, target if len(after) == 1 else None)
                if len(after) == 1 and after[0].number == target:
                    return after[0]
                following.append((after, way[1:] if way and step == way[0] else ()))
        # The known way and as many others as the width allows: a level never grows with the one before.
        known = [each for each in following if each[1]]
        others = [each for each in following if not each[1]]
        level = page.rng.sample(others, min(width - 1, len(others))) + known
        page.rng.shuffle(level)
    return None


STYLES: dict[str, Callable[[_Page, Values, int, tuple[Step, ...], int], Value | None]] = {
    "depth": _depth,
    "breadth": _breadth,
    "direct": _direct,
    "none": _none,
}


def _tried(rng: random.Random, values: Values, plan: tuple[Step, ...], width: int) -> list[Step]:
    """Different steps in random order; the next one of the plan, where there is one, is among them."""
    tried: dict[tuple[int, frozenset[Number] | tuple[Number, Number]], Step] = {}
    if plan:
        tried[_same(values, plan[0])] = plan[0]
    for attempt in range(8 * width):
        if len(tried) == width:
            break
        step = Step(rng.randrange(len(OPERATORS)), *rng.sample(range(len(values)), 2))
        result = _result(OPERATORS[step.operator], values[step.left].number, values[step.right].number)
        # Nobody tries fractions and negative numbers first.
        plain = result is not None and result > 0 and result.denominator == 1
        if plain or (result is not None and not tried and attempt > 4 * width):
            tried.setdefault(_same(values, step), step)
    steps = list(tried.values())
    rng.shuffle(steps)
    return steps


def _same(values: Values, step: Step) -> tuple[int, frozenset[Number] | tuple[Number, Number]]:
    """What two steps share that nobody would try twice: 3 + 5 and 5 + 3."""
    left, right = values[step.left].number, values[step.right].number
    return step.operator, frozenset((left, right)) if OPERATORS[step.operator] in "+*" else (left, right)


def _after(values: Values, step: Step) -> Values:
    left, right = values[step.left], values[step.right]
    rest = tuple(value for place, value in enumerate(values) if place not in (step.left, step.right))
    return (*rest, _combined(OPERATORS[step.operator], left, right))


def _combined(operator: str, left: Value, right: Value) -> Value:
    number = _result(operator, left.number, right.number)
    if number is None:
        raise CountdownError(f"the plan divides {left.number} by 0")
    first, second = left.expression, right.expression
    if operator in "*/":
        first = f"({first})" if left.last and left.last in "+-" else first
        loose = "+-/" if operator == "*" else "+-*/"
    else:
        loose = "+-" if operator == "-" else ""
    second = f"({second})" if right.last and right.last in loose else second
    return Value(number, f"{first} {operator} {second}", operator)


def _result(operator: str, a: Number, b: Number) -> Number | None:
    if operator == "/" and not b:
        return None
    if operator == "/":
        result: Number = Fraction(a) / b
    else:
        result = a + b if operator == "+" else a - b if operator == "-" else a * b
    return result.numerator if result.denominator == 1 else result


def _bracketed(number: Number) -> str:
    return str(number) if number >= 0 and number.denominator == 1 else f"({number})"


def _listed(values: Iterable[Value]) -> str:
    return ", ".join(str(value.number) for value in values)
