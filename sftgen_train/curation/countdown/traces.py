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
from itertools import permutations
from typing import NamedTuple

from sftgen_judges.errors import did_you_mean
from sftgen_train.curation.countdown.kinds import OPERATORS, CountdownError

Number = int | Fraction
"""A whole number is an `int`: far faster, and most are."""
Numbers = tuple[Number, ...]


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


Step = tuple[int, int, int]
"""One operation: which operator, and the places of its operands among the values that are left."""
Steps = tuple[Step, ...]
_PLUS, _MINUS, _TIMES, _OVER = range(4)
_STEPS: dict[int, list[Step]] = {
    count: [(operator, left, right) for operator in range(4) for left, right in permutations(range(count), 2)]
    for count in range(2, 7)
}
"""All steps from so many values. One is drawn by its place: several times faster than by three draws."""
_ORDERS = {count: list(permutations(range(count))) for count in range(5)}


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
    target: int
    width: int
    lines: list[str] = field(default_factory=list)
    planted: int = 0

    def equation(self, indent: str, operation: tuple[Number, int, Number], result: Number, ending: str = "") -> None:
        """Write one step."""
        a, operator, b = operation
        second = b if type(b) is int and b >= 0 else f"({b})"
        if self.errors and self.rng.random() < self.errors:
            wrong = result + self.rng.choice((-10, -2, -1, 1, 2, 10))
            self.lines.append(f"{indent}{a} {OPERATORS[operator]} {second} = {wrong}")
            self.lines.append(f"{indent}Check: {a} {OPERATORS[operator]} {second} = {result}, not {wrong}.")
            self.planted += 1
        self.lines.append(f"{indent}{a} {OPERATORS[operator]} {second} = {result}{ending}")

    def last(self, indent: str, operation: tuple[Number, int, Number], result: Number) -> bool:
        """Write a step after which one number is left. Whether it is the target."""
        found = result == self.target
        self.equation(indent, operation, result, ", found." if found else f", not {self.target}.")
        return found


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
        raise CountdownError(f"style {style!r}: expected one of {', '.join(STYLES)}{did_you_mean(style, STYLES)}")
    page = _Page(random.Random(seed), errors, target, width)
    steps: Steps = tuple([(operator, left, right) for operator, left, right in plan])
    found = STYLES[style](page, tuple(numbers), steps)
    # The expression is made of the steps alone: it shows whether what was written is true.
    value = _expression(numbers, found) if found is not None else None
    if value is None or value.number != target:
        raise CountdownError(f"the plan {steps} does not make {target} of {list(numbers)}")
    return Trace("\n".join(page.lines), value.expression, page.planted)


def _none(page: _Page, values: Numbers, plan: Steps) -> Steps | None:
    return plan


def _direct(page: _Page, values: Numbers, plan: Steps) -> Steps | None:
    for operator, left, right in plan:
        result = _result(operator, values[left], values[right])
        if result is None:
            return None
        if len(values) == 2:
            page.last("", (values[left], operator, values[right]), result)
        else:
            page.equation("", (values[left], operator, values[right]), result)
        values = _after(values, left, right, result)
    return plan


def _depth(page: _Page, values: Numbers, plan: Steps, indent: str = "") -> Steps | None:
    """The steps to the target, or None where those that were tried do not lead there."""
    tried = _tried(page, values, plan)
    if len(values) == 2:
        for step, result in tried:
            operator, left, right = step
            if page.last(indent, (values[left], operator, values[right]), result):
                return (step,)
        return None
    lines = page.lines
    for place, (step, result) in enumerate(tried):
        if place:
            lines.append(f"{indent}Back to {_listed(values)}.")
        operator, left, right = step
        page.equation(indent, (values[left], operator, values[right]), result)
        after = _after(values, left, right, result)
        deeper = indent + "  "
        lines.append(f"{deeper}Left: {_listed(after)}.")
        found = _depth(page, after, plan[1:] if plan and step == plan[0] else (), deeper)
        if found:
            return (step, *found)
    return None


def _breadth(page: _Page, values: Numbers, plan: Steps) -> Steps | None:
    # Numbers, what is left of the plan where it was followed, and the steps that lead here.
    level: list[tuple[Numbers, Steps, Steps]] = [(values, plan, ())]
    for depth in range(len(values) - 1):
        indent = "  " * depth
        known: list[tuple[Numbers, Steps, Steps]] = []
        others: list[tuple[Numbers, Steps, Steps]] = []
        for before, way, path in level:
            page.lines.append(f"{indent}From {_listed(before)}:")
            for step, result in _tried(page, before, way):
                operator, left, right = step
                if len(before) == 2:
                    if page.last(indent, (before[left], operator, before[right]), result):
                        return (*path, step)
                    continue
                page.equation(indent, (before[left], operator, before[right]), result)
                rest = way[1:] if way and step == way[0] else ()
                (known if rest else others).append((_after(before, left, right, result), rest, (*path, step)))
        # The known way and as many others as the width allows: a level never grows with the one before.
        level = page.rng.sample(others, min(page.width - 1, len(others))) + known
        page.rng.shuffle(level)
    return None


STYLES: dict[str, Callable[[_Page, Numbers, Steps], Steps | None]] = {
    "depth": _depth,
    "breadth": _breadth,
    "direct": _direct,
    "none": _none,
}


def _tried(page: _Page, values: Numbers, plan: Steps) -> list[tuple[Step, Number]]:
    """Different steps in random order with their results; the plan's next one, where there is one, is among them."""
    draw, width = page.rng.random, page.width
    tried: dict[tuple[int, Number, Number], tuple[Step, Number]] = {}
    if plan:
        operator, left, right = plan[0]
        result = _result(operator, values[left], values[right])
        if result is None:
            raise CountdownError(f"the plan divides {values[left]} by 0")
        tried[_same(operator, values[left], values[right])] = plan[0], result
    steps = _STEPS[len(values)]
    count = len(steps)
    # Of two values there are only eight steps: one after the other from a random one on.
    few = count == 8
    first = int(draw() * 8)
    for attempt in range(8 if few else 8 * width):
        if len(tried) == width:
            break
        step = steps[(first + attempt * 3) % 8 if few else int(draw() * count)]
        operator, left, right = step
        a, b = values[left], values[right]
        # Nobody tries fractions and negative numbers first.
        if operator == _MINUS and a <= b and (tried or attempt < 4):
            continue
        if operator == _OVER and (not b or ((a <= 0 or a % b) and (tried or attempt < 4))):
            continue
        result = _result(operator, a, b)
        key = _same(operator, a, b)
        if result is not None and key not in tried:
            tried[key] = step, result
    found = list(tried.values())
    if len(found) in _ORDERS:
        orders = _ORDERS[len(found)]
        return [found[place] for place in orders[int(draw() * len(orders))]]
    page.rng.shuffle(found)
    return found


def _same(operator: int, a: Number, b: Number) -> tuple[int, Number, Number]:
    """What two steps share that nobody would try twice: 3 + 5 and 5 + 3."""
    return (operator, b, a) if b < a and operator in (_PLUS, _TIMES) else (operator, a, b)


def _after(values: Numbers, left: int, right: int, result: Number) -> Numbers:
    """The values that a step leaves: the others in their order, and its result."""
    rest = list(values)
    del rest[max(left, right)], rest[min(left, right)]
    rest.append(result)
    return tuple(rest)


def _result(operator: int, a: Number, b: Number) -> Number | None:
    """Exact; None where it does not exist."""
    if operator == _PLUS:
        result = a + b
    elif operator == _MINUS:
        result = a - b
    elif operator == _TIMES:
        result = a * b
    elif not b:
        return None
    else:
        result = a // b if not a % b else Fraction(a) / b
    return result if type(result) is int else _plain(result)


def _plain(number: Number) -> Number:
    return number.numerator if number.denominator == 1 else number


def _expression(numbers: Sequence[int], steps: Steps) -> Value:
    """What the steps make of the numbers.

    Raises:
        CountdownError: A step divides by 0.
    """
    values = [Value(number, str(number)) for number in numbers]
    for operator, left, right in steps:
        made = _combined(operator, values[left], values[right])
        del values[max(left, right)], values[min(left, right)]
        values.append(made)
    return values[-1]


def _combined(step: int, left: Value, right: Value) -> Value:
    operator = OPERATORS[step]
    number = _result(step, left.number, right.number)
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


def _listed(values: Numbers) -> str:
    return ", ".join(map(str, values))
