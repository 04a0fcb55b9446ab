"""What a set holds, graded again, and against another set: through the commands."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks.countdown import make_docs
from sftgen_train.curation.reading import BATCH_CHARACTERS, batches
from tests.conftest import Command

ROWS: list[dict[str, Any]] = [
    {"id": "a", "question": "1+1?", "answer": "2", "response": "<think>two</think>\n\\boxed{2}", "subject": "sums"},
    {"id": "b", "question": "2+2?", "answer": "4", "response": "<think>?</think>\n\\boxed{5}", "subject": "sums"},
    {"id": "c", "question": "1/2+1/2?", "answer": "1", "response": "<think>on and on", "subject": "parts"},
    {"id": "d", "question": "Half of 3?", "answer": "3/2", "response": "It is \\boxed{1.5}.", "subject": "parts"},
    {"id": "e", "question": "7*3?", "answer": "21", "response": "I do not know.", "subject": "sums"},
    {"id": "f", "question": "1+1?", "answer": "", "response": "<think>two</think>\n\\boxed{2}", "subject": "sums"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{**row, "message": [{"role": "user", "content": row["question"]}]} for row in ROWS]
    return _written(tmp_path / "set.jsonl", rows)


def _written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_row_is_graded_and_what_is_not_right_is_listed(command: Command, data: Path, tmp_path: Path) -> None:
    ended = command("sftgen", "data", "verify", data, "--out", tmp_path / "failing.jsonl")
    assert ended.returncode == 0, ended.stderr
    assert "6 rows: 2 right, 1 wrong, 1 no answer, 1 unclosed, 1 no gold" in ended.stdout
    failing = {row["row_id"]: row for row in map(json.loads, (tmp_path / "failing.jsonl").read_text().splitlines())}
    assert {name: row["word"] for name, row in failing.items()} == {
        "b": "wrong", "c": "unclosed", "e": "no answer", "f": "no gold",
    }  # fmt: skip
    assert (failing["b"]["gold"], failing["b"]["answer"]) == ("4", "5")


def test_countdown_rows_are_graded_by_countdown(command: Command, tmp_path: Path) -> None:
    row = {"prompt": "Make 10 of 2 and 5.", "completion": "\\boxed{2 * 5}", "numbers": [2, 5], "target": 10}
    wrong = {**row, "completion": "\\boxed{5 + 5}"}
    ended = command("sftgen", "data", "verify", _written(tmp_path / "set.jsonl", [row, wrong]))
    assert "2 rows: 1 right, 1 wrong" in ended.stdout
    assert "not every number exactly once" in ended.stdout


def test_an_unknown_grader_is_named(command: Command, data: Path) -> None:
    ended = command("sftgen", "data", "verify", data, "--grader", "math5000")
    assert ended.returncode == 2
    assert "math5000" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_report_counts_lengths_thinking_and_what_is_there_twice(command: Command, data: Path) -> None:
    found = json.loads(command("sftgen", "data", "report", data, "--json").stdout)
    assert (found["rows"], found["unit"], found["same_prompt"], found["same_row"]) == (6, "characters", 1, 1)
    assert found["thinking"] == {"closed": 3, "unclosed": 1, "none": 2}
    assert (found["boxed"], found["empty"], found["cut"]) == (4, 1, None)
    assert found["lengths"]["prompt"]["total"] == sum(len(row["question"]) for row in ROWS)
    assert found["columns"]["subject"] == {"sums": 4, "parts": 2}
    assert "response" not in found["columns"]


def test_a_tokenizer_counts_what_a_limit_would_cut(command: Command, data: Path, tiny_model: Path) -> None:
    asked = ["sftgen", "data", "report", data, "--tokenizer", tiny_model, "--max-length"]
    whole, cut = (json.loads(command(*asked, limit, "--json").stdout) for limit in ("1000", "12"))
    assert (whole["unit"], whole["cut"]) == ("tokens", 0)
    assert 0 < cut["cut"] <= 6
    ended = command("sftgen", "data", "report", data, "--max-length", "10")
    assert ended.returncode == 2
    assert "name the model with --tokenizer" in ended.stderr


def test_two_sets_are_compared_by_prompt_and_response(command: Command, data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[1]["response"] = "\\boxed{4}"
    rows[4]["message"][0]["content"] = "7 times 3?"
    other = _written(tmp_path / "other.jsonl", rows[::-1])
    found = json.loads(command("sftgen", "data", "diff", data, other, "--json").stdout)
    assert found == {"same": 3, "changed": 1, "only_first": 1, "only_second": 1}


@pytest.mark.parametrize("asked", ["report", "verify"])
def test_rows_of_no_form_are_refused_with_their_number(command: Command, tmp_path: Path, asked: str) -> None:
    data = _written(
        tmp_path / "set.jsonl", [{"prompt": "a", "completion": "b", "answer": "b"}, {"text": "\x1b[31mred"}]
    )
    ended = command("sftgen", "data", asked, data)
    assert ended.returncode == 2
    assert "row 2" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_set_that_can_be_read_only_once_is_looked_at_whole(command: Command, tmp_path: Path) -> None:
    """A pipe: a right answer that cannot be read, and an id that is there twice."""
    rows = [
        {"id": "a", "prompt": "1+1?", "completion": "\\boxed{2}", "answer": "2"},
        {"id": "b", "prompt": "2+1?", "completion": "\\boxed{3}", "answer": "\\frac{"},
        {"id": "a", "prompt": "2+2?", "completion": "\\boxed{5}", "answer": "4"},
    ]
    pipe = tmp_path / "set.jsonl"
    os.mkfifo(pipe)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    writer = threading.Thread(target=pipe.write_text, args=(text,), daemon=True)
    writer.start()
    told = command("sftgen", "data", "check", pipe, "--tasks", "sftgen_parity", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    names = ("rows", "right", "wrong", "unusable_gold", "same_id", "same_prompt", "in_evaluation")
    assert [found[name] for name in names] == [3, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"prompt": 5, "completion": "x"}', "row 2: columns prompt, completion; expected prompt and completion"),
        (b'{"prompt": "\xff", "completion": "x"}', "row 2: not UTF-8 at byte 13 of the row (0xff)"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(command: Command, tmp_path: Path, line: bytes, says: str) -> None:
    (tmp_path / "set.jsonl").write_bytes(b'{"prompt": "a", "completion": "b"}\n' + line + b"\n")
    told = command("sftgen", "data", "check", tmp_path / "set.jsonl", "--tasks", "sftgen_parity")
    assert (told.returncode, told.stdout) == (2, "")
    assert says in told.stderr


def test_long_rows_are_handled_a_few_at_a_time() -> None:
    rows = [{"prompt": "q", "completion": "x" * (BATCH_CHARACTERS // 3)} for _ in range(7)]
    assert [len(batch) for batch in batches("set", rows)] == [3, 3, 1]
    assert [number for batch in batches("set", rows) for number, _, _ in batch] == list(range(7))


def test_a_first_look_says_what_is_right_empty_without_an_end_there_twice_and_in_the_evaluation(
    command: Command, tmp_path: Path
) -> None:
    asked, other = make_docs(size=1), make_docs(seed=7, size=2)
    responses = ["<think>x</think>\\boxed{1}", "<think>x", "so", "so"]
    rows = [{**doc, "prompt": doc["question"]} for doc in (*asked, *other, other[1])]
    rows = [{**row, "completion": response} for row, response in zip(rows, responses, strict=True)]
    rows[2] |= {"finish_reason": "length"}
    data = _written(tmp_path / "set.jsonl", rows)
    arguments = ("sftgen", "data", "check", data, "--grader", "countdown", "--tasks", "sftgen_countdown")
    told = command(*arguments, "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert {name: found[name] for name in ("rows", "right", "wrong", "no_answer", "unclosed", "empty", "unended")} == {
        "rows": 4, "right": 0, "wrong": 1, "no_answer": 2, "unclosed": 1, "empty": 1, "unended": 2,
    }  # fmt: skip
    assert (found["same_prompt"], found["same_row"], found["in_evaluation"]) == (1, 1, 1)
    assert found["evaluation"] == {"sftgen_countdown": 1}
    shown = command(*arguments)
    assert shown.returncode == 0, shown.stderr
    for line in (
        "0    0.0%   right by the grader",
        "2   50.0%   the response does not end",
        "questions of: countdown 1",
    ):
        assert line in shown.stdout
    wrong = command(*arguments[:-3], "countdow")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'countdown'?" in wrong.stderr
