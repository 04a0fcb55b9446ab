"""One configuration in one process, in two under DDP and in two under FSDP2: the same training, the same scores."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.shards import Shard, ShardError
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.worker import work
from sftgen_train.training.distributed import accelerate_config, accelerate_configs, alone
from tests.conftest import Command
from tests.train.training.launching import (
    STEPS,
    assert_trained_the_same,
    configuration,
    launched,
    launched_from_its_start,
)

# They share the port of accelerate's launcher, and the run in one process.
pytestmark = pytest.mark.xdist_group("launched")


@pytest.fixture(scope="module")
def runs(trained_alone: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training in one process, in two (evaluating inside), and in two that shard the weights (queue)."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("ddp", "fsdp2")}
    started = {
        "ddp": launched(
            "cpu-2", "-m", "sftgen_train", "train", "--config", configuration(tiny_model, folders["ddp"], "in_process")
        ),
        "fsdp2": launched(
            "gpu-8-fsdp2",
            Path(__file__).with_name("fsdp_on_cpu.py"),
            "train",
            "--config",
            configuration(tiny_model, folders["fsdp2"], "queue"),
        ),
    }
    for done in started.values():
        assert done.returncode == 0, done.stderr[-3000:]
    return {"one": trained_alone, **{name: folder / "run" for name, folder in folders.items()}}


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_train_as_one_with_twice_the_accumulation(runs: dict[str, Path], name: str) -> None:
    assert_trained_the_same(runs["one"], runs[name])
    # The tokens of all processes are brought together.
    one, two = ([json.loads(line) for line in RunFolder(runs[of]).training_tokens.open()] for of in ("one", name))
    assert [row["step"] for row in one] == [1, 2, STEPS]
    counts = ("kind", "first_step", "step", "epoch", "tokens", "sampled", "again")
    assert [[row[name] for name in counts] for row in two] == [[row[name] for name in counts] for row in one]
    for ours, theirs in zip(two, one, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert abs(ours["right"] - theirs["right"]) <= 1  # weights differ in their last bits


def test_each_process_evaluates_its_own_documents_and_the_scores_are_those_of_one(runs: dict[str, Path]) -> None:
    metrics = {name: [json.loads(line) for line in RunFolder(runs[name]).metrics.open()] for name in ("one", "ddp")}
    # Rows of the same weights: those that were trained differ in their last bits.
    base = {
        name: {(row["task"], row["metric"]): row for row in rows if row["step"] == 0} for name, rows in metrics.items()
    }
    assert base["one"].keys() == base["ddp"].keys()
    for key, row in base["one"].items():
        assert base["ddp"][key].get("mean") == row.get("mean"), key
        assert base["ddp"][key].get("docs") == row.get("docs"), key
    texts = {}
    for name in base:
        records = RunFolder(runs[name]).read_generations("sftgen_parity")
        made = [(record.step, record.doc_hash, record.text) for record in records]
        assert len(made) == len({key[:2] for key in made}) == 3 * 5  # no document twice
        texts[name] = sorted(text for text in made if text[0] == 0)
    assert texts["one"] == texts["ddp"]
    for name in base:
        assert RunFolder(runs[name]).evaluated_steps() == {0, 1, STEPS}
        assert len(RunFolder(runs[name]).sample_rows()) == 3 * 2 * 5
    # The manifest knows all documents, not those of one process.
    documents = {name: RunFolder(runs[name]).read_manifest()["documents"] for name in base}
    assert {facts["n"] for facts in documents["ddp"].values()} == {5}
    for task, facts in documents["one"].items():
        assert {**documents["ddp"][task], "options": None} == {**facts, "options": None}


def test_whole_weights_are_enqueued_from_shards(runs: dict[str, Path], tiny_model: Path) -> None:
    run = runs["fsdp2"]
    assert (run / f"checkpoint-{STEPS}" / "pytorch_model_fsdp.bin").is_file()  # it did shard
    waiting = Queue(run).entries("waiting")
    assert [(found.step, found.last) for found in waiting] == [(0, False), (1, False), (STEPS, True)]
    base, known = (
        load_file(run / "leases" / "step-0" / "model.safetensors"),
        load_file(tiny_model / "model.safetensors"),
    )
    assert all(torch.equal(base[key], known[key]) for key in known)
    assert work(run) == [0, 1, STEPS]
    assert RunFolder(run).evaluated_steps() == {0, 1, STEPS}
    one = {
        row["task"]: row["mean"]
        for row in RunFolder(runs["one"]).metric_rows()
        if (row["step"], row["metric"]) == (0, "score")
    }
    for row in RunFolder(run).metric_rows():
        if (row["step"], row["metric"]) == (0, "score"):
            assert row["mean"] == one[row["task"]]


def test_a_failure_in_one_process_ends_no_training_and_leaves_none_waiting(tiny_model: Path, tmp_path: Path) -> None:
    from tests.train.training.failing_on_one import LAST, PLACES

    script = Path(__file__).with_name("failing_on_one.py")
    done = launched("cpu-2", script, tiny_model, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    run = RunFolder(tmp_path / "in_process")
    assert run.evaluated_steps() == {0, LAST}
    failed = {row["step"]: row["reason"] for row in run.metric_rows() if row["status"] == "failed"}
    assert sorted(failed) == sorted(PLACES)
    for step, (process, _, name) in PLACES.items():
        assert name == "add_results" or f"process {process} of 2: " in failed[step], failed[step]
    queue = Queue(tmp_path / "queue")
    assert [entry.step for entry in queue.entries("waiting")] == [0, 1]
    rows = RunFolder(tmp_path / "queue").metric_rows()
    assert {row["step"] for row in rows if row["status"] == "failed"} == {2, 3}


def test_a_process_that_fails_makes_all_of_them_fail_and_none_waits() -> None:
    def gather(mine: Any) -> list[Any]:
        return [("part", ""), mine]

    assert Shard(1, 2, gather).collect(lambda: "own") == ["part", "own"]
    with pytest.raises(ShardError, match="process 1 of 2: ZeroDivisionError"):
        Shard(1, 2, gather).collect(lambda: 1 / 0)
    assert [Shard(index, 3, gather).places(10, 5) for index in range(3)] == [[0, 3], [1, 4], [2]]


def test_all_processes_try_the_run_directory_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as together:
        list(together.map(lambda _: RunFolder(tmp_path / "run").require_writable(), range(2000)))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".write.lock"]


# ------------------------------------------------------------------------------ launch configurations


def test_accelerate_starts_the_command_in_each_process() -> None:
    """From its start, as users do; the trainings above are forks."""
    done = launched_from_its_start("cpu-2", "-m", "sftgen_train", "accelerate-config")
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(done.stdout.split()) == sorted(2 * accelerate_configs())


@pytest.mark.parametrize("name", accelerate_configs())
def test_accelerate_takes_every_configuration(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    path = accelerate_config(name)
    config = load_config_from_file(str(path))
    machines, gpus = (2, 8) if "2x8" in name else (1, int(name.split("-")[1]))
    assert (config.num_machines, config.num_processes) == (machines, machines * gpus)
    assert config.use_cpu == name.startswith("cpu")
    if "zero" in name:  # accelerate goes on only where DeepSpeed is installed
        known = vars(launch_command_parser().parse_args(["script"]))
        assert config.deepspeed_config.keys() <= known.keys()
        assert config.deepspeed_config["zero_stage"] == int(name[-1])
        return
    # A command line of two machines, as the comment in these files has it.
    where = ["--machine_rank", "1", "--main_process_ip", "10.0.0.1"] if machines > 1 else []
    given = launch_command_parser().parse_args(["--config_file", str(path), *where, "-m", "sftgen_train", "train"])
    taken, _, _ = _validate_launch_command(given)
    assert taken.num_processes == machines * gpus
    assert bool(taken.use_fsdp) == ("fsdp2" in name)
    if taken.use_fsdp:
        assert int(taken.fsdp_version) == 2
        assert taken.fsdp_state_dict_type == "FULL_STATE_DICT"


def test_the_command_names_the_files(command: Command, installed: Command) -> None:
    assert installed("sftgen", "accelerate-config").stdout.split() == accelerate_configs()
    assert Path(command("sftgen", "accelerate-config", "gpu-8-fsdp2").stdout.strip()).is_file()
    unknown = command("sftgen", "accelerate-config", "gpu-9")
    assert unknown.returncode == 2
    assert "expected one of cpu-2, " in unknown.stderr


def test_a_child_is_no_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "ACCELERATE_USE_FSDP", "FSDP_VERSION"):
        monkeypatch.setenv(name, "1")
    kept = alone()
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "ACCELERATE_USE_FSDP", "FSDP_VERSION"} & set(kept)
    assert "PATH" in kept
