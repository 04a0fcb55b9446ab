"""A training that is started again: ended, killed before its end, or killed before its first checkpoint."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainingArguments
from trl import SFTTrainer

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.entries import Queue
from sftgen_train.results.training_file import TRAINING, read_training
from sftgen_train.training import continuing
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.continuing import last_checkpoint
from sftgen_train.training.ending import _Tied, command_of, ended_step
from sftgen_train.training.running import train
from sftgen_train.training.settings import changes
from tests.conftest import Command
from tests.train.training.test_last_step import BEST, QUICK, plain
from tests.train.training.test_training import configure

FIELDS: dict[str, Any] = {
    "max_steps": 8, "save_strategy": "steps", "save_steps": 4, "resume_from_checkpoint": "last",
    "lr_scheduler_type": "constant", "harness_tasks": ["sftgen_parity"], "harness_at_steps": [4], "harness_limit": 2,
    "harness_gen_kwargs": {"max_gen_toks": 4},
}  # fmt: skip
ROWS = [{"prompt": f"{n}?", "completion": str(n)} for n in range(11)]  # 8 steps are no whole number of epochs


class KilledError(BaseException):
    """As if the process had ended here: nothing catches it."""


def arguments(model: Path, folder: Path, **fields: Any) -> list[str]:
    folder.mkdir(exist_ok=True)
    return configure(model, folder, ROWS, **{**FIELDS, **fields})


def killed(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, when: Any, line: list[str]) -> None:
    """Run a training that ends where `when` says so of a call."""
    real = getattr(target, name)

    def dies(*given: Any, **named: Any) -> Any:
        if when(*given, **named):
            raise KilledError
        return real(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(target, name, dies)
        with pytest.raises(KilledError):
            train(line)


def final(*given: Any, **named: Any) -> bool:
    """The model after training, not one of a checkpoint."""
    return not named.get("_internal_call")


def at_step(step: int) -> Any:
    return lambda self, args, state, *_, **__: state.global_step == step


def steps(folder: Path) -> list[tuple[int, str, str]]:
    """Every metric row that stands in the file: none twice."""
    rows = read_rows(RunFolder(folder / "run").metrics)
    return sorted((row["step"], row["metric"], str(row.get("mean"))) for row in rows)


def model_of(folder: Path) -> bytes:
    return (folder / "run" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(arguments(tiny_model, folder, harness_form="in_process"))
    assert {step for step, _, _ in steps(folder)} == {0, 4, 8}
    return folder


@pytest.fixture(scope="module")
def queued(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queued")
    train(arguments(tiny_model, folder))
    assert {step for step, _, _ in steps(folder)} == {0, 4, 8}
    return folder


@pytest.fixture
def whole(request: pytest.FixtureRequest, form: str) -> Path:
    found: Path = request.getfixturevalue("undisturbed" if form == "in_process" else "queued")
    return found


@pytest.mark.parametrize("form", ["in_process", "queue"])
def test_a_training_that_has_ended_does_nothing(
    whole: Path, form: str, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--config", str(whole / "train.yaml")]
    before, known = model_of(whole), steps(whole)
    for _ in range(2):
        train(line)
        assert "This training has ended at step 8" in capsys.readouterr().out
        assert model_of(whole) == before
        assert steps(whole) == known
    train([*line, "--resume_from_checkpoint", str(whole / "run" / "checkpoint-8")])  # named: the checkpoint is read
    assert model_of(whole) == before
    assert steps(whole) == known
    assert not (whole / "run" / "checkpoint-9").exists()


@pytest.mark.parametrize("form", ["in_process", "queue"])
def test_killed_before_the_final_model(
    whole: Path, form: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_model, tmp_path, harness_form=form)
    killed(monkeypatch, SFTTrainer, "save_model", final, line)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(line)
    assert model_of(tmp_path) == model_of(whole)
    assert steps(tmp_path) == steps(whole)


def test_killed_before_the_last_evaluation(
    undisturbed: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_model, tmp_path, harness_form="in_process")
    killed(monkeypatch, HarnessCallback, "on_log", lambda *_, logs, **__: "train_runtime" in logs, line)
    assert {step for step, _, _ in steps(tmp_path)} == {0, 4}
    train(line)
    assert model_of(tmp_path) == model_of(undisturbed)
    assert steps(tmp_path) == steps(undisturbed)


AFRESH: dict[str, dict[str, Any]] = {
    "it asks to go on": {"harness_form": "in_process"},
    "it does not ask": {"harness_form": "queue", "resume_from_checkpoint": None},
    "it saves nothing": {"harness_form": "in_process", "resume_from_checkpoint": None, "save_strategy": "no"},
}


@pytest.mark.parametrize("fields", AFRESH.values(), ids=AFRESH)
def test_killed_before_its_first_checkpoint_it_begins_again(
    fields: dict[str, Any], undisturbed: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_model, tmp_path, **fields, harness_at_steps=[2, 4])
    killed(monkeypatch, HarnessCallback, "on_step_end", at_step(3), line)
    assert last_checkpoint(tmp_path / "run") is None
    train(line)
    assert model_of(tmp_path) == model_of(undisturbed)
    assert {step for step, _, _ in steps(tmp_path)} == {0, 2, 4, 8}
    rows = [(row["step"], row["metric"]) for row in read_rows(RunFolder(tmp_path / "run").metrics)]
    # The queue's worker came only then; in the process steps 0 and 2 stood already, with the same weights.
    assert len(rows) == len(set(rows))
    assert [row for row in steps(tmp_path) if row[0] != 2] == steps(undisturbed)


def test_killed_in_writing_a_checkpoint(
    undisturbed: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_model, tmp_path, harness_form="in_process")
    killed(monkeypatch, SFTTrainer, "_save_rng_state", lambda *_: True, line)
    folder = tmp_path / "run" / "checkpoint-4"
    assert folder.is_dir()
    assert last_checkpoint(tmp_path / "run") is None
    (folder / "trainer_state.json").write_text('{"global_step": 4, "log_')
    assert last_checkpoint(tmp_path / "run") is None
    train(line)
    assert model_of(tmp_path) == model_of(undisturbed)
    assert steps(tmp_path) == steps(undisturbed)


OTHERS: dict[str, dict[str, Any]] = {
    "another learning rate": {"learning_rate": 5e-4},
    "another seed": {"seed": 7},
    "other tasks": {"harness_tasks": ["sftgen_refusal"]},
    "other data": {"train_rows": 9},
}


@pytest.mark.parametrize("form", ["in_process", "queue"])
def test_another_training_does_not_begin_there(
    form: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arguments(tiny_model, tmp_path, harness_form=form)
    killed(monkeypatch, HarnessCallback, "on_step_end", at_step(2), line)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for other in OTHERS.values():
        with pytest.raises(RecordError, match=r"already holds .* of another training \("):
            train(arguments(tiny_model, tmp_path, harness_form=form, **other))
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_of_an_earlier_version_is_not_written_over(undisturbed: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "run", tmp_path / "run")
    (tmp_path / "run" / TRAINING).unlink()
    with pytest.raises(RecordError, match="already holds evaluations of steps"):
        train(arguments(tiny_model, tmp_path, harness_form="in_process", resume_from_checkpoint=None))


def test_the_best_model_is_the_final_one_also_after_a_kill(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {**BEST, "save_steps": 4, "eval_steps": 4, "eval_data": "", "save_total_limit": 1, "learning_rate": 0.3}
    for name, kill in (("plain", False), ("killed", True)):
        folder = tmp_path / name
        line = arguments(tiny_model, folder, **{**fields, "eval_data": str(folder / "rows.jsonl")})
        if kill:
            killed(monkeypatch, SFTTrainer, "save_model", final, line)
        train(line)
    assert model_of(tmp_path / "killed") == model_of(tmp_path / "plain")
    assert steps(tmp_path / "killed") == steps(tmp_path / "plain")


def test_more_steps_go_on(undisturbed: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "more")
    line = arguments(tiny_model, tmp_path / "more", harness_form="in_process", max_steps=10)
    train(line)
    assert {step for step, _, _ in steps(tmp_path / "more")} == {0, 4, 8, 10}
    assert [row for row in steps(tmp_path / "more") if row[0] < 9] == steps(undisturbed)


@pytest.mark.parametrize("form", ["in_process", "queue"])
def test_a_trainer_of_ones_own_has_no_step_beyond_its_end(tiny_model: Path, tmp_path: Path, form: Any) -> None:
    """transformers trains one step more when it goes on from the last one: that step is not recorded."""
    for resume in (None, True):
        callback = HarnessCallback(["sftgen_parity"], every=1, form=form, **QUICK)
        fields = {"max_steps": 3, "save_strategy": "steps", "save_steps": 3, "save_only_model": False}
        trainer = plain(tiny_model, tmp_path, [callback], **fields, per_device_train_batch_size=5)
        trainer.train(resume_from_checkpoint=resume)
    assert trainer.state.global_step == 4  # 16 rows by 5: the last step is no end of an epoch
    if form == "queue":
        assert [entry.step for entry in Queue(tmp_path).entries("waiting")] == [0, 1, 2, 3]
    else:
        assert RunFolder(tmp_path).evaluated_steps() == {0, 1, 2, 3}
        rows = [(row["step"], row["metric"]) for row in read_rows(RunFolder(tmp_path).metrics)]
        assert len(rows) == len(set(rows))


def test_a_training_that_goes_on_says_what_changed_and_refuses_what_makes_it_another(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def go(tasks: list[str], **fields: Any) -> None:
        callback = HarnessCallback(tasks, at_steps=[], form="in_process", **QUICK)
        saving = {"save_strategy": "steps", "save_steps": 2, "save_only_model": False}
        trainer = plain(tiny_model, tmp_path, [callback], **{**saving, "lr_scheduler_type": "constant", **fields})
        trainer.train(resume_from_checkpoint=fields["max_steps"] > 2)

    go(["sftgen_parity"], max_steps=2)
    with pytest.raises(RecordError, match="would be another training") as refused:
        go(["sftgen_parity"], max_steps=3, learning_rate=1e-4, seed=9)
    assert "learning_rate 0.001 there, 0.0001 here" in str(refused.value)
    assert "seed 1 there, 9 here" in str(refused.value)
    assert "max_steps" not in str(refused.value)
    go(["sftgen_refusal"], max_steps=3, logging_steps=2)
    told = next(text for text in caplog.messages if "goes on from step 2 with changed fields" in text)
    for change in (
        "max_steps 2 there, 3 here",
        "logging_steps 500 there, 2 here",
        "evaluation tasks ['sftgen_parity'] there, ['sftgen_refusal'] here",
    ):
        assert change in told
    assert {row["task"] for row in RunFolder(tmp_path).metric_rows() if row["step"] == 3} == {"sftgen_refusal"}


def test_a_longer_training_is_another_one_where_the_learning_rate_follows_its_length() -> None:
    of = {"lr_scheduler_type": "linear", "max_steps": 2}
    [change] = changes(of, {**of, "max_steps": 3}, {})
    assert (change.name, change.harmless) == ("max_steps", False)


EVALUATED = asdict(Suite([Tier(["a", "b"], every=2, limit=5)], {"docs_seed": 1}, {"temperature": 1.0}))
OTHERWISE = {
    "limit": ({"tiers": [asdict(Tier(["a"], every=2, limit=6))]}, "evaluation limit of a 5 there, 6 here"),
    "options": ({"metadata": {}}, "evaluation metadata.docs_seed 1 there, None here"),
    "seed": ({"seed": 3}, "evaluation seed 0 there, 3 here"),
}


@pytest.mark.parametrize(("given", "told"), OTHERWISE.values(), ids=OTHERWISE)
def test_a_run_is_not_measured_in_two_ways(given: dict[str, Any], told: str) -> None:
    found = changes({"evaluation": EVALUATED}, {"evaluation": {**EVALUATED, **given}}, {})
    assert [change.told() for change in found if not change.harmless] == [told]


def test_a_field_that_an_earlier_version_did_not_have_was_as_if_it_had_its_default() -> None:
    assert changes({"seed": 1}, {"seed": 1, "new": 0.5}, {"new": 0.5}) == []
    assert [change.told() for change in changes({"seed": 1}, {"seed": 1, "new": 2}, {"new": 0.5})] == [
        "new 0.5 there, 2 here"
    ]
    known = command_of(TrainingArguments(), {"harness_limit": 3}, {"harness_limit": None})
    assert known == command_of(TrainingArguments(), {"harness_limit": 3, "new": 1}, {"harness_limit": None, "new": 1})
    assert known != command_of(TrainingArguments(), {"harness_limit": 3, "new": 2}, {"harness_limit": None, "new": 1})


@pytest.mark.parametrize(
    ("written", "ended"),
    [
        ({"harness_limit": 3}, 4),
        ({"harness_limit": 3, "new": 1, "gone": True}, 4),  # a version that wrote defaults, and one field more
        ({"harness_limit": 3, "new": 2}, None),
        ({"harness_limit": 5}, None),
        ([], None),
    ],
)
def test_a_training_that_an_earlier_version_ended_has_ended(
    written: Any, ended: int | None, tiny_model: Path, tmp_path: Path
) -> None:
    args, defaults = TrainingArguments(output_dir=str(tiny_model)), {"harness_limit": None, "new": 1}
    command = command_of(args, {"harness_limit": 3, "new": 1}, defaults)
    run = RunFolder(tmp_path)
    fields = {**command["fields"], **written} if isinstance(written, dict) else written
    continuing.end(run, ended=4, command={**command, "fields": fields})
    assert ended_step(args, run, command, defaults) == ended


def test_tied_weights_that_a_checkpoint_has_under_one_name_are_not_called_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoken = logging.getLogger("transformers.trainer")
    tied = _Tied(SimpleNamespace(all_tied_weights_keys={"lm_head.weight": "model.embed_tokens.weight"}))
    spoken.addFilter(tied)
    spoken.addHandler(caplog.handler)  # transformers may hand its lines to no logger above
    try:
        with caplog.at_level(logging.WARNING, spoken.name):
            for names in (["lm_head.weight"], ["lm_head.weight", "model.norm.weight"]):
                spoken.warning("There were missing keys in the checkpoint model loaded: %s.", names)
            spoken.warning("Another line about 'lm_head.weight'")
    finally:
        spoken.removeHandler(caplog.handler)
        spoken.removeFilter(tied)
    told = list(dict.fromkeys(caplog.messages))
    assert ["norm" in line or "Another" in line for line in told] == [True, True]


def test_two_trainings_at_once(command: Command, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    continuing.begin(run, continuing.Settings({}))
    continuing.hold(run)
    continuing.hold(run)  # a second trainer of the same process
    script = (
        "import sys; from pathlib import Path; from sftgen_judges.records.store import RunFolder;"
        "from sftgen_train.training import continuing; continuing.hold(RunFolder(Path(sys.argv[1])))"
    )
    line = (sys.executable, "-c", script, tmp_path)
    refused = command(*line)
    assert f"is being written by the training of process {os.getpid()} on host" in refused.stderr
    continuing.release(run)
    assert command(*line).returncode == 0


def test_the_command_says_that_nothing_is_trained(command: Command, undisturbed: Path) -> None:
    before = model_of(undisturbed)
    again = command("sftgen", "train", "--config", undisturbed / "train.yaml")
    assert again.returncode == 0, again.stderr
    assert "This training has ended at step 8; its model is in" in again.stdout
    assert "Traceback" not in again.stderr
    assert model_of(undisturbed) == before


def test_what_is_known_of_a_training_may_be_damaged(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for text in ("", "[]", "{", '{"settings": 3, "ended": "soon"}'):
        (tmp_path / TRAINING).write_text(text)
        assert isinstance(read_training(run.path), dict)
        with pytest.raises(SftgenError, match="already holds"):
            continuing.require_own(run, {"seed": 1}, "evaluations of steps [0]", tmp_path)
    (tmp_path / TRAINING).write_text(json.dumps({"settings": {"seed": 1}}))
    continuing.require_own(run, {"seed": 1}, "evaluations of steps [0]", tmp_path)
    (tmp_path / TRAINING).rename(tmp_path / "elsewhere")
    (tmp_path / TRAINING).symlink_to(tmp_path / "elsewhere")
    assert read_training(run.path) == {}  # a stranger's link may lead anywhere
