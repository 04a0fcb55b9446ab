"""Options that are written out, with their letter and without it."""

from __future__ import annotations

import pytest

from sftgen_tasks.readers.letter_statements import SEVERAL
from sftgen_tasks.readers.letters import letter
from sftgen_tasks.readers.options import Options

SPEEDS = ["5 m/s", "7 m/s", "9 m/s", "11 m/s"]
HEAT = ["Conduction only", "Convection only", "Radiation only", "Both A and B"]
ALIKE = ["12", "12", "15", "20"]
NUMERALS = ["I only", "II only", "I and II", "I, II and III"]
TRUTH = ["True, True", "False, False", "True, False", "False, True"]
RATES = [
    "The reaction rate doubles",
    "The reaction rate halves",
    "The reaction rate is unchanged",
    "No reaction occurs",
]
# Text, the options, the letter.
WRITTEN_OUT = [
    ("7 m/s", SPEEDS, "B"),
    (r"\boxed{7 \text{ m/s}}", SPEEDS, "B"),
    (r"\boxed{7\,\mathrm{m/s}}", SPEEDS, "B"),
    (r"\boxed{7}", SPEEDS, "B"),
    ("The answer is 7 m/s.", SPEEDS, "B"),
    ("The answer is **7 m/s**, because it is.", SPEEDS, "B"),
    ("Answer: 7 m/s", SPEEDS, "B"),
    ("So it moves.\n\n7 m/s", SPEEDS, "B"),
    ("Final answer:\n\n7 m/s", SPEEDS, "B"),
    (r"\boxed{8 \text{ m/s}}", SPEEDS, None),
    (r"\boxed{B. 7 m/s}", SPEEDS, "B"),
    (r"\boxed{B. 9 m/s}", SPEEDS, "B"),
    ("B. 9 m/s", SPEEDS, "B"),
    ("B) 7 m/s", SPEEDS, "B"),
    ("Both.\n\nB) 7 m/s", SPEEDS, "B"),
    ("A. 5 m/s\nB. 7 m/s\nC. 9 m/s\nD. 11 m/s", SPEEDS, None),
    ("A. 5 m/s\nB. 7 m/s\nC. 9 m/s\nD. 11 m/s\n\nWe compute.\n\nB. 7 m/s", SPEEDS, "B"),
    ("(A) We first need the molar mass. (B) Then we divide.", SPEEDS, None),
    ("(A) We first need the molar mass.", SPEEDS, None),
    ("B. 7 m/s\n\nExplanation: it is.", SPEEDS, "B"),
    (r"\boxed{12}", ALIKE, None),
    ("12", ALIKE, None),
    ("The answer is 12.", ALIKE, None),
    (r"\boxed{A}", ALIKE, "A"),
    (r"\boxed{A. 12}", ALIKE, "A"),
    (r"\boxed{15}", ALIKE, "C"),
    (r"\boxed{\text{Both A and B}}", HEAT, "D"),
    ("Both A and B", HEAT, "D"),
    ("The answer is Both A and B.", HEAT, "D"),
    ("The answer is both A and B.", HEAT, "D"),
    (r"\boxed{\text{convection only}}", HEAT, "B"),
    ("Convection only", HEAT, "B"),
    ("The answer is convection only", HEAT, "B"),
    (r"\boxed{\text{I only}}", NUMERALS, "A"),
    (r"\boxed{\text{I and II}}", NUMERALS, "C"),
    ("The answer is I and II.", NUMERALS, "C"),
    ("The answer is I, II and III.", NUMERALS, "D"),
    ("I only", NUMERALS, "A"),
    ("The correct answer is I only.", NUMERALS, "A"),
    (r"\boxed{I, II, \text{ and } III}", NUMERALS, None),
    (r"\boxed{C\ \text{major}}", ["C major", "D major", "E major"], "A"),
    ("The answer is C major.", ["C major", "D major", "E major"], "A"),
    (r"\boxed{\frac{1}{2}}", [r"\frac{1}{3}", r"$\dfrac{1}{2}$", "2"], "B"),
    (r"\boxed{1,000}", ["100", "1000", "10000"], "B"),
    (r"\boxed{25\%}", ["25%", "30%"], "A"),
    (r"\boxed{\$5}", ["$5", "$6"], "A"),
    (r"\boxed{pq}", ["PQ", "pq"], "B"),
    (r"The correct option is \boxed{D}. Check: \boxed{7 \text{ m/s}}", SPEEDS, "D"),
    (r"The answer is (C): \boxed{7\text{ m/s}}", SPEEDS, "C"),
    ("**B** velocity", ["x", "velocity", "y"], "B"),
    ("So we get\n\nB velocity", ["x", "velocity", "y"], "B"),
    ("So.\n\nTrue, True", ["True, True", "False, False"], "A"),
    ("So the answer is:\n\nTrue, True", ["True, True", "False, False"], "A"),
    ("D. 11 m/s", SPEEDS, "D"),
    ("D: 11 m/s", SPEEDS, "D"),
    ("D - 11 m/s", SPEEDS, "D"),
    ("(D) 11 m/s", SPEEDS, "D"),
    ("D 11 m/s", SPEEDS, "D"),
    ("**D. 11 m/s**", SPEEDS, "D"),
    ("**D.** 11 m/s", SPEEDS, "D"),
    ("So:\n\n**D.** 11 m/s", SPEEDS, "D"),
    ("So:\n\n* D. 11 m/s", SPEEDS, "D"),
    ("So:\n\n- **D. 11 m/s**", SPEEDS, "D"),
    ("The answer is 11 m/s.", SPEEDS, "D"),
    ("Thus v = 11 m/s.\n\n11 m/s", SPEEDS, "D"),
    ("**11 m/s**", SPEEDS, "D"),
    ("Therefore, the answer is **11 m/s**.", SPEEDS, "D"),
    ("The correct option is 11 m/s", SPEEDS, "D"),
    (r"\boxed{v = 11\text{ m/s}}", SPEEDS, "D"),
    (r"\boxed{11 \frac{m}{s}}", SPEEDS, None),
    (r"\boxed{11~\text{m/s}}", SPEEDS, "D"),
    (r"\boxed{11 \; \mathrm{m\,/\,s}}", SPEEDS, "D"),
    (r"\boxed{\text{11 m/s}}", SPEEDS, "D"),
    (r"\boxed{11\ m/s}", SPEEDS, "D"),
    (r"\boxed{\text{False, False}}", TRUTH, "B"),
    ("False, False", TRUTH, "B"),
    ("The answer is False, False.", TRUTH, "B"),
    ("Statement 1 is false. Statement 2 is false.\n\nB. False, False", TRUTH, "B"),
    ("B. False, False\n\nStatement 1 is false.", TRUTH, "B"),
    ("The reaction rate doubles.", RATES, "A"),
    (r"\boxed{\text{The reaction rate doubles}}", RATES, "A"),
    ("The answer is the reaction rate doubles.", RATES, "A"),
    ("Therefore:\n\nThe reaction rate halves", RATES, "B"),
    ("**The reaction rate halves.**", RATES, "B"),
    ("Answer: No reaction occurs", RATES, "D"),
    ("A reaction occurs.", RATES, None),
    ("A catalyst is used, so the rate doubles.", RATES, None),
]


@pytest.mark.parametrize(("text", "options", "expected"), WRITTEN_OUT)
def test_an_option_that_is_written_out(text: str, options: list[str], expected: str | None) -> None:
    assert letter(text, options) == expected


# The letter is what the prompt asks for. So it counts, also where the text beside it is another option's.
@pytest.mark.parametrize("text", [r"\boxed{B. 9 m/s}", "B. 9 m/s", "The answer is (B) 9 m/s.", "So:\n\n**B) 9 m/s**"])
def test_a_letter_counts_before_the_text_beside_it(text: str) -> None:
    assert letter(text, SPEEDS) == "B"


def test_options_that_are_alike_are_told_apart_by_their_letter_only() -> None:
    options = Options(ALIKE)
    assert options.written("12") == SEVERAL
    assert options.written("15.") == "C"
    assert options.written("16") is None
    assert letter("The answer is 12, so (B).", ALIKE) == "B"


def test_the_unit_of_an_option_may_be_left_out() -> None:
    assert Options(["32 degrees", "40 degrees"]).written("32") == "A"
    assert Options(["5 m/s", "5 km/s"]).written("5") == SEVERAL
    assert Options(["2x + 5", "3x"]).written("2") is None


def test_case_decides_only_between_options_that_differ_in_nothing_else() -> None:
    assert Options(["PQ", "pq"]).written("pq") == "B"
    assert Options(["Iron", "Gold"]).written("gold") == "B"
