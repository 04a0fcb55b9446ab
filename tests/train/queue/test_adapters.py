"""A worker on a queue with a whole checkpoint and a LoRA adapter: vLLM answers as transformers does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.adapters import adapter_arguments
from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError
from sftgen_train.queue.entries import Queue
from tests.conftest import Command
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT

TASK = "sftgen_parity"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint and adapters to it, the last of a form that vLLM does not know; of a size for a CPU."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=64, inner=64, layers=1, heads=2, head=32)).save_pretrained(
        folder / "checkpoint-1"
    )
    model = AutoModelForCausalLM.from_pretrained(folder / "checkpoint-1")
    # Rank 12 is no power of two. Strong, so that the adapter shows in what an untrained model writes.
    modules = ["q_proj", "v_proj", "o_proj", "down_proj"]
    config = LoraConfig(target_modules=modules, init_lora_weights=False, r=12, lora_alpha=1200)
    adapted: Any = get_peft_model(model, config)
    adapted.save_pretrained(folder / "checkpoint-2")
    other = AutoModelForCausalLM.from_pretrained(folder / "checkpoint-1")
    dora: Any = get_peft_model(other, LoraConfig(target_modules=["q_proj"], use_dora=True, r=4))
    dora.save_pretrained(folder / "checkpoint-3")
    for name in ("checkpoint-1", "checkpoint-2", "checkpoint-3"):
        tokenizer.save_pretrained(folder / name)
    return folder


def answers(run: Path) -> dict[tuple[int, str], tuple[str, int]]:
    return {
        (record.step or 0, record.doc_hash): (record.text, record.tokens or 0)
        for record in RunFolder(run).read_generations(TASK)
    }


@pytest.mark.xdist_group("vllm")
@pytest.mark.skipif(not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm")
def test_a_worker_evaluates_an_adapter_with_vllm_as_with_transformers(
    command: Command, vllm_command: Command, training: Path, tmp_path: Path
) -> None:
    queued = command(
        "sftgen", "watch", training, "--tasks", TASK, "--limit", "6", "--gen-kwargs", '{"max_gen_toks": 12}', "--once",
        "--settle", "0", "--no-evaluate", "--run", tmp_path / "hf",
    )  # fmt: skip
    assert queued.returncode == 0, queued.stderr
    shutil.copytree(tmp_path / "hf", tmp_path / "vllm")
    done = command("sftgen", "worker", tmp_path / "hf", "--no-wait", "--quiet")
    assert done.returncode == 0, done.stderr
    done = vllm_command(
        "sftgen", "worker", tmp_path / "vllm", "--no-wait", "--quiet", "--model", "sftgen-vllm", "--model-args",
        "dtype=float32,max_model_len=256,enforce_eager=True",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    expected, found = answers(tmp_path / "hf"), answers(tmp_path / "vllm")
    assert len(expected) == 18
    expected = {of: answer for of, answer in expected.items() if of[0] != 3}
    assert found == expected
    by_step = [{text for (of, _), (text, _) in found.items() if of == step} for step in (1, 2)]
    assert not by_step[0] & by_step[1]  # the adapter changes every answer
    [failed] = Queue(tmp_path / "vllm").entries("failed")
    assert "vLLM cannot apply it: vLLM does not yet support DoRA" in failed.reason
    assert "--model sftgen-hf" in failed.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base_model_name_or_path": None}, "base_model_name_or_path is None; expected the base model"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3', and vLLM applies LORA alone"),
        ({"r": 1024}, "rank 1024; vLLM takes whole numbers from 1 to 512"),
        ({"rank_pattern": {"q_proj": "large"}}, "rank 'large'; vLLM takes whole numbers"),
    ],
)
def test_an_adapter_that_vllm_cannot_take_is_told_before_anything_loads(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    config = {"base_model_name_or_path": "base", "peft_type": "LORA", "r": 12, **change}
    (tmp_path / ADAPTER).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=told):
        adapter_arguments(tmp_path, "sftgen-vllm")


def test_vllm_makes_room_for_the_largest_rank(tmp_path: Path) -> None:
    for rank, room in ((1, 8), (8, 8), (9, 16), (16, 16), (100, 128), (512, 512)):
        config = {"base_model_name_or_path": "base", "peft_type": "LORA", "r": 1, "rank_pattern": {"q_proj": rank}}
        (tmp_path / ADAPTER).write_text(json.dumps(config))
        assert adapter_arguments(tmp_path, "vllm")["max_lora_rank"] == room
    assert adapter_arguments(tmp_path, "hf") == {
        "pretrained": "base", "tokenizer": str(tmp_path), "peft": str(tmp_path)
    }  # fmt: skip
