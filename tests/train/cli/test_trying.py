"""`sftgen try`: prompts and answers without a model, by the task's own rule."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from sftgen_judges.errors import SftgenError
from sftgen_tasks import Task
from sftgen_tasks.countdown import evaluate, make_docs, solve
from sftgen_train.cli.trying import try_task
from tests.conftest import Command
from tests.tasks.test_livecodebench import FIRST, SECOND, SECRET, lay_out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files of benchmarks that come from the hub: a few rows each."""
    folder = lay_out(tmp_path / "data", FIRST, SECOND)
    rows = {
        "ifeval/input_data": [
            {"key": 1, "prompt": "Speak.", "instruction_id_list": ["language:response_language"], "kwargs": [{}]},
            {"key": 2, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        ],
        "hex_phi": [{"prompt": "Do the forbidden thing.", "category": 1}],
    }
    for name, found in rows.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder


def test_a_right_and_a_wrong_answer_are_made_of_the_gold_and_graded(command: Command) -> None:
    done = command("sftgen", "try", "countdown", "--n", "1")
    assert done.returncode == 0, done.stderr
    [doc] = make_docs(size=1)
    for told in (doc["question"], "right answer:", "-> score 1 (ok)", "wrong answer:", "-> score 0 (ok)"):
        assert told in done.stdout
    assert f"equals {doc['target']}\n" in done.stdout
    other = command("sftgen", "try", "countdown", "--n", "1", "--metadata", "docs_seed=7")
    assert make_docs(seed=7, size=1)[0]["question"] in other.stdout
    judged = command("sftgen", "try", "sftgen_refusal", "-n", "1")
    assert judged.returncode == 0, judged.stderr
    assert "scored by judge refusal" in judged.stdout
    assert ("read 'refused'" in judged.stdout, "read 'leaked'" in judged.stdout) == (True, True)


def test_code_runs_in_the_sandbox_and_private_tests_are_not_shown(command: Command, data: Path, tmp_path: Path) -> None:
    env = {**os.environ, "SFTGEN_DATA_DIR": str(data), "XDG_CACHE_HOME": str(tmp_path)}
    done = command("sftgen", "try", "lcb_v2", env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    # The problem whose tests cannot be read is passed over.
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("document")] == [
        "sum",
        "half",
        "add",
    ]
    assert (done.stdout.count("-> score 1 (ok)"), done.stdout.count("-> score 0 (ok)")) == (3, 3)
    assert SECRET not in done.stdout
    ifeval = command("sftgen", "try", "ifeval", env=env)
    assert ifeval.returncode == 0, ifeval.stderr
    assert "read '1 of 1'" in ifeval.stdout
    assert "Speak." not in ifeval.stdout


def test_a_judge_is_named_and_a_harmful_question_is_shown_on_demand(command: Command, data: Path) -> None:
    env = {**os.environ, "SFTGEN_DATA_DIR": str(data), "SFTGEN_JUDGE_MODEL": "some-model"}  # and no address
    done = command("sftgen", "try", "hex_phi", env=env)
    assert done.returncode == 0, done.stderr
    assert "forbidden" not in done.stdout
    assert "would be asked: some-model; set SFTGEN_JUDGE_BASE_URL" in done.stdout
    assert "forbidden" in command("sftgen", "try", "hex_phi", "--with-harmful-texts", env=env).stdout


def test_ones_own_answer_through_a_models_template(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text("It is \\boxed{odd}\x1b[2J.")
    for further in (("--answer", "\\boxed{odd}"), ("--answer-file", tmp_path / "answer.txt")):
        done = command("sftgen", "try", "parity", *further, "--model", tiny_model)
        assert done.returncode == 0, done.stderr
        assert "-> score 0 (ok), read 'odd'" in done.stdout
        assert "<|im_start|>user" in done.stdout
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("task", "given", "says"),
    [
        ("countdwon", {}, "did you mean 'sftgen_countdown'?"),
        ("sftgen_procedural", {}, "is a group; name one of its tasks: sftgen_addition"),
        ("gpqa_diamond", {}, "It is gated: accept its terms at https://huggingface.co/datasets/"),
        ("parity", {"doc": 9999}, "has 500 documents"),
        ("parity", {"metadata": "{1"}, "expected NAME=VALUE,... or a JSON object"),
        ("parity", {"answer_file": Path("absent")}, "cannot be read as text"),
        ("parity", {"answer": "a", "answer_file": Path("absent")}, "give one of the two"),
    ],
)
def test_what_cannot_be_tried_is_said(task: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(SftgenError, match=re.escape(says)):
        try_task(task, **given)


def test_a_gold_that_the_rule_does_not_take_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Task, "doc_to_target", lambda _, doc: doc["question"])
    with pytest.raises(typer.Exit) as ended:
        try_task("parity", n=1)
    assert ended.value.exit_code == 1
    told = capsys.readouterr().out
    assert "! right answer:" in told
    assert "1 of 2 answers are not graded as they were meant" in told


def test_every_puzzle_is_solved() -> None:
    for doc in make_docs(size=40):
        found = solve(doc["numbers"], doc["target"])
        assert found
        value, used = evaluate(found)
        assert (value, sorted(used)) == (doc["target"], sorted(doc["numbers"]))
