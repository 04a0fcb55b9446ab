"""The tokens of real trainings: agreement with TRL's own figure, with a second look at each pass, and with no watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from sftgen import load_run
from sftgen_judges.records.store import RunFolder
from sftgen_train import HarnessCallback
from sftgen_train.report.findings import read_findings
from sftgen_train.training.callback import CallbackError
from sftgen_train.training.tokens.rising import CHANGE
from tests.train.training.test_callback import weights_hash
from tests.train.training.test_trainers import COMMON, dpo, grpo

SETTINGS: dict[str, Any] = {**COMMON, "logging_steps": 1}
del SETTINGS["max_steps"]
IGNORED = -100


def watch(**options: Any) -> HarnessCallback:
    """A callback that measures as little as it can beside the tokens."""
    return HarnessCallback(["sftgen_parity"], at_steps=[0], limit=1, gen_kwargs={"max_gen_toks": 1}, form="in_process",
                           **options)  # fmt: skip


def rows_of(count: int, words: int = 6) -> Dataset:
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"What is {n}?"}],
                "completion": [{"role": "assistant", "content": "ab" * (n % words) + str(n)}],
            }
            for n in range(count)
        ]
    )


def sft(
    model: Path,
    output: Path,
    callbacks: list[Any],
    data: Dataset,
    trainer: dict[str, Any] | None = None,
    **settings: Any,
) -> SFTTrainer:
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=SFTConfig(output_dir=str(output), **{**SETTINGS, **settings}),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
        **({"eval_dataset": data} if settings.get("eval_strategy") else {}),
        **(trainer or {}),
    )


def tokens_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = load_run(folder).sql("SELECT * FROM training_tokens ORDER BY step, kind").rows()
    return rows


class Second:
    """Looks at the same forward passes and keeps every token by its whole text: what the watch must agree with."""

    def __init__(self, model: Any) -> None:
        self.passes: list[dict[tuple[int, ...], float]] = []
        model.register_forward_hook(self.hooked, with_kwargs=True)

    def hooked(self, model: Any, _: Any, given: dict[str, Any], output: Any) -> None:
        if not (model.training and torch.is_grad_enabled()):
            return
        found = {}
        for row, labels, log_probs in zip(given["input_ids"], given["labels"], output.log_probs, strict=True):
            for place in range(1, len(row)):
                if labels[place] != IGNORED:
                    found[tuple(row[: place + 1].tolist())] = -float(log_probs[place - 1].detach())
        self.passes.append(found)


class Tracker(TrainerCallback):
    """Hears what wandb and TensorBoard hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.heard += [(state.global_step, name, value) for name, value in logs.items() if name.startswith("sftgen/")]


def test_sft_agrees_with_trl_and_with_a_second_look(tiny_model: Path, tmp_path: Path) -> None:
    """Three epochs with evaluations in between, which are not counted."""
    data = rows_of(8)
    again = {"num_train_epochs": 3, "eval_strategy": "epoch", "learning_rate": 0.01}
    plain = sft(tiny_model, tmp_path / "plain", [], data, **again)
    plain.train()
    tracker = Tracker()
    watched = sft(tiny_model, tmp_path / "run", [tracker, watch()], data, **again)
    second = Second(watched.model)
    watched.train()
    assert weights_hash(watched.model) == weights_hash(plain.model)
    assert [len(trainer.model._forward_hooks) for trainer in (plain, watched)] == [0, 1]  # the second look's own
    rows = tokens_of(tmp_path / "run")
    assert [(row["kind"], row["first_step"], row["step"]) for row in rows] == [("trained", n, n) for n in range(1, 13)]
    logs = [entry for entry in watched.state.log_history if "mean_token_accuracy" in entry]
    assert [np.float32(row["right"] / row["tokens"]) for row in rows] == [
        np.float32(entry["mean_token_accuracy"]) for entry in logs
    ]
    last: dict[tuple[int, ...], float] = {}
    for row, held in zip(rows, second.passes, strict=True):
        losses = np.array(list(held.values()))
        assert row["tokens"] == len(losses) == row["sampled"]
        assert row["loss"] == pytest.approx(losses.mean(), rel=1e-6)
        assert row["p50"] == pytest.approx(np.quantile(losses, 0.5, method="inverted_cdf"), rel=0.006)
        changes = np.array([loss - last[token] for token, loss in held.items() if token in last])
        assert row["again"] == len(changes)
        if len(changes):
            assert row["rising"] == pytest.approx((changes > CHANGE).mean())
            assert row["falling"] == pytest.approx((changes < -CHANGE).mean())
        last |= held
    assert [row["again"] > 0 for row in rows] == [False] * 4 + [True] * 8
    # The trainer's own log has the numbers, each at its step, and the scores beside them.
    ours = [entry for entry in watched.state.log_history if "sftgen/training_tokens/accuracy" in entry]
    assert [(entry["step"], entry["sftgen/training_tokens/accuracy"]) for entry in ours] == [
        (row["step"], row["accuracy"]) for row in rows
    ]
    scored = [entry["step"] for entry in watched.state.log_history if "sftgen/parity/score" in entry]
    assert scored == [0, 12]
    assert "train_runtime" in watched.state.log_history[-1]
    assert tracker.heard == [
        (entry["step"], name, value)
        for entry in watched.state.log_history
        for name, value in entry.items()
        if name.startswith("sftgen/")
    ]
    [found] = [one.finding for one in read_findings(RunFolder(tmp_path / "run")) if one.diagnostic == "training_tokens"]
    assert f"{sum(row['tokens'] for row in rows)} tokens of the training batches of steps 1 to 12" in found.measured_on
    assert found.sentence.startswith("The share of training tokens that the model predicts right")


CASES: dict[str, dict[str, Any]] = {
    "accumulated, checkpointed, an adapter": {
        "gradient_accumulation_steps": 2, "gradient_checkpointing": True, "logging_steps": 3, "adapter": True,
    },
    "packed": {"packing": True, "max_length": 64, "logging_strategy": "no"},
    "a loss that needs the logits": {"label_smoothing_factor": 0.1, "completion_only_loss": False},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_token_with_a_label_is_counted_once(tiny_model: Path, tmp_path: Path, case: str) -> None:
    settings = {**CASES[case], "num_train_epochs": 1}
    trainers = []
    for name, callbacks in (("plain", []), ("run", [watch()])):
        given = {**settings}
        adapter = {"peft_config": LoraConfig(r=2, target_modules=["q_proj"])} if given.pop("adapter", False) else {}
        torch.manual_seed(0)  # of the adapter
        trainers.append(sft(tiny_model, tmp_path / name, callbacks, rows_of(8), trainer=adapter, **given))
        trainers[-1].train()
    plain, watched = trainers
    assert weights_hash(watched.model) == weights_hash(plain.model)
    rows = tokens_of(tmp_path / "run")
    labels = [label for row in watched.train_dataset for label in row.get("labels", row["input_ids"])]
    starts = sum(len(row.get("seq_lengths") or [0]) for row in watched.train_dataset)
    first = starts if case == "a loss that needs the logits" else 0  # the first token of a text has no prediction
    assert sum(row["tokens"] for row in rows) == sum(label != IGNORED for label in labels) - first
    assert all(row["accuracy"] is not None for row in rows)
    # Prompts begin alike: where they are trained on, the same token comes again after the same text.
    assert any(row["again"] for row in rows) == bool(first)
    assert not any(row["signal"] for row in rows)
    if case.startswith("accumulated"):
        assert [(row["first_step"], row["step"]) for row in rows] == [(1, 2)]  # the end closes what no log has closed
    if case == "packed":
        assert [row["step"] for row in rows] == [watched.state.global_step]


def test_chosen_and_rejected_apart_without_the_reference(tiny_model: Path, tmp_path: Path) -> None:
    """The reference of an adapter is the same model, without gradients."""
    trainer = dpo(tiny_model, tmp_path, [watch()], logging_steps=1, adapter=LoraConfig(r=2, target_modules=["q_proj"]))
    trainer.train()
    rows = tokens_of(tmp_path)
    assert [(row["step"], row["kind"]) for row in rows] == [
        (step, kind) for step in (1, 2) for kind in ("chosen", "rejected")
    ]
    logged = [entry["mean_token_accuracy"] for entry in trainer.state.log_history if "mean_token_accuracy" in entry]
    assert [np.float32(row["right"] / row["tokens"]) for row in rows[::2]] == [np.float32(of) for of in logged]
    # A step has two pairs: "odd" and "even" with the end of the turn.
    assert {row["tokens"] for row in rows} <= set(range(2 * 3, 2 * 8))
    assert "sftgen/training_tokens/chosen/accuracy" in {name for entry in trainer.state.log_history for name in entry}


def test_of_own_samples_there_is_a_loss_and_no_accuracy(tiny_model: Path, tmp_path: Path) -> None:
    trainer = grpo(tiny_model, tmp_path, [watch()])
    trainer.train()
    rows = tokens_of(tmp_path)
    assert {row["kind"] for row in rows} == {"sampled"}
    assert {row["accuracy"] for row in rows} == {row["right"] for row in rows} == {None}
    assert sum(row["tokens"] for row in rows) <= 2 * 2 * 6
    assert all(0 < row["p50"] < 10 for row in rows)
    [found] = [one.finding for one in read_findings(RunFolder(tmp_path)) if one.diagnostic == "training_tokens"]
    assert "there is no token accuracy, since no token is the right one" in found.sentence


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_plain_trainer_is_read_from_its_logits_or_says_why_not(
    tiny_model: Path, tmp_path: Path, smoothing: float
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = [
        {"input_ids": ids, "labels": [IGNORED, *ids[1:]]} for n in range(4) for ids in [tokenizer(f"r{n}a").input_ids]
    ]
    data = [{name: [*ids[:3]] for name, ids in row.items()} for row in rows]
    arguments = {name: value for name, value in SETTINGS.items() if name != "bf16"}
    trainers = []
    for name, callbacks in (("plain", []), ("run", [watch()])):
        args = TrainingArguments(
            output_dir=str(tmp_path / name), num_train_epochs=2, label_smoothing_factor=smoothing, **arguments
        )
        trainers.append(
            Trainer(
                model=AutoModelForCausalLM.from_pretrained(tiny_model),
                args=args, train_dataset=data, processing_class=tokenizer, callbacks=callbacks,
            )
        )  # fmt: skip
        trainers[-1].train()
    assert weights_hash(trainers[0].model) == weights_hash(trainers[1].model)
    found = tokens_of(tmp_path / "run")
    [finding] = [
        one.finding for one in read_findings(RunFolder(tmp_path / "run")) if one.diagnostic == "training_tokens"
    ]
    if smoothing:
        assert [(row["kind"], row["tokens"]) for row in found] == [("none", 0)]
        assert finding.certainty == "cannot tell"
        assert "the trainer keeps the labels from the model (label smoothing or a loss of its own)" in finding.sentence
        return
    assert sum(row["tokens"] for row in found) == 2 * sum(len(row["labels"]) - 1 for row in data)
    losses = [entry["loss"] for entry in trainers[1].state.log_history if "loss" in entry]
    assert [row["loss"] for row in found] == pytest.approx(losses, rel=1e-5)


def test_known_by_heart_is_said_and_stops_only_a_training_that_asks(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row again and again. A training that goes on from a checkpoint writes its steps anew."""
    again = {"max_steps": 40, "learning_rate": 0.01, "logging_steps": 2, "lr_scheduler_type": "constant"}
    asked, answer = ([{"role": role, "content": text}] for role, text in (("user", "?"), ("assistant", "by heart")))
    data = Dataset.from_list([{"prompt": asked, "completion": answer}])
    sft(tiny_model, tmp_path / "whole", [watch()], data, **again, save_strategy="steps", save_steps=30).train()
    rows = tokens_of(tmp_path / "whole")
    assert [row["step"] for row in rows] == [*range(2, 41, 2)]
    [first, *_] = [row for row in rows if row["signal"]]
    assert first["accuracy"] >= 0.995
    assert not any(row["signal"] for row in rows if row["accuracy"] < 0.995)
    [found] = [
        one.finding for one in read_findings(RunFolder(tmp_path / "whole")) if one.diagnostic == "training_tokens"
    ]
    assert found.certainty == "clear"
    assert f"at step {first['step']} token accuracy reached" in found.sentence
    out = capsys.readouterr().out
    assert out.count("on repeated data; more repetition is said to add nothing then (arXiv 2602.11149)") == 1
    assert f"to read the run: sftgen report {tmp_path / 'whole'}" in out
    stopped = sft(tiny_model, tmp_path / "stopped", [watch(stop_at_token_accuracy=0.9)], data, **again)
    stopped.train()
    [last] = [row["step"] for row in rows if row["accuracy"] >= 0.9][:1]
    assert stopped.state.global_step == last < 40
    assert RunFolder(tmp_path / "stopped").evaluated_steps() == {0, last}
    resumed = sft(tiny_model, tmp_path / "whole", [watch(lines=False)], data, **again)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-30"))
    capsys.readouterr()
    later = tokens_of(tmp_path / "whole")
    assert [row["step"] for row in later] == [*range(2, 41, 2)]
    assert [row["loss"] for row in later] == pytest.approx([row["loss"] for row in rows], rel=1e-6)
    assert [row["again"] for row in later[-5:]] < [row["again"] for row in rows[-5:]]  # the sample began anew


def test_a_watch_that_fails_ends_no_training(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sftgen_train.training.tokens import watching

    def broken(*_: Any) -> None:
        raise RuntimeError("no such kernel on this device")

    monkeypatch.setattr(watching, "read", broken)
    trainer = sft(tiny_model, tmp_path, [watch()], rows_of(4), max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2
    assert "counting training tokens at step 1 failed, training goes on. RuntimeError: no such kernel" in caplog.text
    assert [row["reason"] for row in tokens_of(tmp_path)] == ["the tokens could not be counted; the log says why"]
    with pytest.raises(CallbackError, match=r"stop_at_token_accuracy=1\.5"):
        watch(stop_at_token_accuracy=1.5)
