"""A worker on a queue with whole checkpoints and LoRA adapters: vLLM answers as transformers does, by kept engines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.adapters import adapter_arguments
from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError
from sftgen_train.evaluation.kept_engine import facts_of
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.worker import GIVEN_UP
from sftgen_train.report.numbers import provenance_sections
from tests.conftest import Command
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT

TASK = "sftgen_parity"
WHOLE, ADAPTERS, DORA = (1, 2, 3), (4, 5), 6
BROKEN_RELOAD = Path(__file__).parents[1] / "evaluation" / "broken_reload.py"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole checkpoints and adapters to the first, the last of a form that vLLM does not know; of a size for a CPU."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("adapters")
    tokenizer = build_tokenizer([])
    config = build_model(tokenizer, Size(hidden=64, inner=64, layers=1, heads=2, head=32)).config
    config.tie_word_embeddings = False  # on a CPU, vLLM reloads tied ones wrongly
    for step in WHOLE:
        torch.manual_seed(step)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / f"checkpoint-{step}")
    # Rank 12 is no power of two. Strong, so that the adapter shows in what an untrained model writes.
    modules = ["q_proj", "v_proj", "o_proj", "down_proj"]
    strong = LoraConfig(target_modules=modules, init_lora_weights=False, r=12, lora_alpha=1200)
    for step in (*ADAPTERS, DORA):
        model = AutoModelForCausalLM.from_pretrained(folder / "checkpoint-1")
        torch.manual_seed(step)
        made = LoraConfig(target_modules=["q_proj"], use_dora=True, r=4) if step == DORA else strong
        adapted: Any = get_peft_model(model, made)
        adapted.save_pretrained(folder / f"checkpoint-{step}")
    for path in folder.iterdir():
        tokenizer.save_pretrained(path)
    return folder


def answers(run: Path) -> dict[tuple[int, str], tuple[str, int]]:
    return {
        (record.step or 0, record.doc_hash): (record.text, record.tokens or 0)
        for record in RunFolder(run).read_generations(TASK)
    }


@pytest.mark.xdist_group("vllm")
@pytest.mark.skipif(not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm")
def test_engines_that_stay_from_checkpoint_to_checkpoint_answer_as_transformers_does(
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
    assert done.returncode == GIVEN_UP, done.stderr[-3000:]  # DoRA
    expected, found = answers(tmp_path / "hf"), answers(tmp_path / "vllm")
    assert len(expected) == 36
    expected = {of: answer for of, answer in expected.items() if of[0] != DORA}
    assert found == expected
    by_step = {step: {text for (of, _), (text, _) in found.items() if of == step} for step in (*WHOLE, *ADAPTERS)}
    assert sum(map(len, by_step.values())) == len(set().union(*by_step.values()))  # every step has its own answers
    [failed] = Queue(tmp_path / "vllm").entries("failed")
    assert "vLLM cannot apply it: vLLM does not yet support DoRA" in failed.reason
    assert "--model sftgen-hf" in failed.reason
    manifest = RunFolder(tmp_path / "vllm").manifest()
    proof = "reloading is proven: after it, 4 probes were answered alike, token for token"
    assert manifest["engines"]["1"] == f"fresh engine: {proof}"
    for step in WHOLE[1:]:
        assert manifest["engines"][str(step)] == "engine kept, weights reloaded, as proven by 4 probes"
    assert manifest["engines"]["4"].startswith("fresh engine: arguments, ")
    assert manifest["engines"]["5"].startswith("engine kept, another adapter applied to its base model")
    assert set(manifest["batch_invariant"].values()) == {False}
    [run] = [section for section in provenance_sections(manifest) if section.title == "Run"]
    assert ("vLLM at step 2, 3", "engine kept, weights reloaded, as proven by 4 probes") in run.rows


@pytest.mark.xdist_group("vllm")
@pytest.mark.skipif(not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm")
def test_a_reload_that_does_nothing_is_caught(vllm_command: Command, training: Path) -> None:
    done = vllm_command(BROKEN_RELOAD, training / "checkpoint-1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == (
        "fresh engine: reloading is not trusted here: after it, probe 1 of 4 is answered differently from token 1"
    )


def test_what_two_checkpoints_share_that_share_an_engine(training: Path) -> None:
    one, two = training / "checkpoint-1", training / "checkpoint-2"
    facts = facts_of(one, {"pretrained": str(one), "dtype": "float32"})
    assert facts == facts_of(two, {"pretrained": str(two), "dtype": "float32"})
    assert {name for name, _ in facts.items() ^ facts_of(two, {"dtype": "bfloat16"}).items()} == {"arguments"}
    assert facts_of(one, {"data_parallel_size": 2}) == {}
    adapters = [
        facts_of(path, {"pretrained": "base", "tokenizer": str(path), "lora_local_path": str(path)})
        for path in (training / f"checkpoint-{step}" for step in ADAPTERS)
    ]
    assert adapters[0] == adapters[1] != facts


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
