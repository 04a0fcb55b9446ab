"""Evaluation by a vLLM engine in the trainer's process, for real on the CPU build, against the trained model itself."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sftgen_judges.records.store import RunFolder
from sftgen_train import load_run
from sftgen_train.training.callback import CallbackError, HarnessCallback
from tests.conftest import Command
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT, metrics

STEPS = {0, 2, 4, 6}
pytestmark = pytest.mark.xdist_group("vllm")
needs_vllm_environment = pytest.mark.skipif(
    not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
)


SCRIPT = Path(__file__).with_name("colocated.py")


def outcome_of(done: subprocess.CompletedProcess[str], folder: Path) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "outcome.json").read_text())


@pytest.fixture(scope="module")
def trained(vllm_command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of the runs, and what came out."""
    folder = tmp_path_factory.mktemp("colocated")
    return folder, outcome_of(vllm_command(SCRIPT, folder), folder)


def generations(run: Path) -> dict[str, dict[str, Any]]:
    rows = load_run(run).texts.rows()
    return {
        " ".join(str(row[part]) for part in ("task", "step", "doc_hash")): {
            **row,
            "run": None,
            "folder": None,
            "model": None,
        }
        for row in rows
    }


@needs_vllm_environment
def test_records_and_scores_are_those_of_the_model_in_training(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = trained
    expected, found = generations(folder / "in_process"), generations(folder / "colocated")
    assert len(expected) == 2 * 8 * len(STEPS)
    assert len({record["text"] for record in expected.values()}) > 2  # training changes what it says
    assert found == expected
    assert metrics(folder / "colocated") == metrics(folder / "in_process")


@needs_vllm_environment
def test_the_trained_weights_are_those_of_training_alone(trained: tuple[Path, dict[str, Any]]) -> None:
    _, outcome = trained
    assert outcome["weights"].keys() == {"plain", "in_process", "colocated", "stale", "afterwards"}
    assert len(set(outcome["weights"].values())) == 1


@needs_vllm_environment
def test_weights_that_did_not_arrive_fail_the_evaluation_and_not_the_training(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    run = RunFolder(trained[0] / "stale")
    assert run.evaluated_steps() == {0}
    failed = [row for row in run.metric_rows() if row["status"] == "failed"]
    assert {row["step"] for row in failed} == STEPS - {0}
    assert all("vLLM does not hold the weights in training" in row["reason"] for row in failed)


@needs_vllm_environment
def test_an_engine_that_cannot_take_the_weights_is_refused_before_training(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    """vLLM's CPU build silently leaves out the output layer where it is tied to the embeddings."""
    folder, outcome = trained
    refused = outcome["refused"]["tied"]
    told = re.search(r"over 63 tokens .* differ by ([\d.]+) on average, and by at most 0.001 ", refused)
    assert told
    assert float(told[1]) > 0.1
    assert "use form='queue'" in refused
    assert not (folder / "refused" / "metrics.jsonl").exists()


@needs_vllm_environment
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("several", "engine: tensor_parallel_size cannot be set"),
        ("unknown", r"vLLM cannot hold .* beside the training: TypeError: .*'max_length'.* change that with engine="),
        ("other tokens", "the tokenizer in training has other tokens than that of"),
        ("in memory", "the model was made in memory, and vLLM needs the folder or the hub id"),
    ],
)
def test_what_the_engine_cannot_hold_is_refused_before_training(
    trained: tuple[Path, dict[str, Any]], what: str, says: str
) -> None:
    assert re.search(says, trained[1]["refused"][what])


@needs_vllm_environment
def test_sftgen_train_stops_where_training_ends_a_response(
    vllm_command: Command, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The end token is in no file that vLLM reads: only the model in memory has it."""
    rows = [
        {"prompt": f"Is {n} odd or even?", "completion": "\\boxed{" + ("odd}" if n % 2 else "even}")}
        for n in range(100, 228)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = {
        "model_name_or_path": str(trained[0] / "model"), "train_data": str(tmp_path / "rows.jsonl"),
        "end_token": "<|endoftext|>", "output_dir": str(tmp_path / "run"), "max_steps": 20, "learning_rate": 0.01,
        "per_device_train_batch_size": 4, "bf16": False, "use_cpu": True, "save_strategy": "no", "report_to": "none",
        "harness_tasks": ["sftgen_parity"], "harness_at_steps": [0], "harness_limit": 4, "harness_form": "colocated",
        "harness_gen_kwargs": '{"max_gen_toks": 12}', "harness_engine": '{"max_model_len": 256, "enforce_eager": true}',
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(json.dumps(config))
    done = vllm_command("sftgen", "train", "--config", tmp_path / "train.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    last = [record for record in generations(tmp_path / "run").values() if record["step"] == 20]
    assert len(last) == 4
    assert {(record["tokens"], record["finish_reason"]) for record in last} == {(4, "stop")}


def test_it_is_refused_at_once_where_vllm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "vllm" else find(name, *rest))
    with pytest.raises(CallbackError, match="form='colocated' needs vLLM, which is not installed: pip install"):
        HarnessCallback(["sftgen_parity"], form="colocated")


def test_engine_options_without_an_engine_are_refused() -> None:
    with pytest.raises(CallbackError, match=r"engine=.*max_num_seqs.* is for form='colocated' only, .* 'queue'"):
        HarnessCallback(["sftgen_parity"], engine={"max_num_seqs": 4})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_engine_sleeps_between_evaluations(tmp_path: Path) -> None:
    line = [sys.executable, SCRIPT, tmp_path]
    outcome = outcome_of(subprocess.run(line, capture_output=True, text=True, check=False), tmp_path)
    assert len(set(outcome["weights"].values())) == 1
    assert RunFolder(tmp_path / "colocated").evaluated_steps() == STEPS
    assert RunFolder(tmp_path / "stale").evaluated_steps() == {0}
    assert len(generations(tmp_path / "colocated")) == 2 * 8 * len(STEPS)
