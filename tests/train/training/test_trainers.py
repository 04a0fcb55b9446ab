"""The callback in TRL's other trainers, and a loop without any trainer."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import (
    DistillationConfig,
    DistillationTrainer,
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RewardConfig,
    RewardTrainer,
)

from sftgen_judges.records.store import RunFolder
from sftgen_train import HarnessCallback
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.worker import work
from sftgen_train.training.callback import CallbackError
from tests import ROOT
from tests.train.training.test_callback import weights_hash

EXAMPLES = ROOT / "examples"
COMMON: dict[str, Any] = {
    "max_steps": 2, "per_device_train_batch_size": 2, "save_strategy": "no", "report_to": "none", "use_cpu": True,
    "bf16": False, "disable_tqdm": True, "learning_rate": 1e-3, "seed": 5,
}  # fmt: skip


def preferences() -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"Is {n} odd or even?"}],
                "chosen": [{"role": "assistant", "content": "odd" if n % 2 else "even"}],
                "rejected": [{"role": "assistant", "content": "even" if n % 2 else "odd"}],
            }
            for n in range(8)
        ]
    )


def dpo(model: Path, output: Path, callbacks: list[Any], adapter: Any = None, **settings: Any) -> DPOTrainer:
    return DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=DPOConfig(output_dir=str(output), **{**COMMON, **settings}),
        peft_config=adapter,
        train_dataset=preferences(),
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
    )


def grpo(model: Path, output: Path, callbacks: list[Any]) -> GRPOTrainer:
    def length(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(str(completion))) for completion in completions]

    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=length,
        args=GRPOConfig(output_dir=str(output), num_generations=2, max_completion_length=6, **COMMON),
        train_dataset=preferences().select_columns(["prompt"]),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        callbacks=callbacks,
    )


def distillation(model: Path, output: Path, callbacks: list[Any]) -> DistillationTrainer:
    teacher = AutoModelForCausalLM.from_pretrained(model)
    for weights in teacher.parameters():  # another distribution than the student's
        weights.data *= 1.5
    return DistillationTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        teacher_model=teacher,
        args=DistillationConfig(output_dir=str(output), max_completion_length=6, **COMMON),
        train_dataset=preferences().select_columns(["prompt"]),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        callbacks=callbacks,
    )


def reward(model: Path, output: Path, callbacks: list[Any]) -> RewardTrainer:
    return RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        args=RewardConfig(output_dir=str(output), **COMMON),
        train_dataset=preferences(),
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
    )


def callback(form: Any) -> HarnessCallback:
    return HarnessCallback(["sftgen_parity"], at_steps=[1], limit=2, gen_kwargs={"max_gen_toks": 6}, form=form)


TOKENS = {"dpo": {"chosen", "rejected"}, "grpo": {"sampled"}, "distillation": {"none"}}


@pytest.mark.parametrize("trainer", [dpo, grpo, distillation])
def test_every_trainer_of_a_model_that_generates(tiny_model: Path, tmp_path: Path, trainer: Callable[..., Any]) -> None:
    """Both forms measure the same, and the trained weights are those of training alone."""
    plain = trainer(tiny_model, tmp_path / "plain", [])
    plain.train()
    rows = {}
    for form in ("in_process", "queue"):
        folder = tmp_path / form
        watched = trainer(tiny_model, folder, [callback(form)])
        watched.train()
        assert weights_hash(watched.model) == weights_hash(plain.model)
        if form == "queue":
            assert [entry.step for entry in Queue(folder).entries("waiting")] == [0, 1, 2]
            assert work(folder) == [0, 1, 2]
        assert RunFolder(folder).evaluated_steps() == {0, 1, 2}
        told = [json.loads(line) for line in RunFolder(folder).training_tokens.open()]
        assert {row["kind"] for row in told} == TOKENS[trainer.__name__]
        assert all(
            "neither logits nor the probability of a token" in row["reason"] for row in told if not row["tokens"]
        )
        rows[form] = [(row["step"], row["metric"], row["mean"]) for row in RunFolder(folder).metric_rows()]
    assert rows["queue"] == rows["in_process"]


@pytest.mark.parametrize("form", ["queue", "in_process"])
def test_a_reward_model_is_refused_before_the_first_step(tiny_model: Path, tmp_path: Path, form: str) -> None:
    trainer = reward(tiny_model, tmp_path, [callback(form)])
    with pytest.raises(CallbackError, match="ForSequenceClassification does not generate text"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert not (tmp_path / "queue").exists()


def test_a_plain_pytorch_loop(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example as it stands; the same loop without evaluations gives the same weights."""
    short = tmp_path / "short"  # its responses end after some tokens: the example asks for as many as the task allows
    shutil.copytree(tiny_model, short)
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 256}))
    weights = []
    for name in ("with", "without"):
        source = (EXAMPLES / "plain_loop.py").read_text()
        if name == "without":
            source = "\n".join(line for line in source.splitlines() if "evaluate_checkpoint(" not in line)
        monkeypatch.setattr(sys, "argv", ["plain_loop.py", str(short), str(tmp_path / name)])
        torch.manual_seed(0)
        space: dict[str, Any] = {}
        exec(compile(source, "plain_loop.py", "exec"), space)
        weights.append(weights_hash(space["model"]))
    assert weights[0] == weights[1]
    assert RunFolder(tmp_path / "with" / "run").evaluated_steps() == {0, 2, 4}
    assert not (tmp_path / "without" / "run").exists()
    assert len((EXAMPLES / "plain_loop.py").read_text().splitlines()) <= 25


def test_the_package_is_imported_without_torch() -> None:
    import subprocess

    check = "import sys, sftgen_train; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
