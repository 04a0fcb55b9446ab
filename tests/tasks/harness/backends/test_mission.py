"""The command that sftgen is for: `lm_eval --tasks sftgen_ood --model vllm`, whole, on the CPU build."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import few_tasks
from tests.conftest import Command
from tests.judges.reward.tiny_reward import build_reward_model
from tests.judges.server import JudgeServer, say, serving
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT
from tests.tasks.harness.test_lm_eval_tasks import QUESTIONS, ROWS
from tests.tasks.test_livecodebench import ADD, HALF, SUM, lay_out

pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, with heads of a size that vLLM takes on a CPU."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=64, inner=128, layers=2, heads=2, head=32)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One document or a few of every benchmark, laid out as the hub or a user has them."""
    folder = lay_out(tmp_path_factory.mktemp("data"), [SUM, HALF], [ADD])
    for name, row in ROWS.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "mmlu_pro.json").write_text(json.dumps(QUESTIONS))
    return folder


@pytest.fixture(scope="module")
def judge() -> Iterator[JudgeServer]:
    def plan(prompt: str, _time: int) -> Any:
        return say(" yes") if prompt.startswith("Q:") else say(json.dumps({"analysis": "none", "score": 1}))

    with serving(plan) as server:
        yield server


def test_the_out_of_domain_suite_runs_whole(
    vllm_command: Command, model: Path, data: Path, judge: JudgeServer, tmp_path: Path
) -> None:
    subset = tmp_path / "subset.json"
    from sftgen_tasks.mmlu_pro import write_subset

    write_subset(subset, data_dir=str(data))
    done = vllm_command(
        "lm_eval", "--tasks", "sftgen_ood", "--model", "vllm", "--model_args",
        f"pretrained={model},dtype=float32,max_model_len=4096,enforce_eager=True", "--batch_size", "auto",
        "--apply_chat_template", "--gen_kwargs", "max_gen_toks=8", "--output_path", tmp_path / "results",
        "--log_samples", "--metadata", json.dumps({"subset": str(subset)}),
        env={
            **os.environ, "SFTGEN_DATA_DIR": str(data), "SFTGEN_RUN_DIR": str(tmp_path / "run"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"), "SFTGEN_JUDGE_BASE_URL": judge.url, "SFTGEN_JUDGE_MODEL": "m",
            "SFTGEN_JUDGE_REWARD_MODEL": str(build_reward_model(tmp_path / "rm")),
            "SFTGEN_JUDGE_REWARD_BACKEND": "transformers", "SFTGEN_JUDGE_REWARD_BASE_URL": "",
        },
        before=few_tasks,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    [path] = (tmp_path / "results").rglob("results_*.json")
    found = json.loads(path.read_text())
    tasks = {name: found["results"][name] for name in found["configs"]}
    benchmarks = {"lcb_v2", "gpqa_diamond", "ifeval", "alpaca_eval", "halueval_qa", "truthfulqa", "hex_phi"}
    assert {f"sftgen_{name}" for name in benchmarks} <= set(tasks)
    assert sum(name.startswith("sftgen_mmlu_pro_") for name in tasks) == 14
    for name, row in tasks.items():
        assert row["coverage,sftgen"] == 1.0, name
        assert row["score,sftgen"] is not None, name
    # What was cut at eight tokens is truncated, and the stock backend's text is enough to see it.
    assert tasks["sftgen_gpqa_diamond"]["truncated,sftgen"] == 1.0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert set(manifest["documents"]) == set(tasks)
