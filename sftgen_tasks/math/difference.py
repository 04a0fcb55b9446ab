r"""Two expressions that differ for certain, without simplification.

What math-verify takes for equal has the same value wherever it has one. So values that clearly differ at one
point settle the matter, and SymPy need not spend seconds on simplifying and solving.
"""

from __future__ import annotations

from typing import Any

from math_verify.grader import is_assignment_relation, is_equation, take_last_relation
from sympy import Derivative, Eq, Expr, Rational, Symbol, UnevaluatedExpr  # type: ignore[import-untyped]
from sympy.core.function import AppliedUndef  # type: ignore[import-untyped]


def differ(gold: Any, answer: Any) -> bool:
    """Whether two expressions of math-verify clearly differ; False is no verdict.

    Only for plain expressions, for `x = ...` against one, which math-verify compares by its right side, and
    for two equations.
    """
    if isinstance(gold, Eq) and isinstance(answer, Eq):
        return _equations_differ(gold.lhs - gold.rhs, answer.lhs - answer.rhs)
    if is_equation(answer) and not is_equation(gold):
        answer = take_last_relation(answer).rhs
    elif is_assignment_relation(gold) and not is_equation(answer):
        gold = take_last_relation(gold).rhs
    if not (_plain(gold) and _plain(answer)):
        return False
    gold, answer = _still(gold), _still(answer)
    point = _point(gold, answer)
    return _apart(_at(gold, point), _at(answer, point))


def _still(expression: Any) -> Any:
    """The expression where no unknown function changes: what is equal always is equal then."""
    constants = {one: Symbol(f"{one.func.__name__}()", real=True) for one in expression.atoms(AppliedUndef)}
    still = expression.xreplace(constants)
    return still.xreplace({one: one.doit() for one in still.atoms(Derivative)})


def _equations_differ(gold: Any, answer: Any) -> bool:
    """Whether neither the sides of two equations nor their solutions can be equal.

    math-verify compares the differences of the sides, also with the other sign, and what SymPy solves the
    equations for. A gold equation of the form `a s + b = 0`, with nothing that divides both a and b, has one
    connected set of solutions, and no solution of it solves the answer when one point of that set does not.
    """
    if not all(map(_plain, (gold, answer, -gold, -answer))):
        return False
    changing = gold.atoms(AppliedUndef, Derivative)
    variables = gold.free_symbols.difference(*(one.free_symbols for one in changing))
    gold, answer = _still(gold), _still(answer)
    point = _point(gold, answer)
    ours, theirs = _at(gold, point), _at(answer, point)
    if not (_apart(ours, theirs) and _apart(ours, -theirs)):
        return False
    for symbol in sorted(variables & gold.free_symbols, key=str):
        factor = gold.diff(symbol)
        rest = gold.subs(symbol, 0)
        if factor.has(symbol) or not _coprime(factor, rest, point):
            continue
        solution = -_at(rest, point) / _at(factor, point)
        if abs(solution.imag) < 1e-9:
            there = {**point, symbol: Rational(solution.real)}
            return not _apart(_at(gold, there), 0) and _apart(_at(answer, there), 0)
    return False


def _coprime(factor: Any, rest: Any, point: dict[Any, Any]) -> bool:
    """Whether a product of variables and numbers shares none of them with the rest."""
    parts = [part.as_base_exp()[0] for part in factor.expand().as_ordered_factors()]
    return all(
        part.is_number or (part in point and _apart(_at(rest, {**point, part: Rational(0)}), 0)) for part in parts
    )


def _plain(expression: Any) -> bool:
    # Symbols are compared by name, percentages in their own way.
    return isinstance(expression, Expr) and not isinstance(expression, Symbol) and not expression.has(UnevaluatedExpr)


def _point(*expressions: Any) -> dict[Any, Any]:
    """A value for each variable."""
    symbols = sorted(set().union(*(one.free_symbols for one in expressions)), key=str)
    return {symbol: Rational(1000 + 317 * place, 1009 + 100 * place) for place, symbol in enumerate(symbols)}


def _at(expression: Any, point: dict[Any, Any]) -> complex:
    return complex(expression.xreplace(point).evalf(15))


def _apart(one: complex, other: complex) -> bool:
    # math-verify rounds decimals to six places.
    return 1e-5 * max(1, abs(one), abs(other)) < abs(one - other) < 1e300
