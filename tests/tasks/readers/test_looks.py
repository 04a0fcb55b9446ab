r"""What only changes how an answer looks is taken off; what it says stays."""

from __future__ import annotations

import time

import pytest

from sftgen_tasks.readers.looks import plain_latex, plain_text

TEXTS = [
    ("", ""),
    ("Yes", "Yes"),
    (r"**Answer:** $\boxed{\textbf{(B)}\ 4}$", "Answer: (B) 4"),
    (r"The answer is\text{B}", "The answer is B"),
    (r"\boxed B", "B"),
    (r"\boxed{\boxed{B}}", "B"),
    (r"\left(\text{B}\right)", "(B)"),
    (r"\(\mathrm{B}\)", "B"),
    (r"\[ \mathbf{B} \]", "B"),
    (r"\mathcal{B}", "B"),
    (r"\textcolor{red}{\text{No}}", "No"),
    (r"\color{blue}{B}", "B"),
    (r"\color[rgb]{1,0,0} B", "B"),
    (r"{\bf B}", "B"),
    (r"\Large\sf B", "B"),
    (r"\fcolorbox{red}{white}{B}", "B"),
    (r"\phantom{A}B", "B"),
    (r"\textbf{Y}es", "Yes"),
    (r"B~or~C", "B or C"),
    (r"A\quad B\,C", "A B C"),
    ("__B__", "B"),
    ("***B***", "B"),
    ("`B`", "B"),
    ("<b>B</b>", "B"),
    ("<strong class='x'>B</strong>", "B"),
    ("# Yes\n> No", "Yes\nNo"),
    ("B<sup>1</sup>", "B1"),
    ("\uff22", "B"),
    ("\uff08\uff22\uff09\uff0e", "(B)."),
    ("\U0001d401", "B"),
    ("B\u200b", "B"),
    ("\ufeffB", "B"),
    ("a\u00a0b", "a b"),
    ("It\u2019s \u201cB\u201d", 'It\'s "B"'),
    ("\u0664\u0662", "42"),
    ("a \u2192 b \u2014 c", "a \u2192 b \u2014 c"),
    ("a < b", "a < b"),
]

FORMULAS = [
    (r"$\left( \dfrac12 ,\, \mathbf{x}\u00b2 \right)$.".replace(r"\u00b2", "\u00b2"), r"(\frac{1}{2},x^{2})"),
    ("4\u221a2 \\mathrm{cm}", r"4\sqrt{2}\text{cm}"),
    ("\u221a(2+\u221a3)", r"\sqrt{2+\sqrt{3}}"),
    ("\u221b8", r"\sqrt[3]{8}"),
    ("90\u00b0", r"90^\circ"),
    (r"90^{\circ}", r"90^\circ"),
    (r"90\degree", r"90^\circ"),
    (r"10\ \%", r"10\%"),
    ("\u00bd", r"\frac{1}{2}"),
    ("1\u00be", r"1\frac{3}{4}"),
    ("x\u2081\u2082\u207b\u00b9", "x_{12}^{-1}"),
    ("\u22123", "-3"),
    ("\uff11\uff12", "12"),
    ("3 < \u03bb \u2264 4", r"3<\lambda\le4"),
    ("2\u03c0", r"2\pi"),
    ("2pi", r"2\pi"),
    ("sqrt(2)", r"\sqrt{2}"),
    ("\u211d", r"\mathbb{R}"),
    (r"x \in \mathbb{R}", r"x\in\mathbb{R}"),
    (r"42^{\text{nd}}", r"42^{\text{nd}}"),
    (r"\textcolor{red}{42}", "42"),
    (r"\color{red}42", "42"),
    (r"\boldsymbol{42}", "42"),
    (r"\displaystyle\bigl(1,2\bigr)", "(1,2)"),
    (r"5{\rm cm}", r"5\text{cm}"),
    (r"5 \rm cm", r"5\text{cm}"),
    (r"5 \mbox{cm}", r"5\text{cm}"),
    (r"\text{\textbf{B}}", r"\text{B}"),
    (r"\operatorname{sinh}(t)", r"\text{sinh}(t)"),
    ("**42**", "42"),
    ("2**3", "2**3"),
    ("2**3**4", "2**3**4"),
    (r"\begin{pmatrix} 1 \\[2pt] 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"10,\!000", "10,000"),
    ("1 2", "1 2"),
    (r"\leftarrow", r"\leftarrow"),
    (r"x\geqslant 2", r"x\ge2"),
    (r"\{1, 2\}", r"\{1,2\}"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_prose_without_its_look(text: str, expected: str) -> None:
    assert plain_text(text) == expected
    assert plain_text(expected) == expected


@pytest.mark.parametrize(("formula", "expected"), FORMULAS)
def test_a_formula_without_its_look(formula: str, expected: str) -> None:
    assert plain_latex(formula) == expected
    assert plain_latex(expected) == expected


HOSTILE = [
    "{",
    "}",
    "\\",
    r"\text{",
    r"\textcolor{",
    r"\frac{",
    r"\sqrt(",
    "\u221a(",
    "**a",
    "*",
    "$",
    "^",
    "<b ",
    " ",
    "a ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_text_takes_a_bounded_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    plain_text(text)
    plain_latex(text)
    assert time.process_time() - start < 2
