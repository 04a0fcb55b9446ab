"""A response may have the tokens of its task's limit, or what its prompt leaves of the context."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording
from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import load_tasks
from sftgen_tasks.harness.backends.hf import RecordingHFLM
from sftgen_tasks.harness.budgets import PromptTooLongError, response_budget
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_tasks.harness.limits import LimitError, limit_of, parse_limits
from sftgen_tasks.mmlu_pro import write_subset
from tests.conftest import Command
from tests.tasks.harness.test_lm_eval_tasks import QUESTIONS, ROWS, Scripted
from tests.tasks.test_livecodebench import ADD, HALF, SUM, lay_out

TASK = "sftgen_parity"


def records(lm: Any, folder: Path, metadata: dict[str, Any] | None = None, task: str = TASK) -> list[GenerationRecord]:
    """What an evaluation of two documents leaves."""
    evaluate(lm, load_tasks([task], metadata), Recording(RunFolder(folder)), limit=2)
    return RunFolder(folder).read_generations(task)


def test_the_budget_is_the_smaller_of_limit_and_room() -> None:
    assert response_budget(100, 1000, 300, task="t") == 100
    assert response_budget(100, 350, 300, task="t") == 50
    assert response_budget(100, 301, 300, task="t") == 1
    assert response_budget(100, None, 300, task="t") == 100
    with pytest.raises(PromptTooLongError, match=r"t: a prompt of 300 tokens .* takes 300\. .*max_model_len=N"):
        response_budget(100, 300, 300, task="t")


# ------------------------------------------------------------------------------ stock models


def test_a_stock_model_is_asked_for_what_its_prompts_leave(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lm = Scripted(lambda _: "x")
    with caplog.at_level(logging.WARNING):
        made = records(lm, tmp_path, {"pretrained": str(tiny_model), "max_model_len": 4100})
    budgets = [record.budget for record in made]
    assert [settings["max_gen_toks"] for _, settings in lm.seen] == budgets
    for record in made:
        assert record.budget is not None
        assert record.prompt_tokens is not None
        assert record.budget % 64 == 0  # they batch equal settings only
        assert 0 <= 4100 - record.prompt_tokens - record.budget < 64
        assert record.sampling["max_gen_toks"] == 4096  # what the task asks for, and what the key holds
    [told] = [message for message in caplog.messages if "sftgen_parity: max_gen_toks 4096" in message]
    assert "2 of 2 prompts" in told
    # With room for everything nothing changes.
    lm = Scripted(lambda _: "x")
    assert {record.budget for record in records(lm, tmp_path / "wide", {"pretrained": str(tiny_model)})} == {4096}
    assert {settings["max_gen_toks"] for _, settings in lm.seen} == {4096}


def test_a_stock_model_that_reaches_its_budget_is_truncated(tiny_model: Path, tmp_path: Path) -> None:
    longest = max(record.prompt_tokens or 0 for record in records(Scripted(str), tmp_path / "a", named(tiny_model)))
    made = records(Scripted(lambda _: "abcdefgh"), tmp_path / "b", {**named(tiny_model), "max_model_len": longest + 5})
    assert min(record.budget or 0 for record in made) == 5
    assert {record.finish_reason for record in made if record.budget == 5} == {"length"}


def test_a_prompt_over_the_context_is_refused_before_anything_is_generated(tiny_model: Path, tmp_path: Path) -> None:
    lm = Scripted(lambda _: "x")
    with pytest.raises(PromptTooLongError, match=r"sftgen_parity, document 0: a prompt of \d+ tokens .* takes 20\."):
        records(lm, tmp_path, {**named(tiny_model), "max_model_len": 20})
    assert not lm.seen
    own = RecordingHFLM(str(tiny_model), device="cpu", max_length=20)
    with pytest.raises(PromptTooLongError, match=r"sftgen_parity, document 0: .* takes 20"):
        records(own, tmp_path)


def named(model: Path) -> dict[str, Any]:
    return {"pretrained": str(model)}


# ------------------------------------------------------------------------------ sftgen-hf

PROMPTS = ["a" * 43, "What is 7 + 5? Think.", "z"]


def surer(model: Path) -> RecordingHFLM:
    """An untrained model with a context of 48 tokens, that is surer of what it says than others."""
    made = RecordingHFLM(str(model), device="cpu", batch_size=4, max_length=48)
    made.model.lm_head.register_forward_hook(lambda module, given, logits: logits * 25)
    return made


def answers(lm: RecordingHFLM, prompts: list[str], **settings: Any) -> list[Any]:
    given = {"until": [], "max_gen_toks": 30, **settings}
    return lm.generate_until(
        [Instance("generate_until", {}, (prompt, given), 0, metadata=("task", 0, 1), doc_id=0) for prompt in prompts]
    )


@pytest.mark.parametrize("rope", ["default", "dynamic"])
@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "temperature": 2.0}], ids=["greedy", "sampled"])
def test_rows_of_a_batch_have_budgets_of_their_own(
    tiny_model: Path, settings: dict[str, Any], rope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = surer(tiny_model)
    lm.model.config.rope_parameters["rope_type"] = rope
    rows: list[int] = []
    generate = lm._model_generate
    monkeypatch.setattr(
        lm, "_model_generate", lambda context, **options: rows.append(len(context)) or generate(context, **options)
    )
    together = answers(lm, PROMPTS, **settings)
    # Positions that depend on the longest row of a batch: rows go beyond the context only where that changes nothing.
    assert rows == ([3] if rope == "default" else [1, 1, 1])
    assert [text.budget for text in together] == [5, 27, 30]
    assert [text.tokens for text in together] == [5, 27, 30]
    assert {text.finish_reason for text in together} == {"length"}
    assert together == [answers(lm, [prompt], **settings)[0] for prompt in PROMPTS]


def test_a_reached_budget_is_truncated_in_the_metrics_and_in_the_records(tiny_model: Path, tmp_path: Path) -> None:
    short = records(RecordingHFLM(str(tiny_model), device="cpu"), tmp_path / "a", {"max_gen_toks": {TASK: 1}})
    longest = max(record.prompt_tokens or 0 for record in short)
    lm = RecordingHFLM(str(tiny_model), device="cpu", max_length=longest + 5)
    run = Recording(RunFolder(tmp_path / "b"))
    [result] = evaluate(lm, load_tasks([TASK]), run, limit=2)
    made = run.folder.read_generations(TASK)
    assert min(record.budget or 0 for record in made) == 5
    assert {record.tokens == record.budget for record in made} == {True}
    assert result.values["truncated"] == [1.0, 1.0]
    run.folder.compact()
    told = open_records(tmp_path / "b").sql("SELECT budget, prompt_tokens FROM all_texts").rows()
    assert {row["budget"] + row["prompt_tokens"] for row in told} == {longest + 5}
    # Stored answers are used again: the context is part of what the model is, and no part of the key.
    stopped = RecordingHFLM(str(tiny_model), device="cpu", max_length=longest + 5)
    stopped._model_generate = pytest.fail
    evaluate(stopped, load_tasks([TASK]), run, limit=2, resume=True)


# ------------------------------------------------------------------------------ the paper's models


@pytest.fixture
def wide(tiny_model: Path, tmp_path: Path) -> Path:
    """A model of 32,768 positions that soon ends: most of its tokens are end tokens."""
    folder = tmp_path / "wide"
    shutil.copytree(tiny_model, folder)
    for name, changes in {
        "config.json": {"max_position_embeddings": 32768},
        "generation_config.json": {"eos_token_id": list(range(200))},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """One document or a few of every benchmark."""
    folder = lay_out(tmp_path / "data", [SUM, HALF], [ADD])
    for name, row in ROWS.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "mmlu_pro.json").write_text(json.dumps(QUESTIONS))
    write_subset(folder / "subset.json", data_dir=str(folder))
    return {"data_dir": str(folder), "subset": str(folder / "subset.json")}


def test_the_default_command_runs_on_a_model_of_32768_positions(
    command: Command, wide: Path, data: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = ["sftgen", "eval", "--run", run, "--tasks", "sftgen_ood", "--model", "sftgen-hf", "--model_args"]
    limits = "sftgen_hex_phi=7,sftgen_reasoning=9,sftgen_mmlu_pro_law=11"
    done = command(
        *line, f"pretrained={wide}", "--metadata", json.dumps(data), "--max_gen_toks", limits,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    asked = {"sftgen_hex_phi": 7, "sftgen_gpqa_diamond": 9, "sftgen_mmlu_pro_math": 9, "sftgen_mmlu_pro_law": 11}
    for task in ("sftgen_ifeval", "sftgen_truthfulqa", "sftgen_alpaca_eval", "sftgen_halueval_qa", *asked):
        limit = asked.get(task, 16384 if task == "sftgen_alpaca_eval" else 32768)
        made = RunFolder(run).read_generations(task)
        assert made, task
        for record in made:
            assert record.sampling["max_gen_toks"] == limit
            assert record.budget == min(limit, 32768 - (record.prompt_tokens or 0))
            assert (record.tokens or 0) <= record.budget
    # Said in one message, before the model is loaded.
    refused = command(*line, f"pretrained={wide}", "--max_gen_toks", "sftgen_aime24=7")
    assert refused.returncode == 2
    assert "--max_gen_toks sftgen_aime24=7: --tasks names no task of it" in refused.stderr
    assert "Traceback" not in refused.stderr


# ------------------------------------------------------------------------------ limits of single tasks


def test_the_narrowest_name_gives_a_task_its_limit() -> None:
    limits = parse_limits("sftgen_all=5, sftgen_mmlu_pro=7,sftgen_mmlu_pro_law=9")
    found = {task: limit_of(task, limits) for task in ("sftgen_math500", "sftgen_mmlu_pro_math", "sftgen_mmlu_pro_law")}
    assert list(found.values()) == [5, 7, 9]
    assert limit_of(TASK, limits) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sftgen_mth500=5", "'sftgen_mth500': no task or group"),
        ("16384", "'16384': no task or group"),
        ("sftgen_math500=0", "sftgen_math500=0: expected a whole number of tokens from 1"),
        ("sftgen_math500=many", "sftgen_math500='many': expected a whole number"),
        ("sftgen_math500", "sftgen_math500='': expected a whole number"),
        ("sftgen_math500=1,sftgen_math500=2", "names 'sftgen_math500' twice"),
    ],
)
def test_an_unknown_task_or_value_is_refused(text: str, told: str) -> None:
    with pytest.raises(LimitError, match=told):
        parse_limits(text)


def test_metadata_limits_single_tasks_at_every_door(tmp_path: Path) -> None:
    limits = {"max_gen_toks": {"sftgen_procedural": 8, TASK: 6}}
    lm = Scripted(lambda _: "x")
    tasks = load_tasks([TASK, "sftgen_reversal"], limits, {"max_gen_toks": 50})
    evaluate(lm, tasks, Recording(RunFolder(tmp_path)), limit=1)
    assert sorted(settings["max_gen_toks"] for _, settings in lm.seen) == [6, 8]
    with pytest.raises(LimitError, match="sftgen_x"):
        load_tasks([TASK], {"max_gen_toks": {"sftgen_x": 5}})
    # lm_eval passes its vLLM's argument of this name to tasks too.
    assert load_tasks([TASK], {"max_gen_toks": 512}).tasks[TASK].max_gen_toks == 4096


def test_a_training_takes_limits_of_single_tasks() -> None:
    from sftgen_train.training.config import HarnessConfig
    from sftgen_train.training.running import _callback

    own = {"docs_seed": 1}
    fields: dict[str, Any] = {"train_data": "x", "harness_tasks": [TASK], "harness_metadata": json.dumps(own)}
    callback = _callback(HarnessConfig(**fields, harness_max_gen_toks=f"{TASK}=6"))
    assert callback is not None
    assert callback.suite.metadata == {**own, "max_gen_toks": {TASK: 6}}
    with pytest.raises(SftgenError, match="sftgen_x"):
        _callback(HarnessConfig(**fields, harness_max_gen_toks="sftgen_x=6"))
