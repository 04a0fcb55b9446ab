"""The callback inside real trainers: it measures, it changes nothing, it never stops training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import UnknownTaskError
from sftgen_tasks.data import documents, generated
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.loading import RepeatedTaskError
from sftgen_train.evaluation.evaluator import Evaluator, undisturbed
from sftgen_train.evaluation.schedule import ScheduleError, Suite, Tier
from sftgen_train.training.callback import CallbackError, HarnessCallback

TASKS = ["sftgen_parity", "sftgen_refusal"]
QUICK: dict[str, Any] = {"limit": 3, "gen_kwargs": {"max_gen_toks": 8}, "form": "in_process"}


def sft_trainer(model: Path, output: Path, callbacks: list[TrainerCallback], **settings: Any) -> SFTTrainer:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is {n}?"}],
            "completion": [{"role": "assistant", "content": str(n)}],
        }
        for n in range(64)
    ]
    config = SFTConfig(
        output_dir=str(output),
        max_steps=6,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        **settings,
    )
    loaded = AutoModelForCausalLM.from_pretrained(model)
    # Dropout draws from the random number generator at every step: a disturbed one would show.
    for layer in loaded.model.layers:
        layer.self_attn.attention_dropout = 0.1
    return SFTTrainer(
        model=loaded,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
    )


def weights_hash(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_with_and_without_gives_the_same_weights(
    tiny_model: Path, tmp_path: Path, checkpointing: bool
) -> None:
    plain = sft_trainer(tiny_model, tmp_path / "plain", [], gradient_checkpointing=checkpointing)
    plain.train()
    callback = HarnessCallback(TASKS, every=1, **QUICK)
    watched = sft_trainer(tiny_model, tmp_path / "watched", [callback], gradient_checkpointing=checkpointing)
    padding_side = watched.processing_class.padding_side
    watched.train()
    assert weights_hash(plain.model) == weights_hash(watched.model)
    assert watched.model.training
    assert watched.model.is_gradient_checkpointing == checkpointing
    assert watched.processing_class.padding_side == padding_side
    assert RunFolder(tmp_path / "watched").evaluated_steps() == {0, 1, 2, 3, 4, 5, 6}


def test_base_and_last_step_are_always_evaluated(tiny_model: Path, tmp_path: Path) -> None:
    sft_trainer(tiny_model, tmp_path, [HarnessCallback(TASKS, at_steps=[2, 5000], **QUICK)]).train()
    run = RunFolder(tmp_path)
    assert run.evaluated_steps() == {0, 2, 6}
    rows = [row for row in run.metric_rows() if row["task"] == "sftgen_parity" and row["metric"] == "score"]
    assert [(row["step"], row["n"], row["docs"]) for row in rows] == [(0, 3, 3), (2, 3, 3), (6, 3, 3)]
    assert all(row["low"] <= row["mean"] <= row["high"] for row in rows)
    metrics = {row["metric"] for row in run.metric_rows()}
    assert {"answered", "truncated", "coverage", "response_tokens", "anatomy/tokens"} <= metrics


def test_a_run_directory_says_what_was_run(tiny_model: Path, tmp_path: Path) -> None:
    sft_trainer(tiny_model, tmp_path, [HarnessCallback(TASKS, at_steps=[0], **QUICK)]).train()
    manifest = RunFolder(tmp_path).read_manifest()
    assert manifest["tasks"] == TASKS
    assert manifest["documents"]["sftgen_parity"]["n"] == 3
    assert len(manifest["documents"]["sftgen_parity"]["sha256"]) == 64
    assert manifest["versions"]["trl"]
    samples = RunFolder(tmp_path).sample_rows()
    assert len(samples) == 2 * 2 * 3  # steps 0 and 6, tasks, documents
    assert {row["scorer"] for row in samples} == {"exact", "refusal"}
    filled = ("run", "model", "sampling_id", "doc_id", "status", "tokens", "thinking_tokens", "answer_tokens", "reason")
    assert all(row[name] is not None for row in samples for name in (*filled, "evaluation_version", "evaluated_at"))
    assert {row["thinking_tokens"] + row["answer_tokens"] - row["tokens"] for row in samples} == {0}
    assert {made.finish_reason for made in RunFolder(tmp_path).read_generations("sftgen_parity")} <= {"stop", "length"}


def test_a_failing_evaluation_is_recorded_and_training_goes_on(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sftgen_train.evaluation import evaluator as module

    real: Callable[..., Any] = module.evaluate

    def sometimes(lm: Any, tasks: Any, run: Any, **options: Any) -> Any:
        if run.step == 2:
            lm.model.eval()
            torch.rand(3)
            raise RuntimeError("the judge is on fire")
        return real(lm, tasks, run, **options)

    monkeypatch.setattr(module, "evaluate", sometimes)
    trainer = sft_trainer(tiny_model, tmp_path / "failing", [HarnessCallback(TASKS, at_steps=[2, 4], **QUICK)])
    trainer.train()
    assert trainer.state.global_step == 6
    assert trainer.model.training
    run = RunFolder(tmp_path / "failing")
    failed = [row for row in run.metric_rows() if row["status"] == "failed"]
    assert {(row["step"], row["task"]) for row in failed} == {(2, task) for task in TASKS}
    assert "the judge is on fire" in failed[0]["reason"]
    assert run.evaluated_steps() == {0, 4, 6}
    assert "evaluation at step 2 failed, training goes on" in caplog.text
    undisturbed_run = sft_trainer(tiny_model, tmp_path / "plain", [])
    undisturbed_run.train()
    assert weights_hash(undisturbed_run.model) == weights_hash(trainer.model)


def test_a_plain_transformers_trainer_works(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = [tokenizer(f"row {n}", return_tensors=None) for n in range(8)]
    data = [{"input_ids": row["input_ids"][:5], "labels": row["input_ids"][:5]} for row in rows]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[HarnessCallback(["sftgen_parity"], at_steps=[1], **QUICK)],
    ).train()
    assert RunFolder(tmp_path).evaluated_steps() == {0, 1, 2}


def test_sampled_tasks_leave_the_generators_alone(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.train()
    model.model.layers[0].eval()  # a part that the user froze stays as it was
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    with undisturbed(model):
        random.random()
        np.random.rand()
        torch.rand(1)
        model.eval()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert model.training
    assert not model.model.layers[0].training


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"at_steps": [1], "every": 2}, "give one of them"),
        ({"every": 0}, "every=0"),
        ({"at_steps": [5, -1]}, "-1 is not a step"),
        ({"at_steps": [5, "ten"]}, "'ten' is not a step"),
        ({"limit": 0}, "limit 0"),
    ],
)
def test_an_impossible_schedule_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        HarnessCallback(["sftgen_parity"], **options)


def test_an_unknown_task_is_refused_before_training() -> None:
    with pytest.raises(UnknownTaskError, match=r"unknown task 'sftgen_nothing'; did you mean"):
        HarnessCallback(["sftgen_nothing"])


def test_the_queue_reads_no_document_and_the_other_forms_do(tmp_path: Path) -> None:
    nowhere = {"data_dir": str(tmp_path / "nowhere")}
    HarnessCallback(["sftgen_ood"], form="queue", metadata=nowhere)
    with pytest.raises(DataError, match="nowhere' does not exist"):
        HarnessCallback(["sftgen_math500"], form="in_process", metadata=nowhere)


@pytest.mark.parametrize("form", ["queue", "in_process"])
def test_what_can_be_known_without_documents_is_refused_in_every_form(form: Any) -> None:
    with pytest.raises(RepeatedTaskError, match="sftgen_parity"):
        HarnessCallback(["sftgen_procedural", "sftgen_parity"], form=form)
    with pytest.raises(DataError, match=r"sftgen_countdown: cannot make documents.*colour"):
        HarnessCallback(["sftgen_countdown"], form=form, metadata={"sftgen_countdown": {"colour": "red"}})


def test_a_task_in_two_tiers_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real: Callable[..., Any] = documents.finish
    monkeypatch.setattr(generated, "finish", lambda task, *rest: (loads.append(task), real(task, *rest))[1])
    evaluator = Evaluator(Suite([Tier(["sftgen_parity"], every=1, limit=2), Tier(["sftgen_procedural"], every=9)]))
    assert sorted(loads) == [
        "sftgen_addition",
        "sftgen_digit_sums",
        "sftgen_maximum",
        "sftgen_parity",
        "sftgen_reversal",
    ]
    assert evaluator.suite.tasks == ["sftgen_parity", "sftgen_procedural"]


def test_a_tokenizer_without_template_is_refused_before_the_first_step(tiny_model: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_model, tmp_path, [HarnessCallback(["sftgen_parity"], **QUICK)])
    trainer.processing_class.chat_template = None
    with pytest.raises(CallbackError, match="no chat template"):
        trainer.train()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_run_directory_is_not_written_over(tiny_model: Path, tmp_path: Path) -> None:
    sft_trainer(tiny_model, tmp_path, [HarnessCallback(["sftgen_parity"], at_steps=[0], **QUICK)]).train()
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RecordError, match="already holds evaluations"):
        sft_trainer(tiny_model, tmp_path, [HarnessCallback(["sftgen_parity"], at_steps=[0], **QUICK)]).train()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
