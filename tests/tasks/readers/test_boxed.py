r"""Finding an answer: the last `\boxed{...}` and the last `<answer>...</answer>`."""

from __future__ import annotations

import random

import pytest

from sftgen_tasks.readers.boxed import boxed, last_boxed, last_tag

BOXED = [
    (r"\boxed{4}", "4"),
    (r"so \boxed{4}.", "4"),
    (r"first \boxed{3}, no, \boxed{4}", "4"),
    (r"\boxed{ 4 }", "4"),
    ("\\boxed{\n4\n}", "4"),
    (r"\boxed {4}", "4"),
    ("\\boxed\n{4}", "4"),
    (r"\fbox{4}", "4"),
    (r"\boxed{3} and \fbox{4}", "4"),
    (r"$$\boxed{4}$$", "4"),
    # Braces inside.
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\sqrt{\frac{1}{\sqrt{2}}}}", r"\sqrt{\frac{1}{\sqrt{2}}}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{\left\{1\right.}", r"\left\{1\right."),
    (r"\boxed{\begin{pmatrix} 1 \\{} 2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\{} 2 \end{pmatrix}"),
    # JSON that was never decoded.
    (r"\\boxed{4}", "4"),
    # A box in a box: the outer one is the answer.
    (r"\boxed{\boxed{4}}", r"\boxed{4}"),
    (r"\boxed{\text{\boxed{4}} or 5}", r"\text{\boxed{4}} or 5"),
    # A cut one does not count; one before it does.
    (r"\boxed{3} and \boxed{4", "3"),
    (r"\boxed{4", None),
    (r"\boxed{\frac{1}{2}", None),
    # Neither do braces around, and those that never open.
    (r"{ \boxed{4}", "4"),
    (r"} \boxed{4}", "4"),
    (r"{{ set \boxed{4} }", "4"),
    # An empty box is no answer; one before it is.
    (r"\boxed{}", None),
    (r"\boxed{ }", None),
    (r"The answer is \boxed{42}. Recall the rule: put the result in \boxed{}.", "42"),
    (r"\boxed{42} and \boxed{\ }", "42"),
    (r"\boxed{42} and \boxed{~\quad}", "42"),
    (r"\boxed{42} and \boxed{$ $}", "42"),
    (r"\boxed{42} and \boxed{\text{ }}", "42"),
    (r"\boxed{42} and \boxed{\phantom{0}}", "42"),
    (r"\boxed{42} and \boxed{\ldots}", "42"),
    (r"\boxed{42} and \boxed{...}", "42"),
    (r"\boxed{42} and \boxed{?}", "42"),
    (r"\boxed{\emptyset}", r"\emptyset"),
    (r"\boxed{-}", None),
    (r"\boxed{0}", "0"),
    # A box without braces.
    (r"The final answer is \boxed 42.", "42"),
    (r"\boxed 4", "4"),
    (r"$\boxed -7$", "-7"),
    (r"$\boxed \frac{1}{2}$", r"\frac{1}{2}"),
    (r"$\boxed\frac{\sqrt{2}}{2}$.", r"\frac{\sqrt{2}}{2}"),
    (r"$\boxed\pi$", r"\pi"),
    (r"\boxed (3, 4)", "(3, 4)"),
    (r"Therefore \boxed B", "B"),
    (r"Therefore \boxed yes.", "yes"),
    (r"\boxed{3}, or \boxed 4", "4"),
    (r"\boxed 3, no, \boxed{4}", "4"),
    (r"\boxed{4}, written with \boxed and braces", "4"),
    (r"Put it in \boxed.", None),
    ("", None),
    ("4", None),
    (r"boxed{4}", None),
    (r"\boxedd{4}", None),
    ("{4}", None),
]

TAGGED = [
    ("<answer>4</answer>", "4"),
    ("<answer>\n4\n</answer>", "4"),
    ("<answer>3</answer> no <answer>4</answer>", "4"),
    ("<answer>3</answer> and <answer>4", "3"),
    ("<answer><answer>4</answer>", "4"),
    ("<answer>1 < 2</answer>", "1 < 2"),
    ("<answer></answer>", ""),
    ("<answer>4", None),
    ("4</answer>", None),
    ("</answer><answer>", None),
    ("<ANSWER>4</ANSWER>", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), BOXED)
def test_last_boxed(text: str, expected: str | None) -> None:
    assert last_boxed(text) == expected


def test_all_boxes_in_their_order() -> None:
    text = r"\boxed{1}, \boxed 2, \boxed{\boxed{3} or 4}, \boxed{}, \boxed{5"
    assert boxed(text) == ["1", "2", r"\boxed{3} or 4"]


@pytest.mark.parametrize(("text", "expected"), TAGGED)
def test_last_tag(text: str, expected: str | None) -> None:
    assert last_tag(text, "answer") == expected


# What a model writes that does not stop, up to 32,768 tokens.
LENGTH = 130_000
REPEATED = {
    "boxes that open": (r"\boxed{", None),
    "braces that open": ("{", None),
    "braces that close": ("}", None),
    "boxes": (r"\boxed{4}", "4"),
    "fractions that open": (r"\boxed{\frac{", None),
    "backslashes": ("\\", None),
    "boxes without a brace": (r"\boxed ", None),
    "fractions without a brace": (r"\boxed\frac{", None),
    "boxes of a number": (r"\boxed 4 ", "4"),
    "empty boxes": (r"\boxed{}", None),
}


@pytest.mark.parametrize(("unit", "expected"), REPEATED.values(), ids=REPEATED)
def test_text_that_repeats_itself(unit: str, expected: str | None) -> None:
    text = unit * (LENGTH // len(unit))
    assert last_boxed(text) == expected
    assert last_boxed(rf"\boxed{{5}} {text}") == (expected or "5")


def test_boxes_in_boxes_by_the_thousand() -> None:
    depth = LENGTH // 8
    text = r"\boxed{" * depth + "4" + "}" * depth
    assert last_boxed(text) == text.removeprefix(r"\boxed{")[:-1]


def test_tags_that_repeat() -> None:
    assert last_tag("<answer>" * 20_000, "answer") is None
    assert last_tag("<answer>4</answer>" * 20_000, "answer") == "4"


def test_an_answer_is_found_in_random_surroundings() -> None:
    rng = random.Random(0)
    noise = ["{", r"\{", r"\}", r"\\", "text ", "$", "\n", r"\boxed{3} ", "<answer>"]
    for _ in range(2000):
        before = "".join(rng.choices(noise, k=rng.randint(0, 12)))
        after = "".join(rng.choices(["}", r"\{", "text", "$", "{"], k=rng.randint(0, 6)))
        assert last_boxed(rf"{before} \boxed{{a{{b}}c}} {after}") == "a{b}c", (before, after)
