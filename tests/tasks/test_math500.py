r"""MATH500: the prompt, and both scoring rules on the same responses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftgen_judges import Item, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.math500 import GRADER, SOURCE, grade, prompt

SAME = [
    # gold, boxed answer
    ("4", "4"),
    ("4", " 4 "),
    ("4", "$4$"),
    ("4", "4.0"),
    ("4", "x=4"),
    ("4", r"\text{4}"),
    ("4", r"\boxed{4}"),
    # Fractions and roots.
    (r"\frac{1}{2}", "1/2"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{1}{2}", r"\dfrac12"),
    (r"\frac{1}{2}", r"\frac{2}{4}"),
    (r"\frac{4}{3}", r"1\frac{1}{3}"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    (r"11\sqrt2", r"11 \sqrt{2}"),
    # Text.
    (r"\text{Evelyn}", "Evelyn"),
    ("Evelyn", r"\text{Evelyn}"),
    (r"\text{(C)}", "C"),
    # Units and separators.
    (r"90^\circ", "90"),
    ("90", r"90^{\circ}"),
    (r"\$32", "32"),
    (r"5.4 \text{ cents}", "5.4"),
    (r"10,\!000", "10000"),
    ("10000", "10,000"),
    # Intervals, tuples and sets.
    ("(3,4]", "(3, 4]"),
    (r"(-\infty,2)", r"\left(-\infty, 2\right)"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"\left(3,\frac{\pi}{2}\right)"),
    ("1,2", "2,1"),
    (r"\{1,2\}", r"\{2, 1\}"),
    # Expressions.
    ("x^2+1", "1 + x^2"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
]

DIFFERENT = [
    ("4", "5"),
    ("4", "-4"),
    ("4", "four"),
    ("12", "1 2"),
    ("(3,4]", "(3,4)"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(\pi/2, 3)"),
    (r"\text{Evelyn}", "Evan"),
    (r"\pi", "3.14"),
    ("0.333", r"\frac{1}{3}"),
    ("x^2+1", "x^2-1"),
]


def graded(gold: str, text: str) -> tuple[str, float | None, float | None]:
    doc = {"problem": "?", "answer": gold, "solution": rf"Thus the answer is $\boxed{{{gold}}}$."}
    verdict = grade(doc, split_thinking(text))
    return verdict.status, verdict.score, verdict.paper


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_answer(gold: str, answer: str) -> None:
    assert graded(gold, rf"So it is $\boxed{{{answer}}}$.") == ("ok", 1.0, 1.0)


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_another_answer(gold: str, answer: str) -> None:
    assert graded(gold, rf"So it is $\boxed{{{answer}}}$.") == ("ok", 0.0, 0.0)


# One response of each reported kind, with its right score by the `strict` rule.
REPORTED = {
    "tiny numbers": (r"\frac{1}{2^{99}}", r"\boxed{\frac{1}{2^{98}}}", 0.0),
    "another base": ("2516_8", r"\boxed{2516_{10}}", 0.0),
    "a million": ("42", r"\boxed{42 \text{ million}}", 0.0),
    "a sign before the number": ("42", r"\boxed{\neq 42}", 0.0),
    "a number in what cannot be parsed": ("8", "\\boxed{4\u221a2 + 8}", 0.0),
    "a sequence with dots": (r"1, 2, \ldots, n", r"\boxed{1, 3, 5, \ldots, 2n-1}", 0.0),
    "an ordinal": ("12", r"\boxed{12^{\mathrm{th}} \text{ grade}}", 1.0),
    "a unit with a power": ("27", "\\boxed{27 cm\u00b2}", 1.0),
    "an inequality": ("(3,4]", r"\boxed{3 < \lambda \le 4}", 1.0),
    "a variable at the end": (r"\frac{37}{4}m", r"\boxed{\frac{37m}{4}}", 1.0),
    "separators in a formula": (r"\frac{20000}{\pi}", r"\boxed{\frac{20,000}{\pi}}", 1.0),
    "a repeating decimal": (r"\frac{46}{3}", r"\boxed{15.\overline{3}}", 1.0),
    "equal members": ("-2,-2", r"\boxed{(-2,-2)}", 1.0),
    "an empty box at the end": ("42", r"It is \boxed{42}. The rule: put it in \boxed{}.", 1.0),
    "a box without braces": ("42", r"It is \boxed 42.", 1.0),
    "several boxes": ("1,2", r"They are \boxed{1} and \boxed{2}.", 1.0),
}


@pytest.mark.parametrize(("gold", "text", "score"), REPORTED.values(), ids=REPORTED)
def test_reported_kinds(gold: str, text: str, score: float) -> None:
    assert graded(gold, f"x</think>{text}")[1] == score


# The gold answer is 4. The paper rule looks at the whole response, thinking included.
RULES = {
    "right": (r"<think>2+2</think>\boxed{4}", ("ok", 1.0, 1.0)),
    "right without thinking": (r"\boxed{4}", ("ok", 1.0, 1.0)),
    "opener in the prompt": (r"2+2</think>\boxed{4}", ("ok", 1.0, 1.0)),
    "right box inside thinking that never closes": (r"<think>it is \boxed{4}, wait", ("truncated", 0.0, 1.0)),
    "right in thinking, wrong at the end": (r"<think>it is $4$</think>\boxed{5}", ("ok", 0.0, 0.0)),
    "box in thinking, no box at the end": (r"<think>\boxed{4}</think>It is five.", ("no_answer", 0.0, 1.0)),
    "box in thinking, nothing after": (r"<think>\boxed{4}</think>", ("no_answer", 0.0, 1.0)),
    "two boxes, right one last": (r"$\boxed{5}$? No, 2 + 2 gives $\boxed{4}$.", ("ok", 1.0, 1.0)),
    "two boxes, right one first": (r"$\boxed{4}$? No, 2 + 2 gives $\boxed{5}$.", ("ok", 0.0, 0.0)),
    # math-verify reads boxes without dollars that stand close together as one set.
    "two bare boxes, right one last": (r"\boxed{5}? No, \boxed{4}.", ("ok", 1.0, 0.0)),
    "no box": ("The final answer is $4$.", ("no_answer", 0.0, 1.0)),
    "empty box": (r"\boxed{}", ("no_answer", 0.0, 0.0)),
    "cut box": (r"so \boxed{4", ("no_answer", 0.0, None)),
    "nothing": ("", ("no_answer", 0.0, 0.0)),
}


@pytest.mark.parametrize(("text", "expected"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float | None]) -> None:
    status, score, paper = expected
    found = graded("4", text)
    assert found[:2] == (status, score)
    assert paper is None or found[2] == paper


def test_cut_by_the_token_limit_before_a_box() -> None:
    doc = {"answer": "4", "solution": r"$\boxed{4}$"}
    verdict = grade(doc, split_thinking("so it", finish_reason="length"))
    assert (verdict.status, verdict.score) == ("truncated", 0.0)


def test_a_solution_without_a_box_is_the_gold_itself() -> None:
    assert grade({"answer": "4", "solution": "4"}, split_thinking(r"\boxed{4}")).paper == 1.0


@pytest.mark.parametrize("unit", ["1+", "(", r"\boxed{", r"\frac{", "$", "$1$ ", "9", r"\boxed{4} "])
def test_what_never_ends_is_scored_in_a_worker(unit: str) -> None:
    doc = {"problem": "?", "answer": "4", "solution": r"$\boxed{4}$"}
    text = unit * (100_000 // len(unit))
    [cut, right] = grade_batch(
        GRADER, [Item(doc, split_thinking(text)), Item(doc, split_thinking(rf"{text} \boxed{{4}}"))]
    )
    assert cut.score == (1.0 if "4" in unit else 0.0)
    assert right.score == 1.0 or unit == r"\boxed{"


def test_the_prompt_is_that_of_the_paper() -> None:
    # Problem, line break, one space, instruction.
    assert prompt({"problem": "What is $2+2$?"}) == (
        "What is $2+2$?\n Please reason step by step, and put your final answer within \\boxed{}."
    )


def test_worked_solutions_are_right_under_both_rules(data_dir: Path) -> None:
    lines = (data_dir / "math" / "math500_test.jsonl").read_text(encoding="utf-8").splitlines()
    docs = [json.loads(line) for line in lines]
    assert len(docs) == 500
    verdicts = grade_batch(GRADER, [Item(doc, split_thinking(doc["solution"])) for doc in docs])
    wrong = [
        (doc["unique_id"], verdict)
        for doc, verdict in zip(docs, verdicts, strict=True)
        if (verdict.status, verdict.score, verdict.paper) != ("ok", 1.0, 1.0)
    ]
    # math-verify 0.9.0 agrees on all; another version may lose a few.
    assert len(wrong) <= 5, wrong


def test_real_data_is_found_under_its_short_name(data_dir: Path) -> None:
    assert [file.name for file in SOURCE.local_files(data_dir)] == ["math500_test.jsonl"]
    assert len(SOURCE.documents(data_dir=str(data_dir))["test"]) == 500
