"""Where a response begins another question or another turn of the dialogue."""

from __future__ import annotations

import time

import pytest

from sftgen_judges.records.turns import first_turn, turn_forms

BOX = "Please reason step by step, and box the letter."
MMLU = f"Question:\nWhat is the capital of France?\nOptions:\nA. Rome\nB. Paris\n{BOX}"
GPQA = f"Problem: Which particle is the lightest?\nOptions: A) muon, B) electron\n{BOX}"
MATH = f"Find $x$ with $x + 1 = 3$.\n {BOX}"

# Prompt -> response -> what of it answers the prompt.
WROTE_ON = {
    "another question": (MMLU, "The answer is (B).\n\nQuestion:\nNext one?\nThe answer is (A).", "The answer is (B)."),
    "the same question once more": (MMLU, "The answer is (B).\n\n" + MMLU + "\n(A)", "The answer is (B)."),
    "another problem": (GPQA, r"\boxed{B}" + "\n\nProblem: Which is the heaviest?\n\\boxed{A}", r"\boxed{B}"),
    "in bold": (GPQA, "B\n\n**Problem:** Which is the heaviest?\nA", "B"),
    "with a number": (MATH, "\\boxed{2}\n\nProblem 2: Find $y$.\n\\boxed{7}", r"\boxed{2}"),
    "as a heading": (MATH, "\\boxed{2}\n\n### Problem\nFind $y$.\n\\boxed{7}", r"\boxed{2}"),
    "the prompt's instruction": (
        MATH,
        f"So $x = 2$: \\boxed{{2}}\n\nFind $y$ with $y = 7$.\n {BOX}\n\n\\boxed{{7}}",
        "So $x = 2$: \\boxed{2}",
    ),
    "a question of a dialogue": ("Q: Why?", "Because.\n\nQ: And how?\nA: So.", "Because."),
    "in one line": ("Q: Why?", "Because.\nQ: And how? A: So.", "Because."),
    "the user's turn": (MATH, "\\boxed{2}\nUser: And now?\nAssistant: \\boxed{3}", r"\boxed{2}"),
    "a human's turn": (MATH, "\\boxed{2}\n\nHuman: And now?", r"\boxed{2}"),
    "an instruction": (
        MATH,
        "\\boxed{2}\n\n### Instruction:\nWrite a poem.\n\n### Response:\n\\boxed{3}",
        r"\boxed{2}",
    ),
    "a turn of ChatML": (MATH, "\\boxed{2}<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>", r"\boxed{2}"),
    "a turn of Llama": (MATH, "2<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd?", "2"),
    "a turn of Gemma": (MATH, "2<end_of_turn>\n<start_of_turn>user\nAnd?", "2"),
    "a turn of Mistral": (MATH, "2</s> [INST] And? [/INST] 3", "2"),
    "another document": (MATH, "\\boxed{2}<|endoftext|>Human: And now?", r"\boxed{2}"),
    "a question in Chinese": (MATH, "\\boxed{2}\n\n\u95ee\u9898\uff1a\u4e0b\u4e00\u4e2a\n\\boxed{3}", r"\boxed{2}"),
    "headers of the prompt's own": ("Aufgabe:\nWie viel ist 1 + 1?\nAntwort:", "2\n\nAufgabe:\nWie viel?\n3", "2"),
}


@pytest.mark.parametrize(("prompt", "text", "first"), WROTE_ON.values(), ids=WROTE_ON)
def test_a_response_ends_where_it_begins_another_turn(prompt: str, text: str, first: str) -> None:
    assert first_turn(text, turn_forms(prompt), question=prompt) == first


ONE_TURN = {
    "nothing but an answer": (MMLU, "The answer is (B)."),
    "an end token": (MMLU, "The answer is (B).<|im_end|>"),
    "the question restated at the beginning": (MMLU, "Question: What is the capital of France?\nThe answer is (B)."),
    "the question restated after a thought": (
        GPQA,
        "Let me see.\nProblem: Which particle is the lightest?\n\\boxed{B}",
    ),
    "the question in bold": (MMLU, "Sure.\n**Question:** What is the capital of France?\n\nParis, so \\boxed{B}"),
    "parts of one answer": (MATH, "Question 1: \\boxed{2}\n\nQuestion 2: \\boxed{3}"),
    "a word in a sentence": (MATH, "The Question: is it 2? Yes.\nThat is a problem: 2 it is."),
    "a dialogue in code": (MATH, "```\nUser: hello\n```\n2"),
    "a string": (MATH, 'print("User: hello")\n2'),
    "a token in quotes": (MATH, "The token '<|im_start|>user' begins a turn."),
    "a list": (MATH, "1. First\n2. Second\nQED"),
    "a q of another word": (MATH, "q: the charge\nIQ: 100"),
}


@pytest.mark.parametrize(("prompt", "text"), ONE_TURN.values(), ids=ONE_TURN)
def test_a_response_of_one_turn_stays_whole(prompt: str, text: str) -> None:
    assert first_turn(text, turn_forms(prompt), question=prompt) == text


def test_a_turn_counts_from_a_place_on() -> None:
    text = "Compare.\nQuestion: a sub-question?\nSo (B).\nQuestion: the next?\nC"
    assert first_turn(text, ("Question:",)) == "Compare."
    assert first_turn(text, ("Question:",), after=text.index("So")) == "Compare.\nQuestion: a sub-question?\nSo (B)."


@pytest.mark.parametrize("unit", ["Question:\n", "```\nQ: a\n", "<|im_end|>", "\n\n", "Q", "User: \n", "\\boxed{}."])
def test_two_hundred_thousand_characters_are_searched_for_turns_at_once(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    begun = time.process_time()
    first_turn(text, turn_forms(MMLU), question=MMLU)
    assert time.process_time() - begun < 10
