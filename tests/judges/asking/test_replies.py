"""Readers of replies beyond the fault table: yes or no, log-probabilities, scales, and what nobody else may do."""

from __future__ import annotations

import ast
from math import log

import pytest

from sftgen_judges import Reply
from sftgen_judges.asking.replies import UnreadableReply, probability_of_yes, read_score, read_yes_no
from tests import ROOT

SCORES = {
    "[[4]]": 4,
    "`4`": 4,
    " 4 \n": 4,
    "4 out of 5": 4,
    "4.0": 4,
    "+4": 4,
    "Score = 4": 4,
    "the score: 4": 4,
    "## Score\n\nIt is fine.\n\nSCORE: 4/5": 4,
    "Score:\n4": 4,
    "Score: 4, since it helps.": 4,
    "Score: 4 and Score: 4": None,
    "Score: 4\nScore: 4.": 4,
    "Score: 4 or 5": None,
    "Score: 4-5": None,
    "Score: 4 (5 would be too much)": None,
    "My score: 4": None,
    "scores: 4": None,
    "4 5": None,
    "four": None,
    "5%": None,
    '{"result": {"score": 4}}': 4,
    '{"score": "**4**"}': 4,
    '{"score": "4/5"}': 4,
    '{"score": "4/10"}': None,
    '{"score": [4]}': None,
    '{"score": NaN}': None,
    '{"rating": 4}': None,
    'Such as {"score": 1}. {"score": 4}': None,
    '{"analysis": "x", "score": 4': None,
    '{"analysis": "they said \\"score: 5\\"", "score": 4}': 4,
    "[4]": 4,
    "\uff14": None,
    "1e1": None,
    "-4": None,
    "<think>4</think>": None,
}


@pytest.mark.parametrize(("text", "score"), SCORES.items())
def test_a_score_in_other_clothes_is_read_and_nothing_else(text: str, score: float | None) -> None:
    if score is None:
        with pytest.raises(UnreadableReply):
            read_score(Reply(text), (1, 5))
    else:
        assert read_score(Reply(text), (1, 5)) == score


def test_other_scales_and_names() -> None:
    assert read_score(Reply('{"rating": 0.25}'), (0, 1), field="rating", whole=False) == 0.25
    assert read_score(Reply("7/10"), (1, 10)) == 7


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        (" yes", True), (" no", False), ("Yes.", True), ("**No**, it is not", False), ("YES\n\nQ: next", True),
        ("<think>no</think>yes", True), ("yesterday", None), ("nothing", None), ("maybe yes", None), ("", None),
        ("I cannot help with that. No.", None), ("1", None), ("Yes or no", None), ("yes/no", None), ("No. Yes.", None),
        ("No idea", None), ("No one knows", None), ("no-one", None), ("_No_", False), ("no no", False),
        ("No!\nYes", False), (" no\nQ: Is it?\nA: Yes.\nTrue: yes", False), ("The answer is yes", True),
        ("the answer is **no**.", False), ("My verdict: Yes!", True), ("Answer: no - it is not", False),
        ("The answer is no longer clear", None), ("The answer is no-one", None), ("The answer is yes or no", None),
        ("No, the answer is yes", None), ("The answer is yes. The answer is no.", None), ("No, it says yes", False),
        ("Well.\nThe answer is yes", None), ("Is the answer yes?", None), ("Yes, the answer is yes.", True),
        ("INCORRECT (yes or no asked)", None), ("Yes, that is so", True), ("<think>\nyes", None),
    ],
)  # fmt: skip
def test_yes_or_no(text: str, yes: bool | None) -> None:
    if yes is None:
        with pytest.raises(UnreadableReply):
            read_yes_no(Reply(text))
    else:
        assert read_yes_no(Reply(text)) is yes


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        ({" yes": 0.6, " no": 0.2}, 0.75),
        ({" yes": 0.3, "Yes": 0.3, "\u0120no": 0.1, "\u2581No": 0.1, " maybe": 0.2}, 0.75),
        ({" yes": 0.5}, 1.0),
        ({" no": 0.5}, 0.0),
        ({" maybe": 0.5}, None),
        ({"\n": 0.99, " yes": 0.0025, "no": 0.0009}, None),
        ({"\n": 0.9, " yes": 0.06, "no": 0.03}, None),
        ({"\n": 0.8, " yes": 0.06, "no": 0.04}, 0.6),
        ({}, None),
    ],
)
def test_yes_against_no_by_log_probabilities(tokens: dict[str, float], share: float | None) -> None:
    reply = Reply(" yes", logprobs={token: log(mass) for token, mass in tokens.items()})
    if share is None:
        with pytest.raises(UnreadableReply, match=r"log-prob|less than 0\.1"):
            probability_of_yes(reply)
    else:
        assert probability_of_yes(reply) == pytest.approx(share)


# Only judges read replies and only their client asks for them.
FORBIDDEN = {
    "openai",
    "sftgen_judges.asking.replies",
    "sftgen_judges.asking.server",
    "sftgen_judges.asking.batch_api",
    "sftgen_judges.asking.local_models",
    "sftgen_judges.asking.ask",
}


@pytest.mark.parametrize("folder", ["sftgen_tasks", "task_configs", "sftgen_train"])
def test_no_benchmark_reads_a_judges_reply(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # import_module("...")
                names = [node.value]
            elif isinstance(node, ast.Attribute) and node.attr == "evidence" and folder != "sftgen_train":
                names = ["openai"]  # the raw reply is in the evidence
            if any(name == bad or name.startswith(f"{bad}.") for name in names for bad in FORBIDDEN):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
