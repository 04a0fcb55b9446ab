r"""Countdown: reach a target with every given number used exactly once.

Puzzles are made from a seed. Each has a solution: random exact operations combine the numbers, and
the result is the target if it is a whole number in range. The answer is the last `\boxed{...}` of the
answer part, or without a box the last `<answer>...</answer>`. A small parser reads + - * / and
parentheses, and the value is computed in exact fractions.

Protocol: the puzzle family of Countdown-Tasks-3to4-Unique (3 or 4 numbers, all of them used). There is
only a `strict` rule, because the paper trains on Countdown and does not score it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.data.generated import Generated, distinct
from sftgen_tasks.readers.boxed import last_boxed, last_tag
from sftgen_tasks.readers.commands import without_looks
from sftgen_tasks.readers.signs import in_ascii

PROMPT = (
    "Using the numbers {numbers}, write an arithmetic expression that equals {target}. "
    "Use every number exactly once, with + - * / and parentheses. "
    "Put the expression in \\boxed{{}}."
)
LARGEST_NUMBER, LARGEST_TARGET = 99, 999
_TOKEN = re.compile(r"\s*(\d+|[-+*/()])")
_NUMBER = re.compile(r"\d+")
_SIGNS = {
    "*": re.compile(
        r"\\(?:times|cdot|ast)(?![a-zA-Z])|(?<=[\d) ])[xX](?=[\d( ])|[\u00d7\u00b7\u22c5\u2217\u2219\u2715]"
    ),
    "/": re.compile(r"\\div(?![a-zA-Z])|[\u00f7\u2215\u2044]"),
    "-": re.compile(r"\u2212"),
    "(": re.compile(r"\\lbrack(?![a-zA-Z])|\["),
    ")": re.compile(r"\\rbrack(?![a-zA-Z])|\]"),
}
_FRACTION = re.compile(r"\\[dtc]?frac\{([^{}]*)\}\{([^{}]*)\}")
_PLAIN = re.compile(r"[0-9(][-+*/() 0-9]*[0-9)]")
_EQUALS = re.compile(r"=|\\(?:approx|equiv)(?![a-zA-Z])|\u2248")


def make_puzzle(
    rng: random.Random,
    *,
    counts: tuple[int, ...] = (3, 4),
    largest_number: int = LARGEST_NUMBER,
    largest_target: int = LARGEST_TARGET,
    operators: str = "+-*/",
) -> tuple[list[int], int]:
    """Draw one solvable puzzle: the numbers in random order, and the target.

    Raises:
        ValueError: No puzzle was found with these settings.
    """
    for _ in range(100_000):
        numbers = [rng.randint(1, largest_number) for _ in range(rng.choice(counts))]
        values: list[int | Fraction] = [*numbers]
        while len(values) > 1:
            a, b = (values.pop(rng.randrange(len(values))) for _ in range(2))
            operator = rng.choice(operators)
            if operator == "/" and b == 0:
                operator = "+"
            values.append(_apply(operator, a, b))
        target = values[0]
        if target.denominator == 1 and 1 <= target <= largest_target and target not in numbers:
            return numbers, int(target)
    raise ValueError("found no puzzle with these settings; allow more numbers, a larger target or more operators")


def make_docs(seed: int = 0, size: int = 500, **options: Any) -> list[dict[str, Any]]:
    """Make `size` different puzzles; `options` go to `make_puzzle`."""
    rng = random.Random(f"countdown-{seed}")

    def draw() -> dict[str, Any]:
        numbers, target = make_puzzle(rng, **options)
        return {"question": question(numbers, target), "numbers": numbers, "target": target}

    return distinct(draw, size)


def question(numbers: Sequence[int], target: int) -> str:
    """What the model is asked."""
    listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    return PROMPT.format(numbers=listed, target=target)


documents = Generated("sftgen_countdown", make_docs).documents


def extract(answer: str) -> str | None:
    """The last boxed or tagged expression, without looks and without the result beside an equals sign."""
    found = last_boxed(answer) or last_tag(answer, "answer")
    if found is None:
        return None
    if _PLAIN.fullmatch(found):  # nothing below would change it
        return found
    found = in_ascii(found)
    for sign, looks in _SIGNS.items():
        found = looks.sub(sign, found)
    for _ in range(4):  # from the innermost fraction outwards
        found = _FRACTION.sub(r"((\1)/(\2))", found)
    sides = _EQUALS.split(without_looks(found, words=False))
    # "35 = (3 + 4) * 5": the side with most numbers, and of equal ones the first.
    return max(sides, key=_operands).strip(" \n\t$*_`.") or None


def _operands(side: str) -> int:
    count = len(_NUMBER.findall(side))
    return count if count > 1 else 0


def evaluate(expression: str) -> tuple[Fraction, list[int]]:
    """Evaluate an expression exactly.

    Returns:
        The value, and the whole numbers in the expression, in order.

    Raises:
        ValueError: This is not an expression of whole numbers, + - * / and parentheses, or it divides by 0.
    """
    tokens, position = [], 0
    expression = expression.strip()
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"unexpected {expression[position:].lstrip()[0]!r}")
        tokens.append(match.group(1))
        position = match.end()
    if len(tokens) > 100:
        raise ValueError(f"{len(tokens)} symbols; an answer here has at most a few dozen")
    numbers: list[int] = []

    def operand() -> int | Fraction:
        token = tokens.pop(0) if tokens else "the end"
        if token == "(":
            value = chain("+-")
            if not tokens or tokens.pop(0) != ")":
                raise ValueError("a parenthesis is not closed")
            return value
        if token == "-":
            return -operand()
        if not token.isdecimal():
            raise ValueError(f"expected a number, found {token}")
        numbers.append(int(token[:20]))
        return numbers[-1]

    def chain(operators: str) -> int | Fraction:
        value = chain("*/") if operators == "+-" else operand()
        while tokens and tokens[0] in operators:
            operator = tokens.pop(0)
            value = _apply(operator, value, chain("*/") if operators == "+-" else operand())
        return value

    value = chain("+-")
    if tokens:
        raise ValueError(f"unexpected {tokens[0]}")
    return Fraction(value), numbers


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """An answer is right if it equals the target and uses every number exactly once."""
    answer = extract(response.answer)
    if answer is None:
        return Verdict.of(response, None, 0)
    try:
        value, used = evaluate(answer)
    except ValueError as error:
        return Verdict.of(response, answer, 0, reason=f"not an expression: {error}")
    if Counter(used) != Counter(doc["numbers"]):
        return Verdict.of(response, answer, 0, reason="not every number exactly once")
    return Verdict.of(response, answer, value == doc["target"], reason=f"equals {value}")


def solve(numbers: Sequence[int | Fraction], target: int, texts: Sequence[str] = ()) -> str | None:
    """An expression of all the numbers that equals the target; None where there is none."""
    written = list(texts) or [str(number) for number in numbers]
    if len(numbers) == 1:
        return written[0] if numbers[0] == target else None
    for first, second in permutations(range(len(numbers)), 2):
        rest = [place for place in range(len(numbers)) if place not in (first, second)]
        for operator in "+-*/":
            if operator == "/" and not numbers[second]:
                continue
            value = _apply(operator, numbers[first], numbers[second])
            text = f"({written[first]} {operator} {written[second]})"
            found = solve([value, *(numbers[n] for n in rest)], target, [text, *(written[n] for n in rest)])
            if found:
                return found
    return None


def examples(doc: Mapping[str, Any]) -> tuple[str, str] | None:
    """A solution, and an expression with a number more; None for puzzles of so many numbers that it takes long."""
    numbers = doc["numbers"]
    found = solve(numbers, doc["target"]) if len(numbers) <= 4 else None
    return (f"\\boxed{{{found}}}", f"\\boxed{{{' + '.join(map(str, [*numbers, 1]))}}}") if found else None


def unusable(doc: Mapping[str, Any]) -> str:
    """Why a document is no puzzle; empty where it is one."""
    numbers, target = doc.get("numbers"), doc.get("target")
    whole = isinstance(numbers, list) and numbers and all(type(number) is int for number in numbers)
    return "" if whole and type(target) is int else "expected whole numbers and a whole target"


GRADER = Grader("countdown", version=3, grade=grade, unusable=unusable)


def _apply(operator: str, a: int | Fraction, b: int | Fraction) -> int | Fraction:
    """Exact. Whole numbers stay of type `int` where they can: that is several times faster."""
    if operator == "/":
        if b == 0:
            raise ValueError("division by zero")
        return Fraction(a) / b if a % b else a // b
    return a + b if operator == "+" else a - b if operator == "-" else a * b
