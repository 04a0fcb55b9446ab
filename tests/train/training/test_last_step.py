"""A step's number is that step's weights, whatever the trainer does with the model afterwards."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from sftgen_judges.records.model_id import identity_in_memory
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.backends.hf import RecordingHFLM
from sftgen_train.evaluation.schedule import Tier
from sftgen_train.queue.entries import Queue
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.measuring import Measuring
from tests.train.training.test_callback import weights_hash

QUICK: dict[str, Any] = {"limit": 2, "gen_kwargs": {"max_gen_toks": 4}}
COMMON: dict[str, Any] = {
    "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "disable_tqdm": True, "seed": 1,
    "lr_scheduler_type": "constant", "learning_rate": 1e-3, "bf16": False, "save_only_model": True,
}  # fmt: skip


class Weights(TrainerCallback):
    """Notes what the weights are after each step; it may stop the training, or swap what the loss says."""

    by = "sftgen-hf"

    def __init__(self, stop_at: int = 0, stop_in: str = "on_step_end") -> None:
        self.ids: dict[int, str] = {}
        self.hashes: dict[int, str] = {}
        self.stop_at, self.stop_in = stop_at, stop_in

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        known = identity_in_memory(kwargs["model"], kwargs["processing_class"], backend=self.by)
        self.ids[state.global_step] = known.id
        self.hashes[state.global_step] = weights_hash(kwargs["model"])
        self._stop("on_step_end", state, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stop("on_evaluate", state, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stop("on_save", state, control)

    def _stop(self, hook: str, state: Any, control: Any) -> None:
        if hook == self.stop_in and state.global_step == self.stop_at:
            control.should_training_stop = True


class Best(Weights):
    """Makes the second step's evaluation the best one."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["metrics"]["eval_loss"] = 0.0 if state.global_step == 2 else 1.0 + state.global_step
        super().on_evaluate(args, state, control, **kwargs)


def rows(model: Path) -> tuple[Any, list[dict[str, Any]]]:
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = [tokenizer(f"row {n}")["input_ids"][:5] for n in range(16)]
    return tokenizer, [{"input_ids": row, "labels": row} for row in ids]


def plain(model: Path, output: Path, callbacks: list[Any], **fields: Any) -> Trainer:
    tokenizer, data = rows(model)
    arguments = TrainingArguments(output_dir=str(output), **{"max_steps": 6, **COMMON, **fields})
    loaded = AutoModelForCausalLM.from_pretrained(model)
    return Trainer(
        model=loaded, args=arguments, train_dataset=data, eval_dataset=data[:2], processing_class=tokenizer,
        callbacks=callbacks,
    )  # fmt: skip


def sft(model: Path, output: Path, callbacks: list[Any], **fields: Any) -> SFTTrainer:
    texts = [{"prompt": f"{n}?", "completion": str(n)} for n in range(16)]
    config = SFTConfig(output_dir=str(output), **{"max_steps": 6, **COMMON, **fields})
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model), args=config, train_dataset=Dataset.from_list(texts),
        eval_dataset=Dataset.from_list(texts[:2]), processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
    )  # fmt: skip


BEST: dict[str, Any] = {
    "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps",
    "save_steps": 2, "metric_for_best_model": "loss",
}  # fmt: skip


def measured(folder: Path, form: str) -> dict[int, str]:
    """The model that each step stands for, by form."""
    if form == "queue":
        from safetensors.torch import load_file

        found = {}
        for entry in Queue(folder).entries("waiting"):
            model = AutoModelForCausalLM.from_pretrained(folder / entry.path)
            assert load_file(folder / entry.path / "model.safetensors")
            found[entry.step] = weights_hash(model)
        return found
    return {row["step"]: row["model"] for row in RunFolder(folder).metric_rows() if row["status"] == "ok"}


def wanted(noted: Weights, form: str) -> dict[int, str]:
    return noted.hashes if form == "queue" else noted.ids


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "the last step is due": ({"at_steps": [2, 4, 6]}, {}, [2, 4, 6]),
    "the last step is not due": ({"at_steps": [2, 4]}, {}, [2, 4, 6]),
    "stopped at a step that is due": ({"at_steps": [2, 4]}, {"stop_at": 4}, [2, 4]),
    "stopped at a step that is not due": ({"every": 3}, {"stop_at": 4}, [3, 4]),
    "stopped by its own evaluation": ({"every": 3}, {"stop_at": 4, "stop_in": "on_evaluate"}, [3, 4]),
    "stopped when it has saved": ({"every": 3}, {"stop_at": 4, "stop_in": "on_save"}, [3, 4]),
    "stopped where nothing is saved": ({"every": 2}, {"stop_at": 5}, [2, 4, 5]),
}


@pytest.mark.parametrize("form", ["in_process", "queue"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_best_model_comes_back_and_every_step_has_its_own_weights(
    tiny_model: Path, tmp_path: Path, form: Any, case: tuple[dict[str, Any], dict[str, Any], list[int]]
) -> None:
    when, stop, steps = case
    noted = Best(**stop)
    callback = HarnessCallback(["sftgen_parity"], form=form, **when, **QUICK)
    trainer = plain(tiny_model, tmp_path, [noted, callback], **BEST)
    trainer.train()
    assert weights_hash(trainer.model) == noted.hashes[2]  # it did come back
    found = measured(tmp_path, form)
    assert sorted(found) == [0, *steps]
    assert {step: found[step] for step in steps} == {step: wanted(noted, form)[step] for step in steps}


MORE: dict[str, dict[str, Any]] = {
    "the best is saved": {"save_strategy": "best", "save_total_limit": 1, "load_best_model_at_end": False},
    "the best is saved and comes back": {"save_strategy": "best", "save_total_limit": 1},
    "one checkpoint is kept": {"save_total_limit": 1},
    "by epochs": {"eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 1, "max_steps": -1},
    "nothing is saved": {"save_strategy": "no", "load_best_model_at_end": False},
}


@pytest.mark.parametrize("name", [*MORE, "SFT: one checkpoint is kept"])
def test_every_way_to_save(tiny_model: Path, tmp_path: Path, name: str) -> None:
    make, fields = (sft if name.startswith("SFT") else plain), MORE[name.removeprefix("SFT: ")]
    for form in ("in_process", "queue"):
        noted = Best()
        callback = HarnessCallback(["sftgen_parity"], form=form, every=2, **QUICK)
        trainer = make(tiny_model, tmp_path / form, [noted, callback], **{**BEST, **fields})
        trainer.train()
        found = measured(tmp_path / form, form)
        last = trainer.state.global_step
        assert sorted(found) == list(range(0, last + 1, 2))
        assert all(found[step] == wanted(noted, form)[step] for step in found if step)


def test_early_stopping_of_transformers(tiny_model: Path, tmp_path: Path) -> None:
    noted = Best()
    callbacks = [
        noted,
        EarlyStoppingCallback(1),
        HarnessCallback(["sftgen_parity"], every=3, form="in_process", **QUICK),
    ]
    trainer = plain(tiny_model, tmp_path, callbacks, **BEST)
    trainer.train()
    assert trainer.state.global_step == 4
    found = measured(tmp_path, "in_process")
    assert sorted(found) == [0, 3, 4]
    assert {found[3], found[4]} == {noted.ids[3], noted.ids[4]}


class Unsaves(TrainerCallback):
    """Takes back that the trainer saves, after the harness was told that it would."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = False


def test_a_due_step_that_is_not_saved_after_all(tiny_model: Path, tmp_path: Path) -> None:
    noted = Weights()
    callbacks = [noted, HarnessCallback(["sftgen_parity"], every=2, **QUICK), Unsaves()]
    plain(tiny_model, tmp_path, callbacks, save_strategy="steps", save_steps=2).train()
    assert not list(tmp_path.glob("checkpoint-*"))
    found = measured(tmp_path, "queue")
    assert sorted(found) == [0, 2, 4, 6]
    assert all(found[step] == noted.hashes[step] for step in (2, 4, 6))


@pytest.mark.parametrize("form", ["in_process", "queue"])
def test_stopped_at_a_due_step_it_gets_the_tiers_of_the_last(tiny_model: Path, tmp_path: Path, form: Any) -> None:
    tiers = [Tier(["sftgen_refusal"], at_steps=[], limit=2)]
    callback = HarnessCallback(["sftgen_parity"], every=2, tiers=tiers, form=form, **QUICK)
    plain(tiny_model, tmp_path, [Weights(stop_at=4), callback], save_strategy="no").train()
    if form == "queue":
        assert [(entry.step, entry.last) for entry in Queue(tmp_path).entries("waiting")] == [
            (0, False), (2, False), (4, True),
        ]  # fmt: skip
        return
    tasks = {(row["step"], row["task"]) for row in RunFolder(tmp_path).metric_rows() if row["metric"] == "score"}
    assert {task for step, task in tasks if step == 4} == {"sftgen_parity", "sftgen_refusal"}
    assert {task for step, task in tasks if step == 2} == {"sftgen_parity"}


class Engine:
    """In the place of vLLM's: the model itself generates, and the engine cannot be stopped."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @contextmanager
    def serving(self) -> Iterator[RecordingHFLM]:
        yield RecordingHFLM(self.model, self.tokenizer, batch_size=2, seed=0)

    def close(self) -> None:
        raise RuntimeError("the engine hangs")


@pytest.mark.parametrize("stop_at", [0, 4])
def test_an_engine_beside_the_training(
    tiny_model: Path, tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(self: Measuring, args: Any, given: Any) -> None:
        self._engine = Engine(given["model"], given["processing_class"])  # type: ignore[assignment]

    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: True)
    callback = HarnessCallback(["sftgen_parity"], every=3, form="colocated", **QUICK)
    monkeypatch.undo()
    monkeypatch.setattr(Measuring, "start_engine", start)
    noted = Best(stop_at=stop_at)
    noted.by = "sftgen-vllm"
    trainer = plain(tiny_model, tmp_path, [noted, callback], **BEST)
    trainer.train()
    assert weights_hash(trainer.model) == noted.hashes[2]
    found = measured(tmp_path, "colocated")
    last = stop_at or 6
    assert sorted(found) == [0, 3, last]
    assert (found[3], found[last]) == (noted.ids[3], noted.ids[last])
    assert "the engine hangs" in caplog.text


class SilentTrainer(Trainer):
    """Does not tell its callbacks what it logs."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        pass


def test_weights_that_are_gone_are_no_point_of_a_curve(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer, data = rows(tiny_model)
    arguments = TrainingArguments(output_dir=str(tmp_path), max_steps=4, **COMMON, **BEST)
    trainer = SilentTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model), args=arguments, train_dataset=data,
        eval_dataset=data[:2], processing_class=tokenizer,
        callbacks=[Best(), HarnessCallback(["sftgen_parity"], at_steps=[2], form="in_process", **QUICK)],
    )  # fmt: skip
    trainer.train()
    run = RunFolder(tmp_path)
    assert run.evaluated_steps() == {0, 2}
    [failed] = [row for row in run.metric_rows() if row["status"] == "failed"]
    assert failed["step"] == 4
    assert "best checkpoint" in failed["reason"]
