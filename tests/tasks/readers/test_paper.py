r"""How the paper's code reads a response: without its thinking, its last box, its letter."""

from __future__ import annotations

import pytest

from sftgen_tasks.readers.paper import paper_gpqa, paper_mmlu_pro, strip_thinking

STRIPPED = {
    "none": ("  a\n", "a"),
    "closed": ("<think>a</think>b", "b"),
    "two pairs": ("<think>a</think>b<think>c</think>d", "bd"),
    "two pairs with lines between": ("<think>a</think>\n\nb\n<think>c</think>\n\nd", "b\nd"),
    "two pairs, blanks of any kind": ("<think>a</think>b<think>c</think> \t\u00a0d e", "bd e"),
    "two words that grow together": ("Yes<think>c</think> No", "YesNo"),
    "missing opener": ("a\n</think>\n\nb", "b"),
    "the last closer left": ("a</think>b</think>c", "c"),
    "never closed": ("<think>a", "<think>a"),
    "closed, then never": ("<think>a</think>b<think>c", "b<think>c"),
    "piped": ("a<|/think|>b", "b"),
    "its slip: a plain opener with a piped closer": ("x<think>a<|/think|>\nb", "xb"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "expected"), STRIPPED.values(), ids=STRIPPED)
def test_stripping(text: str, expected: str) -> None:
    assert strip_thinking(text) == expected


# A pattern that takes quadratic time would need minutes or hours.
LONG = [
    *(
        head + " " * 100_000
        for head in ("answer", "choose", "select option", "option b", "B", "</think>", "<think></think>")
    ),
    *(
        unit * 50_000
        for unit in ("<think>", "<think></think>", "</think> ", "{", r"\boxed{", "pick option", "B ", "B is ")
    ),
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_what_never_ends_is_read_at_once(text: str) -> None:
    strip_thinking(text)
    paper_gpqa(text)
    paper_mmlu_pro(text)
    assert strip_thinking("<think>" * 100_000) == "<think>" * 100_000


# What an answer looks like, and the letter that GPQA's rule reads. Forms with a box are read wherever they stand.
BOXED = {
    r"\boxed{B}": "B",
    r"\boxed{b}": "B",
    r"\boxed{ B }": "B",
    r"\boxed{B.}": "B",
    r"\boxed{B/}": "B",
    r"\boxed{B/.}": "B",
    r"\boxed{B./}": "",
    r"\boxed{B. }": "",
    r"\boxed{(B)}": "",
    r"\boxed{B) 5 m}": "",
    r"\boxed{\text{B}}": "",
    r"\boxed{\textbf{answer: B}}": "B",
    r"\boxed{The answer is B}": "B",
    r"\boxed{I pick b, not c}": "B",
    r"\boxed{\text{Option B is correct}}": "B",
    r"\boxed{\boxed{B}}": "B",  # the inner one is the last to open
    r"\boxed{}": "",
    r"\boxed{E}": "",
    r"\boxed{K}": "",
    r"\boxed{A} or \boxed{B}": "B",
    "\\boxed{B\n}": "",  # its command is read with it
    "\\boxed{answer: B\n}": "B",
    "\\boxed{\\text{B}\n}": "",
    r"\boxed{\{B\}}": "",
}
# Forms without a box: the number of the pattern that reads them. 0 is for a letter that has to be alone.
PROSE = {
    "The answer is B.": (1, "B"),
    "the answer is b": (1, "B"),
    "Answer: B": (1, "B"),
    "Final answer:B": (1, "B"),
    "So the correct answer is\nB": (1, "B"),
    "The right answer : B": (1, "B"),
    "answerisB": (1, "B"),
    "The answer is between the lines.": (1, "B"),
    "The answer is clear: B": (1, "C"),
    "The answer is a matter of taste.": (1, "A"),
    "My answers is B": (0, ""),
    "The answer is: B": (0, ""),
    "The answer is (B).": (0, ""),
    "The answer is **B**": (0, ""),
    "The answer is not B": (0, ""),
    "I choose B": (2, "B"),
    "I choose option B": (2, "B"),
    "pickB": (2, "B"),
    "select\noption\nB": (2, "B"),
    "choose between them": (2, "B"),
    "I chose B": (0, ""),
    "I choose the option B": (0, ""),
    "Option B is correct": (3, "B"),
    "choice b is right": (3, "B"),
    "OptionB is right": (3, "B"),
    "Option B is  correct": (0, ""),
    "So B is the answer": (4, "B"),
    "B is right": (4, "B"),
    "(b)is correct": (0, ""),
    "xB is right": (0, ""),
    "It is B": (0, ""),
    "**B**": (0, ""),
    r"\fbox{B}": (0, ""),
    r"\boxed {B}": (0, ""),
    r"\boxed B": (0, ""),
    r"\boxed{B": (0, ""),
}
ALONE = {
    "B": "B",
    " b\n": "B",
    "B.": "B",
    "B...": "B",
    "B/": "B",
    "B./": "",
    "B. ": "",
    "B)": "",
    "E": "",
    "BB": "",
    "": "",
}


def test_gpqas_rule_on_every_form_in_every_response() -> None:
    table: dict[str, str] = {}
    for form, letter in ALONE.items():
        table[form] = letter
        table[f"<think>hm</think>{form}"] = table[f"{form}\nSo far."] = ""
    for form, letter in BOXED.items():
        for before in (
            "",
            "<think>hm</think>\n",
            "<think>hm ",
            "hm</think>",
            "<think>The answer is D</think>",
            r"\boxed{D} ",
        ):
            for after in ("", ".", " Or I choose D.", "<think>wait</think>"):
                table[before + form + after] = letter
        # One that opens later and never closes takes all boxes away; then nothing is alone.
        patterns = "answer: B", "answer is B", "pick b", "Option B is correct"
        table[f"{form} and \\boxed{{D"] = "B" if any(one in form for one in patterns) else ""
        table[form + r"\boxed{D}"] = "D"
    for form, (pattern, letter) in PROSE.items():
        for around in ("{}", "<think>hm</think>\n{}", "<think>{}", "{}</think>", "({})", "{}\n\nGood luck"):
            table[around.replace("{}", form)] = letter
        # Of one pattern the first place counts, an earlier pattern counts wherever it is, and a box before all.
        table[f"<think>The answer is D</think>{form}"] = "D"
        table[f"{form}\nThe answer is D"] = letter if pattern == 1 else "D"
        table[f"<think>I choose D</think>{form}"] = letter if pattern == 1 else "D"
        table[f"{form}\nD is correct"] = letter or "D"
        table[f"<think>\\boxed{{D}}</think>{form}"] = "" if form == r"\boxed{B" else "D"
    wrong = {text: (paper_gpqa(text), letter) for text, letter in table.items() if paper_gpqa(text) != letter}
    assert wrong == {}
    assert len(table) > 1000


MMLU_PRO = [
    (r"\boxed{B}", "B"),
    (r"\boxed{b}", "[invalid]"),
    (r"\boxed{ B }", "[invalid]"),
    (r"\boxed{\text{B}}", "B"),
    (r"\boxed{\text{B}", "B"),
    (r"\boxed{(B)}", "[invalid]"),
    (r"\boxed{B) 5}", "[invalid]"),
    (r"\boxed{K}", "K"),
    (r"\boxed{A} then \boxed{B}", "A"),
    (r"<think>the answer is A</think>\boxed{B}", "A"),
    (r"<think>\boxed{A}</think>It is B.", "A"),
    (r"\boxed{\text{the correct answer is B}}", "B"),
    ("The answer is B.", "B"),
    ("The answer is (B).", "B"),
    ("The correct answer is: B.", "[invalid]"),
    ("The answer is b.", "[invalid]"),
    ("The answer is Because.", "B"),
    ("The answer is Incorrect.", "I"),
    ("I choose option C.", "[invalid]"),
    ("C", "[invalid]"),
    ("", "[invalid]"),
]


@pytest.mark.parametrize(("text", "letter"), MMLU_PRO)
def test_mmlu_pros_rule(text: str, letter: str) -> None:
    assert paper_mmlu_pro(text) == letter
