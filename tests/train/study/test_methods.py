"""Arms on the model's own responses: towards a teacher that is another arm, and for a grader's score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftgen_train.study.planning import plan_study
from sftgen_train.study.reading import read_study, shipped_studies
from sftgen_train.study.work import SanityError, measure_base
from sftgen_train.training.on_policy import reward_of
from tests.conftest import Command
from tests.train.study.test_study import study_file

ARMS: dict[str, Any] = {
    "towards": {
        "method": "distillation", "teacher": {"arm": "given"}, "train": {"max_completion_length": 3},
        "data": {"made": "countdown-puzzles", "with": {"rows": 4}},
    },
    "given": {"data": {"made": "countdown-traces", "with": {"rows": 4}}},
    "scored": {
        "method": "grpo", "reward": "countdown", "data": {"made": "countdown-puzzles", "with": {"rows": 4}},
        "train": {"max_completion_length": 3, "num_generations": 2},
    },
}  # fmt: skip
MISTAKES: dict[str, Any] = {
    "a": {"method": "distillation", "data": "rows.jsonl"},
    "b": {"method": "grpo", "data": "rows.jsonl", "reward": "countdwn"},
    "c": {"method": "grpo", "data": "rows.jsonl", "reward": "countdown", "teacher": {"arm": "d"}},
    "d": {"method": "distillation", "data": "rows.jsonl", "teacher": {"arm": "e"}},
    "e": {"method": "distillation", "data": "rows.jsonl", "teacher": {"arm": "d"}, "train": {"num_generations": 2}},
    "f": {"method": "distillation", "data": "rows.jsonl", "teacher": {"arm": "gven"}, "train": {"method": "sft"}},
    "given": {"method": "dpo", "data": "rows.jsonl"},
    "g": {"method": "grpo", "preset": "qwen3-4b/math-cot-20k", "reward": "countdown"},
}


def test_a_teacher_is_trained_before_what_learns_from_it(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    plain = {"arms": ARMS, "seeds": [0], "comparisons": [{"arm": "towards", "against": "given"}], "claims": []}
    file = study_file(tmp_path, tiny_model, **plain)
    out = tmp_path / "out"
    done = command("sftgen", "study", file, "--out", out, "--parallel", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    begun = [line.partition(",")[0] for line in done.stdout.splitlines() if ", seed 0: begins" in line]
    assert begun == ["given", "towards", "scored"]
    [towards, given, scored] = [next(out.glob(f"runs/{name}-s0-*")) for name in ARMS]
    asked = {run: yaml.safe_load((run / "train.yaml").read_text()) for run in (towards, given, scored)}
    assert asked[towards]["teacher_model_name_or_path"] == str(given)
    assert asked[scored]["reward"] == "countdown"
    assert asked[given]["harness_gen_kwargs"] == {"max_gen_toks": 2}  # a mapping, as a person would write it
    trained = json.loads((scored / "training.json").read_text())
    assert trained["ended"] == 1
    assert {row["kind"] for row in map(json.loads, (scored / "training_tokens.jsonl").open())} == {"sampled"}

    changed = {**ARMS, "given": {**ARMS["given"], "train": {"learning_rate": 0.5}}}
    study_file(tmp_path, tiny_model, **{**plain, "arms": changed})
    planned = command("sftgen", "study", "plan", file, "--out", out, cwd=tmp_path).stdout
    assert "arm given, seed 0 is stale: training.learning_rate changed" in planned
    assert "arm towards, seed 0 is stale: teacher.training.learning_rate changed" in planned
    assert "arm scored" not in planned
    assert "Training includes the responses that towards, scored make while they train." in planned


def test_mistakes_in_methods_are_told_at_once(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    train = {"max_steps": 1, "max_length": 100}
    file = study_file(tmp_path, tiny_model, arms=MISTAKES, comparisons=[], claims=[], train=train)
    done = command("sftgen", "study", "plan", file)
    assert done.returncode == 2
    told = [line.partition(": ")[2] for line in done.stderr.splitlines() if ".yaml:" in line]
    for place, says in (
        ("arms.a", "`method: distillation` expects `teacher` beside it"),
        ("arms.b.reward", "did you mean 'countdown'"),
        ("arms.c", "`teacher` is of `method: distillation`; the method is 'grpo'"),
        ("arms.d.teacher", "d < e < d: no arm of these can be trained first"),
        ("arms.e.train.num_generations", "is unknown"),
        ("arms.f.teacher.arm", "did you mean 'given'"),
        ("arms.f.train.method", "the study sets it; write `arms`"),
        ("arms.given.method", "'dpo'"),
        ("arms.g", "`preset` is a published SFT"),
        ("train.max_length", "is unknown; did you mean"),
    ):
        assert any(line.startswith(place) and says in line for line in told), (place, done.stderr)
    assert sum(line.startswith("train.max_length") for line in told) == 2  # of two methods, not of each arm


def training(tmp_path: Path, model: Path, rows: list[dict[str, Any]], **fields: Any) -> Path:
    """A training file of a method."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "model_name_or_path": str(model), "train_data": str(tmp_path / "rows.jsonl"), "max_steps": 1,
        "output_dir": str(tmp_path / "out"), "report_to": "none", **fields,
    }  # fmt: skip
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


PUZZLE = {"prompt": [{"role": "user", "content": "Reach 3."}], "numbers": [1, 2], "target": 3}


def test_a_training_of_a_method_is_refused_with_one_message(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    read = json.loads((other / "tokenizer.json").read_text())
    read["added_tokens"][-1]["content"] = "<|other|>"
    (other / "tokenizer.json").write_text(json.dumps(read))
    bare = {"prompt": "Reach 3."}
    distilled = {"method": "distillation"}
    for rows, fields, says in (
        ([PUZZLE], {"method": "grpo"}, "reward is missing"),
        ([PUZZLE], {"reward": "countdown"}, "reward 'countdown': of method grpo only"),
        ([PUZZLE], {"method": "grpo", "reward": "countdown", "paper_training": True}, "of method sft only"),
        ([PUZZLE], distilled, "teacher_model_name_or_path is missing"),
        ([PUZZLE], {**distilled, "teacher_model_name_or_path": "./gone"}, "./gone"),
        ([PUZZLE], {**distilled, "teacher_model_name_or_path": str(other)}, "tokens have another id there"),
        ([bare], {"method": "grpo", "reward": "countdown"}, "row 1: the reward 'countdown' cannot grade"),
        ([PUZZLE, bare], {**distilled, "teacher_model_name_or_path": str(tiny_model)}, "row 2: some prompts are text"),
    ):
        path = training(tmp_path, tiny_model, rows, **fields)
        done = command("sftgen", "train", "--config", path)
        assert done.returncode == 2, (fields, done.stdout, done.stderr)
        assert says in " ".join(done.stderr.split()), (fields, done.stderr)
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "out").glob("*.safetensors"))


def test_the_reward_is_the_graders_score() -> None:
    doc = [json.dumps({"numbers": [1, 2], "target": 3})] * 3
    said = ["\\boxed{1+2}", "\\boxed{1+1}", "1+2"]
    assert reward_of("countdown", None)(said, doc) == [1, 0, 0]
    turns = [[{"role": "assistant", "content": text}] for text in (f"{said[1]}</think>{said[0]}", said[0])]
    assert reward_of("countdown", "think")(turns, doc[:2]) == [1, 0]  # the second never ends its thinking
    assert reward_of("countdown", None)(said[:1], [json.dumps({"prompt": "no numbers"})]) == [None]


def test_a_plan_has_what_generating_and_a_teacher_cost(tmp_path: Path) -> None:
    path = shipped_studies()["on-policy"]
    planned = plan_study(read_study(path), path, tmp_path, device="h100")
    hours = {run.arm: run.training_hours or 0 for run in planned.runs}
    assert all(hours.values())
    assert hours["towards-teacher"] > hours["towards-sft"] > 0  # of 32 and of 4 billion parameters
    assert planned.own_responses == ("towards-teacher", "towards-sft", "for-score")


class _Unanswered:
    task, documents, values = "sftgen_parity", 2, {"score": [0.0, 1.0]}


def test_a_task_that_does_not_tell_what_was_answered_has_a_gate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sftgen_train.evaluation.evaluator.evaluate_checkpoint", lambda *_, **__: [_Unanswered])
    how = {"metadata": {}, "gen_kwargs": {}, "batch_size": 1, "model": "sftgen-hf", "model_args": {}}
    bounds = {"sftgen_parity": {"at_least": 0.4, "at_most": 0.6, "answered": 0.0}}
    measure_base("model", str(tmp_path), bounds, None, how)
    assert "score 0.50" in json.loads((tmp_path / "checked.json").read_text())["said"][0]
    bounds["sftgen_parity"]["answered"] = 0.5
    with pytest.raises(SanityError, match="is not measured: take `answered` out of its bounds"):
        measure_base("model", str(tmp_path), bounds, None, how)
