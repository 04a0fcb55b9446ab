r"""Two expressions that math-verify would not take for equal, found without simplification.

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
    if not (_compared_by_value(gold) and _compared_by_value(answer)):
        return False
    gold, answer = with_constant_functions(gold), with_constant_functions(answer)
    point = _test_point(gold, answer)
    return _clearly_unequal(_value_at(gold, point), _value_at(answer, point))


def with_constant_functions(expression: Any) -> Any:
    """The expression with a constant for each unknown function: what is equal for all functions is so for these."""
    constants = {one: Symbol(f"{one.func.__name__}()", real=True) for one in expression.atoms(AppliedUndef)}
    expression = expression.xreplace(constants)
    return expression.xreplace({one: one.doit() for one in expression.atoms(Derivative)})


def _equations_differ(gold: Any, answer: Any) -> bool:
    """Whether math-verify finds neither the sides of two equations equal nor their solutions.

    math-verify first compares the differences of the sides, which are the arguments here, also with the other sign.
    Their values at one point show that they are not equal.

    Then it compares the formulas for which SymPy solves each equation. Let gold be `a s + b = 0`, where a is a product
    of other variables and numbers, and no variable of a divides b too. Then the solutions of gold are the graph of
    `s = -b / a`, apart from the few points where both a and b are 0. A formula that solves both equations makes the
    answer's equation true on a whole piece of that graph, and so on all of it. Hence one point of the graph where the
    answer's equation is false shows that no formula solves both. Single solutions in common do not matter: `x + y = 2`
    and `x - y = 0` share the point (1, 1), and their formulas differ.
    """
    if not all(map(_compared_by_value, (gold, answer, -gold, -answer))):
        return False
    changing = gold.atoms(AppliedUndef, Derivative)
    variables = gold.free_symbols.difference(*(one.free_symbols for one in changing))
    gold, answer = with_constant_functions(gold), with_constant_functions(answer)
    point = _test_point(gold, answer)
    ours, theirs = _value_at(gold, point), _value_at(answer, point)
    if not (_clearly_unequal(ours, theirs) and _clearly_unequal(ours, -theirs)):
        return False
    for symbol in sorted(variables & gold.free_symbols, key=str):
        factor = gold.diff(symbol)
        rest = gold.subs(symbol, 0)
        if factor.has(symbol) or not _no_common_variable(factor, rest, point):
            continue
        solution = -_value_at(rest, point) / _value_at(factor, point)
        if abs(solution.imag) < 1e-9:
            on_graph = {**point, symbol: Rational(solution.real)}
            return not _clearly_unequal(_value_at(gold, on_graph), 0) and _clearly_unequal(
                _value_at(answer, on_graph), 0
            )
    return False


def _no_common_variable(factor: Any, rest: Any, point: dict[Any, Any]) -> bool:
    """Whether the factor is a product of variables and numbers, and no such variable divides the rest."""
    parts = [part.as_base_exp()[0] for part in factor.expand().as_ordered_factors()]
    return all(
        part.is_number or (part in point and _clearly_unequal(_value_at(rest, {**point, part: Rational(0)}), 0))
        for part in parts
    )


def _compared_by_value(expression: Any) -> bool:
    # math-verify compares symbols by name, and percentages in their own way.
    return isinstance(expression, Expr) and not isinstance(expression, Symbol) and not expression.has(UnevaluatedExpr)


def _test_point(*expressions: Any) -> dict[Any, Any]:
    """A value for each variable."""
    symbols = sorted(set().union(*(one.free_symbols for one in expressions)), key=str)
    return {symbol: Rational(1000 + 317 * place, 1009 + 100 * place) for place, symbol in enumerate(symbols)}


def _value_at(expression: Any, point: dict[Any, Any]) -> complex:
    return complex(expression.xreplace(point).evalf(15))


def _clearly_unequal(one: complex, other: complex) -> bool:
    # math-verify rounds decimals to six places.
    return 1e-5 * max(1, abs(one), abs(other)) < abs(one - other) < 1e300
