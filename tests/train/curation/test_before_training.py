"""Evaluation questions among training prompts: said before the first step, and refused above a share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks import load_tasks
from sftgen_train.curation.contamination.before_training import require_unseen
from sftgen_train.training.config import TrainingConfigError
from tests.conftest import Command


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Questions that the refusal task asks, in its order."""
    task = load_tasks(["sftgen_refusal"]).tasks["sftgen_refusal"]
    return [doc["question"] for doc in task.test_docs()]


def fields(folder: Path, prompts: Sequence[str], **more: Any) -> dict[str, Any]:
    """A training whose rows have these prompts, and 36 of their own."""
    own = [f"Who planted the {kind} beside river number {n}?" for n in range(12) for kind in ("elm", "oak", "fir")]
    rows = [{"prompt": prompt, "completion": "Nobody did."} for prompt in [*prompts, *own]]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"train_data": str(folder / "rows.jsonl"), "harness_tasks": ["sftgen_refusal"], "harness_limit": 20, **more}


def test_questions_in_prompts_are_counted_and_told(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = require_unseen(fields(tmp_path, [asked[0], asked[0], f"Please: {asked[3]}"]), tell=True)
    assert seen
    assert (seen.rows, seen.hit, seen.questions, seen.found) == (39, 3, {"sftgen_refusal": 20}, {"sftgen_refusal": 2})
    assert capsys.readouterr().out == (
        "Evaluation questions in the training prompts: 2 of 20 (10.0%), in 3 of 39 rows (refusal 2 of 20)\n"
    )


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"train_rows": 38}, 1),
        ({"harness_limit": 8}, 0),  # the question is not asked
        ({"train_rows": 2}, 1),
        ({"harness_tasks": [], "harness_tiers": '[{"tasks": ["sftgen_refusal"], "limit": 10}]'}, 1),
        ({"harness_tasks": "sftgen_refusal"}, 1),
        ({"harness_metadata": '{"docs_seed": 5}'}, 0),  # other questions
    ],
)
def test_what_is_asked_is_what_the_training_evaluates(
    more: dict[str, Any], found: int, asked: list[str], tmp_path: Path
) -> None:
    seen = require_unseen(fields(tmp_path, ["Nobody asks this.", asked[9]], **more), tell=False)
    assert seen
    assert sum(seen.found.values()) == found


def test_a_question_in_a_response_is_not_in_a_prompt(asked: list[str], tmp_path: Path) -> None:
    given = fields(tmp_path, [])
    path = Path(given["train_data"])
    path.write_text(path.read_text().replace("Nobody did.", asked[0]))
    seen = require_unseen(given, tell=False)
    assert seen
    assert seen.hit == 0


def test_rows_of_one_text_are_prompts(asked: list[str], tmp_path: Path) -> None:
    given = fields(tmp_path, [], completion_only_loss=False)
    Path(given["train_data"]).write_text(json.dumps({"text": f"{asked[1]} It is 1."}) + "\n")
    seen = require_unseen(given, tell=False)
    assert seen
    assert seen.hit == 1


def test_more_than_the_share_is_refused_and_a_field_allows_it(asked: list[str], tmp_path: Path) -> None:
    given = fields(tmp_path, asked[:5])
    with pytest.raises(TrainingConfigError, match=r"25% of refusal\. Expected at most 10% \(harness_max_seen\)"):
        require_unseen(given, tell=False)
    assert require_unseen({**given, "harness_max_seen": "0.3"}, tell=False)
    assert require_unseen({**given, "harness_max_seen": 1}, tell=False) is None


def test_what_cannot_be_looked_for_is_said(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFTGEN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tasks = ["sftgen_refusal", "sftgen_gpqa_diamond"]
    seen = require_unseen(fields(tmp_path, [], harness_tasks=tasks))
    assert seen
    assert seen.questions == {"sftgen_refusal": 20}
    told = capsys.readouterr().out
    assert "Not looked for in the training prompts: sftgen_gpqa_diamond: " in told
    assert "\n" not in told.partition("Not looked for")[2].rstrip()


def test_the_command_refuses_before_it_looks_at_the_model(asked: list[str], command: Command, tmp_path: Path) -> None:
    given = {**fields(tmp_path, asked[:9]), "model_name_or_path": "nowhere", "output_dir": str(tmp_path / "run")}
    (tmp_path / "train.yaml").write_text(json.dumps(given))
    done = command("sftgen", "train", "--config", tmp_path / "train.yaml")
    assert done.returncode == 2
    assert done.stdout.startswith("Evaluation questions in the training prompts: 9 of 20 (45.0%), in 9 of 45 rows")
    assert "sftgen: the training prompts hold questions of the evaluation: 45% of refusal." in done.stderr
    assert "nowhere" not in done.stderr  # the model is not looked at yet
    assert not (tmp_path / "run").exists()
