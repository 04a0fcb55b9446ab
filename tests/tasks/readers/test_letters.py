r"""The letter of a multiple-choice answer: the strict rule on text, and the paper rules too on what never ends."""

from __future__ import annotations

import time

import pytest

from sftgen_tasks.readers.letters import letter
from sftgen_tasks.readers.paper import paper_gpqa, paper_mmlu_pro

# Text, the letter with ten options.
READ = [
    # Boxes.
    (r"\boxed{B}", "B"),
    (r"so it is $\boxed{B}$.", "B"),
    (r"\boxed{ B }", "B"),
    (r"\boxed{b}", "B"),
    (r"\boxed{\text{B}}", "B"),
    (r"\boxed{\textbf{B}}", "B"),
    (r"\boxed{\mathrm{B}}", "B"),
    (r"\boxed{\mathbf{(B)}}", "B"),
    (r"\boxed{\text{(B)}}", "B"),
    (r"\boxed{(B)}", "B"),
    (r"\boxed{\left(B\right)}", "B"),
    (r"\boxed{[B]}", "B"),
    (r"\boxed{B)}", "B"),
    (r"\boxed{B.}", "B"),
    (r"\boxed{B) 5 metres}", "B"),
    (r"\boxed{B. 5 metres}", "B"),
    (r"\boxed{B: 5 metres}", "B"),
    (r"\boxed{B (5 metres)}", "B"),
    (r"\boxed{\text{B) A and C}}", "B"),
    (r"\boxed{(B)\ 5}", "B"),
    (r"\boxed{**B**}", "B"),
    (r"\boxed{\text{Option B}}", "B"),
    (r"\boxed{\text{The answer is B}}", "B"),
    (r"\fbox{B}", "B"),
    (r"\boxed{A}, no: \boxed{B}", "B"),
    (r"The answer is A. \boxed{B}", "B"),
    (r"\boxed{B}. So the answer is A.", "B"),
    # No letter in the box: the last statement.
    (r"The answer is (B): \boxed{5}", "B"),
    (r"\boxed{} Answer: B", "B"),
    # A cut box.
    (r"\boxed{B} and \boxed{A", "B"),
    # Statements.
    ("The answer is B.", "B"),
    ("The answer is (B).", "B"),
    ("the answer is (b).", "B"),
    ("The answer is **B**.", "B"),
    ("The answer is **(B)**", "B"),
    ("The answer is $B$", "B"),
    ("The answer is: B", "B"),
    ('The answer is "B".', "B"),
    ("The answer is B because it is.", "B"),
    ("The answer is A because it is.", "A"),
    ("The answer is B) 5 metres", "B"),
    ("The answer is option B, 5 metres.", "B"),
    ("The answer is therefore most likely (B).", "B"),
    ("The correct answer is B, not A.", "B"),
    ("The answer to this question is B.", "B"),
    ("The answer must be (B).", "B"),
    ("The correct option is B.", "B"),
    ("The best choice would be B.", "B"),
    ("ANSWER: B", "B"),
    ("Answer: B", "B"),
    ("Answer: b", "B"),
    ("**Answer:** B", "B"),
    ("**Final Answer: B) 5 metres**", "B"),
    ("Final answer:\n\nB", "B"),
    ("Answer = B", "B"),
    ("### Answer\nThe answer is \\text{B}.", "B"),
    ("So option B is the correct answer.", "B"),
    ("(B) is the correct answer.", "B"),
    ("The answer is A. Wait. The answer is B.", "B"),
    ("If the answer is A, it fails. Answer: B", "B"),
    ("Answer: (I)", "I"),
    ("The answer is I.", "I"),
    ("The answer is A, B is wrong.", "A"),
    # A letter alone.
    ("B", "B"),
    ("(B)", "B"),
    ("B.", "B"),
    ("B) 5 metres", "B"),
    ("**B**", "B"),
    ("**B) 5 metres**", "B"),
    ("It is 5 metres.\n\n**B**", "B"),
    ("It is 5 metres.\n\n(B)", "B"),
    ("It is 5 metres, hence **B**.", "B"),
    ("**A**: too small.\n**B**: right.\n\nHence **B**", "B"),
    ("It is 5 metres.\n\n**B. 5 metres**", "B"),
]

NOT_READ = [
    "",
    "I do not know.",
    r"\boxed{}",
    r"\boxed{5}",
    r"\boxed{AB}",
    r"\boxed{Because}",
    r"\boxed{A force of 5 N}",
    r"\boxed{a + b}",
    r"\boxed{F = ma}",
    r"\boxed{C_6H_6}",
    r"\boxed{K}",
    # Several.
    r"\boxed{A, B}",
    r"\boxed{A and B}",
    r"\boxed{(A), (C)}",
    r"\boxed{A/B}",
    "The answer is (A) or (B).",
    "The answer is A, B and D.",
    # Word boundaries.
    "The answer is Because it is.",
    "The answer is Incorrect.",
    "The answer is a force.",
    "The answer is an apple.",
    "The answer is B-type.",
    "The answer is A's.",
    "The answer is F = 10 N.",
    "Answer: A force of 10 N acts.",
    "Answer: I think it is the second.",
    "The answer is vitamin B.",
    "vitamin B is the correct answer",
    "The answer is not B.",
    "No answer is given. Boxes A and B are heavy.",
    "answers: Benzene",
    # A walk through the options.
    "**A**: too small.\n**B**: too large.",
    "A) too small.\nB) too large.",
    "Option A is wrong. Option B is odd.",
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_a_letter_that_is_read(text: str, expected: str) -> None:
    assert letter(text, 10) == expected


@pytest.mark.parametrize("text", NOT_READ)
def test_no_letter_is_read(text: str) -> None:
    assert letter(text, 10) is None


@pytest.mark.parametrize("text", [r"\boxed{E}", "The answer is (E).", "E", r"The answer is A. \boxed{E}"])
def test_a_letter_that_is_no_option_is_no_answer(text: str) -> None:
    assert letter(text, 5) == "E"
    assert letter(text, 4) is None


# Kinds of faults that were reported from outside: text, number of options, the letter.
REPORTED = {
    "box-4": ("The right choice is \\boxed{D}.\n\nA check: \\boxed{v = \\frac{3c}{5}}", 4, "D"),
    "box-6": (r"Hence \boxed B", 4, "B"),
    "letter-1": (r"\boxed{B\quad 10^{-4}\ \text{eV}}", 4, "B"),
    "letter-2": (r"\boxed{\displaystyle B}", 4, "B"),
    "letter-3": (r"\boxed{\mbox{B}}", 4, "B"),
    "letter-4": (r"\boxed{\textcolor{blue}{B}}", 4, "B"),
    "letter-5": (r"The correct answer is \(B\).", 4, "B"),
    "letter-6": ("Final answer\uff1aB", 4, "B"),
    "letter-7": ("<answer>B</answer>", 4, "B"),
    "letter-8": ("So I choose option B.", 4, "B"),
    "letter-9": ("**Final Answer**\n\n(B) 5 m/s", 4, "B"),
    "letter-x2": (r"\boxed{\Large \text{B}}", 4, "B"),
    "letter-x4": (r'\boxed{"B"}', 4, "B"),
    "letter-x7": ('{"answer": "B"}', 4, "B"),
    "false-1": (r"\boxed{\text{I and III only}}", 10, None),
    "false-2": ("Let block **B** weigh 3 kg. The tension is 12 N, and no listed value matches.", 4, None),
    "false-3": ("Answer: C is not right; I cannot decide.", 4, None),
    "pass-1": ("We need \\boxed{\\langle H\\rangle \\ll \\Delta E}.\n\n**Answer: D**", 4, "D"),
    "pass-2": ("The value is 11.\n\nAnswer seems to be B.\n\nAnswer: A", 4, "A"),
    "pass-3": ("The answer is B. Note that A is a common distractor.", 4, "B"),
    "pass-4": ("ANSWER: Don't know", 4, None),
    "pass-5": ("Answer: F/I", 10, None),
    "letters-1": ("For an ideal gas Q = 0.", 10, None),
    "letters-1, in a box": (r"\boxed{For every n}", 10, None),
    "letters-1, an abbreviation": ("E.g., the field is zero.", 10, None),
    "letters-1, another abbreviation": ("The sum is 5.\n\nI.e. nothing is lost.", 10, None),
    "letters-1, another word": ("Hand it over.", 10, None),
    "letters-2": ("(A) We first need the molar mass. (B) Then we divide.", 4, None),
    "letters-3": ("**Shifting:** A **shifting interest** is made.\n\nD", 4, "D"),
    "letters-4": ("The correct option is (i), (ii), and (iii) only.\n\nA", 10, "A"),
    "letters-5": ("Both are true.\n\nA. True, True", 4, "A"),
    "letters-7": ("So it must be option C.", 4, "C"),
    "letters-7, closest": ("The closest option is (C).", 4, "C"),
}


@pytest.mark.parametrize(("text", "options", "expected"), REPORTED.values(), ids=REPORTED)
def test_what_was_reported(text: str, options: int, expected: str | None) -> None:
    assert letter(text, options) == expected


# A list of options that the model copied and that ends in the middle; a last letter that is no paragraph of its own.
@pytest.mark.parametrize(
    "text",
    [
        "The answer is (B).\n\nOptions:\nA. iron\nB. gold\nC",
        "The answer is (B).\n\nOptions:\nA",
        "The answer is (B).\nThis was clear.\nA",
    ],
)
def test_a_last_letter_counts_before_a_sentence_only_as_a_paragraph_of_its_own(text: str) -> None:
    assert letter(text, 4) == "B"
    assert letter("The answer is (B).\n\nA", 4) == "A"


# What a model writes that does not stop, on one line.
LENGTH = 10_000
REPEATED = [
    "A", "B ", " ", "\n", "*", "**", "**B** ", "** ", "(", "(B", "\\", r"\text", r"\boxed{", r"\boxed{B", r"\boxed{B} ",
    r"\boxed{\text{", "answer", "answer ", "answer is ", "answer is the ", "the answer is (", "Answer: ", "answer:",
    "correct ", "correct answer is", "the best option ", "option A is ", "A, ", "A and ", "choose ", "A is ",
    "A is the ", "so ", ". ", "is the correct answer ", "'", "{", "}", "$",
    "the answer is (B). ", "if the answer is B ", "I choose B. ", "The answer is B. B is wrong. ", "(a) b, ", "B. x\n",
    "the option that a b c ", "<answer>", "~~a", "_a ", "\u7b54\u6848", r"\boxed B ", r"B\quad", r"\cancel{",
]  # fmt: skip


@pytest.mark.parametrize("unit", REPEATED)
@pytest.mark.parametrize("head", ["", r"\boxed{", "Answer:"])
def test_a_line_that_never_ends_is_read_at_once(head: str, unit: str) -> None:
    text = head + unit * (LENGTH // len(unit))
    started = time.process_time()
    letter(text, ["5 m/s", "A", "B", "7"])
    paper_gpqa(text)
    paper_mmlu_pro(text)
    # Milliseconds of computing, however busy the machine is; a quadratic pattern takes minutes.
    assert time.process_time() - started < 20


def test_an_answer_after_a_line_that_never_ends() -> None:
    for unit in ("A ", "answer ", " ", "the answer is A "):
        assert letter(unit * (LENGTH // len(unit)) + "\nThe answer is (B).", 10) == "B"
        assert letter(unit * (LENGTH // len(unit)) + r"\boxed{C}", 10) == "C"
