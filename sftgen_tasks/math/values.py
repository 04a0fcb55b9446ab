r"""Whether two formulas have the same value. SymPy reads them, and their values at a few points decide.

Decimals are compared to six significant digits, all else exactly. math-verify is asked where points settle nothing, in
both orders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any

from math_verify import verify
from math_verify.errors import TimeoutException
from math_verify.grader import should_treat_as_complex
from math_verify.utils import timeout
from sympy import Basic, Eq, Expr, Float, I, MatrixBase, Rational, Symbol, nan, oo, zoo  # type: ignore[import-untyped]

from sftgen_tasks.math.difference import differ, with_constant_functions
from sftgen_tasks.math.reading import PATIENCE, parsed
from sftgen_tasks.math.text import as_number, in_one_way, rounding

DEEPEST = 60
"""Brackets in brackets that SymPy's parser is given."""
_POINTS = 4
_EXACT = 1e-10
"""Distance of equal values, as a part of them: what is lost in computing."""
_BINARY = 1e-13
"""The same for decimals, which are binary inside: `3.83e35`."""


@lru_cache(maxsize=2048)
def value(formula: str) -> Any:
    """The SymPy value of a formula in plain LaTeX, None if it cannot be parsed."""
    number, plain = as_number(formula), in_one_way(formula)
    if number is not None:
        exact = Rational(number.numerator, number.denominator)
        return Float(exact, 20) if "." in formula else exact
    # A blank between digits, and a base within a formula, are lost by the parser.
    if re.search(r"\d \d|\d_", plain) or _depth(plain) > DEEPEST:
        return None
    return _within(parsed, plain, not should_treat_as_complex(plain))


def same_value(gold: Any, answer: Any) -> bool:
    """Whether two SymPy values are the same."""
    decided = _within(_decide, gold, answer, late=False)
    return bool(verify(gold, answer) or verify(answer, gold)) if decided is None else bool(decided)


def same_equation(gold: tuple[Any, Any], answer: tuple[Any, Any]) -> bool:
    """Whether two equations, by their sides, have the same solutions."""
    return bool(_within(_same_equation, gold, answer))


def factor(gold: tuple[Any, Any], answer: tuple[Any, Any]) -> float | None:
    """The number that a difference of two sides is a multiple of another by, None if it is none."""
    found: float | None = _within(lambda: _factor(gold[0] - gold[1], answer[0] - answer[1]))
    return found


def times(number: Any, size: Fraction) -> Any:
    """A value multiplied by a size, None if it is a relation or a set."""
    return number * Rational(size) if isinstance(number, Expr | MatrixBase) else None


def _depth(formula: str) -> int:
    """How deep brackets stand in brackets."""
    steps = ((one in "({[") - (one in ")}]") for one in formula)
    return max(accumulate(steps), default=0)


def _within(ask: Callable[..., Any], *values: Any, late: Any = None) -> Any:
    """The answer of a function, None if it fails and `late` if it takes too long."""
    try:
        return timeout(PATIENCE)(ask)(*values)
    except TimeoutException:  # not an Exception
        return late
    except Exception:
        return None


def _decide(gold: Any, answer: Any) -> bool | None:
    """Whether two values are the same; None where their values at points do not tell."""
    if gold == answer:
        return gold not in (zoo, nan)  # `3:00` and `15:00` are divided by zero
    if isinstance(gold, MatrixBase) and isinstance(answer, MatrixBase):
        return _same_matrix(gold, answer)
    if not (isinstance(gold, Basic) and isinstance(answer, Basic)):
        return None
    if {gold, answer} & {oo, -oo, zoo, nan}:
        return False
    if isinstance(gold, Symbol) and isinstance(answer, Symbol):
        return str(gold.name).lower() == str(answer.name).lower()
    return _agree(gold, answer)


def _same_matrix(gold: Any, answer: Any) -> bool | None:
    if gold.shape != answer.shape:
        return False
    found = [_decide(one, other) for one, other in zip(gold.flat(), answer.flat(), strict=True)]
    return False if False in found else None if None in found else True


def _agree(gold: Any, answer: Any) -> bool | None:
    rounded = gold.has(Float) or answer.has(Float)
    if not rounded and not (gold.free_symbols or answer.free_symbols) and gold.is_number and answer.is_number:
        # The difference is computed to as many digits as it needs: 1 is not 1 + 2**-100.
        return bool(abs(complex((gold - answer).evalf(5, maxn=400))) <= 1e-90)
    agreed = None
    for one, other in _values(gold, answer):
        if one is None or other is None:
            continue
        size, distance = max(abs(one), abs(other)), abs(one - other)
        if distance > (max(rounding(size), _BINARY * size) if rounded else _EXACT * size):
            return False
        agreed = True
    return agreed


def _values(*expressions: Any) -> Iterator[list[complex | None]]:
    """The values of expressions at a few points, each a complex number or None."""
    plain = [with_constant_functions(one) for one in expressions]
    names = sorted({str(symbol) for one in plain for symbol in one.free_symbols})
    for number in range(_POINTS if names else 1):
        at = {name: _coordinate(place, number) for place, name in enumerate(names)} | {"i": I}
        found = [_value(one.xreplace({symbol: at[str(symbol)] for symbol in one.free_symbols})) for one in plain]
        real = [one is not None and abs(one.imag) <= 1e-12 * max(1, abs(one)) for one in found]
        # Where only one is real, a root or logarithm has left its domain.
        left = names and "i" not in names and any(real) and not all(real)
        yield [None] * len(found) if left else found


def _coordinate(place: int, number: int) -> Any:
    """A coordinate of a point; the last points have negative ones too."""
    sign = -1 if number >= 2 and (place + number) % 2 else 1
    return sign * Rational(1009 + 317 * place + 211 * number, 1013 + 97 * place + 401 * number)


def _value(expression: Any) -> complex | None:
    found = expression.evalf(20)
    if not found.is_number:
        return None
    number = complex(found)
    return number if math.isfinite(number.real) and math.isfinite(number.imag) else None


def _factor(gold: Any, answer: Any) -> float | None:
    factors = [one / other for one, other in _values(gold, answer) if one is not None and other]
    if len(factors) < 2 or not gold.free_symbols:
        return None
    first = factors[0]
    if any(abs(one - first) > 1e-9 * abs(first) for one in factors) or abs(first.imag) > 1e-9 * abs(first):
        return None
    return first.real


def _same_equation(gold: tuple[Any, Any], answer: tuple[Any, Any]) -> bool:
    if _factor(gold[0] - gold[1], answer[0] - answer[1]) is not None:
        return True
    one, other = Eq(*gold, evaluate=False), Eq(*answer, evaluate=False)
    if _misses(gold, answer) or differ(one, other) or differ(other, one):
        return False
    return bool(verify(one, other) or verify(other, one))


def _misses(gold: tuple[Any, Any], answer: tuple[Any, Any]) -> bool:
    """Whether a solution of a polynomial equation clearly does not solve another equation."""
    difference = gold[0] - gold[1]
    names = sorted(difference.free_symbols, key=str)
    at = {str(symbol): _coordinate(place, 0) for place, symbol in enumerate(names)}
    for symbol in names:
        others = {one: at[str(one)] for one in names if one != symbol}
        polynomial = difference.xreplace(others).as_poly(symbol)
        if polynomial is None or polynomial.degree() < 1 or polynomial.free_symbols_in_domain:
            continue
        for root in polynomial.nroots():
            there = {**at, str(symbol): root}
            sides = [
                _value(side.xreplace({one: there.get(str(one), one) for one in side.free_symbols})) for side in answer
            ]
            left, right = sides
            if left is not None and right is not None:
                return bool(abs(left - right) > 1e-6 * (1 + abs(left) + abs(right)))
    return False
