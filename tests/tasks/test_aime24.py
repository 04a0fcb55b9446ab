"""AIME24: the same number whatever its zeros, both rules, documents from local files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftgen_judges import Item, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks import math500
from sftgen_tasks.aime24 import GRADER, SOURCE, grade, prompt
from sftgen_tasks.data.tables import read_table

# The gold answer is 033.
CASES = {
    "leading zero": (r"<think>a</think>\boxed{033}", ("ok", 1.0, 1.0)),
    "no leading zero": (r"<think>a</think>\boxed{33}", ("ok", 1.0, 1.0)),
    "two zeros": (r"\boxed{0033}", ("ok", 1.0, 1.0)),
    "in bold": (r"\boxed{\textbf{(033)}}", ("ok", 1.0, 0.0)),
    "as an equation": (r"\boxed{m+n = 25+8 = 33}", ("ok", 1.0, 1.0)),
    "another number": (r"\boxed{330}", ("ok", 0.0, 0.0)),
    "octal": (r"\boxed{27}", ("ok", 0.0, 0.0)),
    "right in thinking, wrong at the end": (r"<think>\boxed{33}</think>\boxed{34}", ("ok", 0.0, 0.0)),
    "thinking that never closes": (r"<think>so it is \boxed{33}, but wait", ("truncated", 0.0, 1.0)),
    "no box": ("The answer is $33$.", ("no_answer", 0.0, 1.0)),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_both_rules(text: str, expected: tuple[str, float, float]) -> None:
    verdict = grade({"answer": "033"}, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == expected


def test_the_prompt_is_that_of_math500() -> None:
    assert prompt is math500.prompt


def test_real_documents(data_dir: Path) -> None:
    docs = SOURCE.documents(data_dir=str(data_dir))["test"]
    assert len(docs) == 30
    verdicts = grade_batch(
        GRADER,
        [Item(doc, split_thinking(rf"So $\boxed{{{int(doc['answer'])}}}$.")) for doc in docs],
    )
    assert {(verdict.status, verdict.score, verdict.paper) for verdict in verdicts} == {("ok", 1.0, 1.0)}
    other = {int(row["answer"]) for row in read_table(data_dir / "math" / "aime24_qwq.jsonl")}
    assert {int(answer) for answer in docs["answer"]} == other


def test_documents_may_lie_under_the_tasks_own_name(tmp_path: Path) -> None:
    row = {"id": 84, "problem": "?", "answer": "033"}
    (tmp_path / "aime24.jsonl").write_text(json.dumps(row) + "\n")
    assert SOURCE.documents(data_dir=str(tmp_path))["test"][0]["answer"] == "033"
