"""The configuration of the other tests under DeepSpeed, on CPU processes: the same training, the same scores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.worker import work
from tests import ROOT
from tests.commands import LARGE, Warm
from tests.train.training.launching import (
    STEPS,
    assert_same_weights,
    assert_trained_the_same,
    configuration,
    launched,
)

pytestmark = [pytest.mark.environments, pytest.mark.xdist_group("launched")]

ON_CPU = Path(__file__).with_name("deepspeed_on_cpu.py")
# Nothing in it is compiled: it does so when it needs an operator, and here it needs none.
PACKAGES = ("deepspeed", "einops", "hjson", "msgpack", "py-cpuinfo")


@pytest.fixture(scope="module")
def with_deepspeed(tmp_path_factory: pytest.TempPathFactory) -> Warm:
    """A process with DeepSpeed beside the installed packages, in a folder of its own, from which trainings are forked.

    Where it is installed, accelerate imports it into every training: the other tests are to see what users have.
    """
    folder = tmp_path_factory.mktemp("deepspeed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", "--target", folder, *PACKAGES], check=True)
    path = os.pathsep.join((str(folder), str(ROOT)))
    settings = {"PYTHONPATH": path, "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return Warm("deepspeed", ("deepspeed", *LARGE), settings=settings)


@pytest.fixture(scope="module")
def runs(
    trained_alone: Path, tiny_model: Path, with_deepspeed: Warm, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """In one process without DeepSpeed; in two that share an evaluation; in two that have parts of the weights."""
    found = {"one": trained_alone}
    for name, form in (("zero2", "in_process"), ("zero3", "queue")):
        file = configuration(tiny_model, tmp_path_factory.mktemp(name), form, use_cpu=False)
        done = launched(f"gpu-8-{name}", ON_CPU, "train", "--config", file, warm=with_deepspeed)
        assert done.returncode == 0, done.stderr[-3000:]
        found[name] = file.parent / "run"
    return found


def scores(run: Path) -> dict[tuple[int, str, str], float]:
    return {(row["step"], row["task"], row["metric"]): row["mean"] for row in RunFolder(run).metric_rows()}


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_two_processes_train_as_one_with_twice_the_accumulation(runs: dict[str, Path], name: str) -> None:
    assert_trained_the_same(runs["one"], runs[name])


def test_processes_under_zero2_evaluate_their_parts_and_the_scores_are_those_of_one(runs: dict[str, Path]) -> None:
    expected = {key: mean for key, mean in scores(runs["one"]).items() if key[0] == 0}
    assert expected
    assert {key: mean for key, mean in scores(runs["zero2"]).items() if key[0] == 0} == expected
    assert RunFolder(runs["zero2"]).evaluated_steps() == {0, 1, STEPS}
    assert len(RunFolder(runs["zero2"]).sample_rows()) == 3 * 2 * 5


def test_whole_weights_are_enqueued_under_zero3_the_base_model_among_them(
    runs: dict[str, Path], tiny_model: Path
) -> None:
    run = runs["zero3"]
    assert list((run / f"checkpoint-{STEPS}").glob(f"global_step{STEPS}/zero_pp_rank_1_*"))  # it did shard
    assert [(entry.step, entry.last) for entry in Queue(run).entries("waiting")] == [
        (0, False), (1, False), (STEPS, True),
    ]  # fmt: skip
    leased = {step: load_file(run / "leases" / f"step-{step}" / "model.safetensors") for step in (0, 1, STEPS)}
    base = load_file(tiny_model / "model.safetensors")
    assert_same_weights(leased[0], base, 0)
    assert_same_weights(leased[STEPS], load_file(run / "model.safetensors"), 0)
    assert any(not torch.equal(leased[1][key], weights) for key, weights in base.items())
    assert work(run) == [0, 1, STEPS]
    assert {key: mean for key, mean in scores(run).items() if key[0] == 0} == {
        key: mean for key, mean in scores(runs["one"]).items() if key[0] == 0
    }


def test_checkpoints_of_shards_only_are_gathered_evaluated_and_resumed_from(
    runs: dict[str, Path], tiny_model: Path, with_deepspeed: Warm, tmp_path: Path
) -> None:
    # The last step may change where the learning rate does not depend on it.
    constant = {"lr_scheduler_type": "constant"}
    file = configuration(tiny_model, tmp_path, "queue", use_cpu=False, harness_worker="after", **constant)
    flags = ("--num_processes", "1", "--zero3_save_16bit_model", "false")
    done = launched("gpu-8-zero3", ON_CPU, "train", "--config", file, flags=flags, warm=with_deepspeed)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not is_complete(tmp_path / "run" / f"checkpoint-{STEPS}")
    found = scores(tmp_path / "run")
    assert {step for step, _, _ in found} == {0, 1, STEPS}
    expected = scores(runs["one"])
    assert {key: mean for key, mean in found.items() if key[0] == 0} == {
        key: mean for key, mean in expected.items() if key[0] == 0
    }
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    more = ("train", "--config", file, "--resume_from_checkpoint", "last", "--max_steps", str(STEPS + 1))
    again = launched("gpu-8-zero3", ON_CPU, *more, flags=flags, warm=with_deepspeed)
    assert again.returncode == 0, again.stderr[-3000:]
    longer = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert longer.startswith(lines)
    assert "failed" not in longer
    assert {step for step, _, _ in scores(tmp_path / "run")} == {0, 1, STEPS, STEPS + 1}


def test_evaluating_inside_is_refused_under_zero3_before_training(
    tiny_model: Path, with_deepspeed: Warm, tmp_path: Path
) -> None:
    file = configuration(tiny_model, tmp_path, "in_process", use_cpu=False)
    flags = ("--num_processes", "1")
    done = launched("gpu-8-zero3", ON_CPU, "train", "--config", file, flags=flags, warm=with_deepspeed)
    assert done.returncode != 0
    assert "DeepSpeed ZeRO-3 shards the weights" in done.stderr
    assert "form='queue'" in done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert not list((tmp_path / "run").glob("checkpoint-*"))
