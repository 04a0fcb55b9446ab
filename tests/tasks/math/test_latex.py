r"""The faster LaTeX parser against math-verify's own, on formulas of every form that the shortcuts look at."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from antlr4.atn.ATNState import RuleStopState
from antlr4.atn.Transition import RuleTransition
from latex2sympy2_extended.antlr_parser import PSParser
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy

from sftgen_tasks.math import grammar, latex, reading
from sftgen_tasks.math.latex import LatexReader

FORMULAS = [
    r"\frac{1}{2}",
    r"x^2+1",
    r"OC^2 = \frac{7}{12}",
    r"a_1+a_2+a_3=4+3+2=9",
    r"x_1^2 + x_{2}^{3} - y^{a}_{b} + z^a_b + w_a^b",
    r"x^{y_1}_2",
    r"2x y \cdot 3",
    r"f(x) = x^2",
    r"f(x, y)",
    r"a(b+1)",
    r"x'",
    r"x^T",
    r"90^\circ",
    r"3!",
    r"\sqrt[3]{x+1}",
    r"|\log_2(x^4y^3z^2)| = \frac{25}{3}",
    r"|x| + |y|",
    r"\sin x \cos y",
    r"\sin^2 \theta + \cos(2t)",
    r"e^{-2t} + 2^e",
    r"\int_0^1 x dx",
    r"\int t \, dt",
    r"\frac{dx}{dt} = kx - a",
    r"\frac{d^2 y}{dt^2}",
    r"\sum_{i=1}^{n} i^2",
    r"\prod_{k=0}^{12} (2 - k)",
    r"\lim_{x \to 0} \frac{\sin x}{x}",
    r"\binom{5}{2} + {5 \choose 2}",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}",
    r"(1, 2)",
    r"[1, 2)",
    r"(x+1)",
    r"(x+1)^2",
    r"(1, 2, 3)",
    r"(1, 2), (3, 4)",
    r"((1, 2), 3)",
    r"(x = 1, y = 2)",
    r"\{1, 2\}",
    r"{1, 2}",
    r"{}",
    r"\{(1, 2), (3, 4)\}",
    r"(-\infty, 0) \cup (1, +\infty)",
    r"\mathbb{R} \setminus \{0\}",
    r"x \in (0, 1)",
    r"x \in \mathbb{Z}",
    r"x \notin \{1\}",
    r"A \subseteq B",
    r"(a, b, c) = (1, 2, 3)",
    r"a = 1, b = 2",
    r"a = 1, 2, 3",
    r"x = \pm 2",
    r"1 \pm \sqrt{2}, 3",
    r"x = 1 = y",
    r"1 < x \leq 3",
    r"x \approx 3.14",
    r"1,234",
    r"1; 2; 3",
    r"25\%",
    r"1.5E10",
    r"\lfloor x \rfloor + \lceil y \rceil",
    r"\gamma(\gamma^{2}-1)",
    r"\boxed{1, 2}",
    r"\boxed{x+1}",
    r"\text{Evelyn}",
    r"\hat{x}_1 + \vec{v}",
    r"\gcd(4, 6) + \max(1, 2)",
    r"\operatorname{floor}(x)",
    # None of these can be parsed.
    r"",
    r"\frac{1}{",
    r"1+",
    r"= 0",
    r"^{6}",
    r"x^",
    r"x_",
    r"(1, 2",
    r"1, 2)",
    r"17.",
    r"{x | x > 1}",
]


def read(reader: type[_Latex2Sympy], latex: str) -> str | None:
    """What is made of a formula, as text with all of its structure, or None where that fails."""
    from sympy import srepr

    try:
        value = reader(is_real=True).parse(latex)
    except Exception:
        return None
    return f"{srepr(value)} {getattr(value, '_unsorted_args', None)}"


@pytest.mark.parametrize("latex", FORMULAS)
def test_a_formula_is_read_as_by_math_verify(latex: str) -> None:
    assert read(LatexReader, latex) == read(_Latex2Sympy, latex)


def made_formulas(count: int, seed: int = 0) -> list[str]:
    """Formulas out of pieces of the above, some of them broken."""
    choose = random.Random(seed)
    atoms = ["x", "y_1", "2", "0.5", r"\pi", "n^2", "a_{1}^{2}", r"\theta", "t", "e^{x}", "10^{3}", r"b^{n}_{k}", "12"]
    wraps = ["({})", "[{}]", "{{{}}}", r"\{{{}\}}", "|{}|", r"\sqrt{{{}}}", "f({})", r"\sin {}", r"\log_2 {}", "-{}"]
    joins = ["{}+{}", "{}-{}", "{}{}", r"{} \cdot {}", r"\frac{{{}}}{{{}}}", "{}^{{{}}}", "{}/{}", "({}, {})", "{} {}"]
    outer = ["{}={}", "{}, {}", r"{} \pm {}", r"{} \leq {}", r"{} \in {}", "{}; {}", r"{} \cup {}", "({}, {}]"]

    def made(depth: int) -> str:
        kind = choose.random()
        if depth == 0 or kind < 0.3:
            return choose.choice(atoms)
        if kind < 0.55:
            return choose.choice(wraps).format(made(depth - 1))
        return choose.choice(joins).format(made(depth - 1), made(depth - 1))

    formulas = []
    for _ in range(count):
        formula = made(3)
        if choose.random() < 0.5:
            formula = choose.choice(outer).format(formula, made(2))
        if choose.random() < 0.2:
            place = choose.randrange(len(formula))
            formula = (
                formula[:place]
                + choose.choice(["", "^", "_", "(", ")", "{", "}", ",", "=", "|"])
                + formula[place + 1 :]
            )
        formulas.append(formula)
    return formulas


def test_made_formulas_are_read_as_by_math_verify() -> None:
    formulas = made_formulas(200)
    readings = {latex: (read(LatexReader, latex), read(_Latex2Sympy, latex)) for latex in formulas}
    assert {latex: pair for latex, pair in readings.items() if pair[0] != pair[1]} == {}
    read_at_all = sum(ours is not None for ours, _ in readings.values())
    assert 60 < read_at_all < len(readings)


# ------------------------------------------------------------------------------ the grammar

# What the shortcuts take the numbers of the grammar for: the rule in which the choice is, and what its alternatives
# begin with, the first one first.
DECISIONS = {
    0: ("math", "set_elements_relation | set_elements | set_relation"),
    19: ("unary", "postfix | end"),
    35: (
        "comp",
        "group | formatting_group | norm_group | abs_group | dot_product | floor_group | ceil_group | func | atom"
        " | frac | binom | matrix | det",
    ),
    43: ("atom_expr", "supexpr | subexpr | subexpr | supexpr | end"),
    85: ("set_atom", "interval | literal_set | ordered_tuple | finite_set"),
    92: ("element_no_relation", "plus_minus_expr | set_atom | expr"),
    93: ("element", "plus_minus_expr | set_atom | relation"),
}


def begins_with(transition: Any) -> str:
    """The rule that an alternative begins with, or `end` where it leaves its rule."""
    if isinstance(transition, RuleTransition):
        return str(PSParser.ruleNames[transition.target.ruleIndex])
    if isinstance(transition.target, RuleStopState):
        return "end"
    assert transition.isEpsilon, "an alternative begins with a token"
    [only] = {begins_with(following) for following in transition.target.transitions}
    return only


def test_the_installed_grammar_numbers_its_alternatives_as_the_shortcuts_do() -> None:
    found = {}
    for number in latex._CHOICES:
        state = PSParser.atn.decisionToState[number]
        found[number] = (
            PSParser.ruleNames[state.ruleIndex],
            " | ".join(begins_with(alternative) for alternative in state.transitions),
        )
    assert found == DECISIONS


def test_the_installed_grammar_is_the_one_that_the_shortcuts_were_proven_for() -> None:
    assert grammar.fingerprint() == grammar.PROVEN
    assert grammar.latex_reader() is LatexReader


@pytest.fixture
def another_grammar(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installed grammar, but for one number of ANTLR's network, and nothing read yet."""
    module = sys.modules[PSParser.__module__]
    network = module.serializedATN()  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "serializedATN", lambda: [*network[:-1], network[-1] + 1])
    kept = (grammar.latex_reader, reading.read, reading.parse_latex)
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


@pytest.mark.usefixtures("another_grammar")
def test_with_another_grammar_math_verifys_own_parser_reads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "sftgen_tasks.math.latex")
    with caplog.at_level(logging.WARNING):
        assert reading.verified(r"\boxed{(x+1)^2}", r"\boxed{x^2+2x+1}")
        assert not reading.verified(r"\boxed{(x+1)^2}", r"\boxed{x^2+2x+2}")
    assert grammar.latex_reader() is _Latex2Sympy
    # Not even imported: names of tokens that it needs may be gone.
    assert "sftgen_tasks.math.latex" not in sys.modules
    [warning] = [record.getMessage() for record in caplog.records if record.name == "sftgen_tasks.math.grammar"]
    assert "Run `pip install 'latex2sympy2_extended>=1.11,<1.12'`" in warning
