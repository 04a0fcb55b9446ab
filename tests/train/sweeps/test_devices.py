"""One process a GPU, without a GPU: what each sees, who takes what a dead one had, and what cannot be meant."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.sweeps import executing, planning
from sftgen_train.sweeps.devices import groups_of, workers_on
from sftgen_train.sweeps.executing import Engine, empty_queue
from sftgen_train.sweeps.planning import free_memory
from sftgen_train.sweeps.schema import SweepError
from tests.conftest import Command
from tests.train.sweeps import dying
from tests.train.sweeps.conftest import training
from tests.train.sweeps.dying import Order

BACKEND: Any = None
"""Nothing is generated."""


def queue_of(folder: Path, steps: list[int]) -> Queue:
    queue = Queue(folder)
    for step in steps:
        queue.add(Entry(step, f"leases/step-{step}", "model"))
    return queue


def test_each_sees_its_own_gpus_and_what_a_dead_one_had_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executing, "work", dying.work)
    queue = queue_of(tmp_path, [10, 20, 40])
    with caplog.at_level(logging.WARNING), workers_on(["0", "1,2"]) as workers:
        empty_queue(workers, tmp_path, BACKEND, Order(first=(40, 10, 20)), 3)  # type: ignore[arg-type]
    assert [entry.step for entry in queue.entries("done")] == [10, 20, 40]
    log = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert {seen for seen, _ in log} == {"0", "1,2"}
    assert {step for _, step in log[:2]} == {"40", "10"}  # in the order of the plan
    [lost] = [step for seen, step in log if seen == "0"]
    assert ["1,2", lost] in log[2:]
    assert "What it had in its hands waits again" in caplog.text


def test_when_all_have_died_the_sweep_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "work", dying.die)
    queue_of(tmp_path, [10, 20])
    with workers_on(["0"]) as workers, pytest.raises(SweepError, match="none is left for what waits"):
        empty_queue(workers, tmp_path, BACKEND, Order(), 2)  # type: ignore[arg-type]


def test_a_model_that_takes_several_gpus_gets_them() -> None:
    here = ("0", "1", "2", "3", "4")
    assert groups_of("auto", 2, here) == ("0,1", "2,3")
    assert groups_of("4,1", 1, here) == ("4", "1")
    assert groups_of("auto", 1, ("GPU-a", "MIG-b")) == ("GPU-a", "MIG-b")
    assert groups_of("auto", 2, ()) == ()


@pytest.mark.parametrize(
    ("given", "size", "here", "told"),
    [
        ("0,7", 1, ("0", "1"), "'7': those of this machine are 0, 1, each once"),
        ("0,0", 1, ("0", "1"), "'0': those of this machine are 0, 1"),
        ("0", 1, (), "this machine shows no GPU.*--engine local"),
        ("0,1", 4, ("0", "1"), "ask for 4 GPUs a model, and there are 2"),
        ("0,2,3", 2, ("0", "1", "2", "3"), "1 process x 2 GPUs = 2 of 3, and 3 would be idle. Name a multiple of 2"),
    ],
)
def test_devices_that_are_not_there_are_told(given: str, size: int, here: tuple[str, ...], told: str) -> None:
    with pytest.raises(SweepError, match=told):
        groups_of(given, size, here)


def test_what_cannot_be_meant_of_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "gpus_here", lambda: ("0", "1"))
    with pytest.raises(SweepError, match=r"--devices '0' and device=cuda:1 in model_args"):
        Engine(devices="0").require({"device": "cuda:1"})
    with pytest.raises(SweepError, match=r"model_args: tensor_parallel_size=two: expected a whole number"):
        Engine().require({"tensor_parallel_size": "two"})
    with pytest.raises(SweepError, match=r"the executor 'ray' places its workers itself"):
        Engine("ray", devices="auto").require({})
    assert Engine(devices="auto").groups({}) == ("0", "1")


def test_gpus_that_are_left_over_are_told_before_anything_starts_and_in_the_plan(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    line: list[Any] = [
        "sftgen", "sweep", "--checkpoints", training(tiny_model, tmp_path / "a", [10]), "--tasks", "sftgen_parity",
        "--out", tmp_path / "out", "--model-args", "tensor_parallel_size=2",
    ]  # fmt: skip
    five = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1,2,3,4"}
    told = "GPUs: 2 processes x 2 GPUs = 4 of 5; 4 idle, since a model takes 2"
    assert told in command(*line, "--devices", "auto", "--plan", env=five).stdout
    assert json.loads(command(*line, "--devices", "auto", "--plan", "--json", env=five).stdout)["devices"] == told
    assert "GPUs: 2 of 5; --devices auto uses all" in command(*line, "--plan", env=five).stdout
    refused = command(*line, "--devices", "0,1,2", env=five)
    assert refused.returncode == 2
    assert "1 process x 2 GPUs = 2 of 3, and 2 would be idle" in " ".join(refused.stderr.split())


def test_idle_gpus_are_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(executing, "gpus_here", lambda: ("0", "1", "2"))
    Engine(devices="auto").require({"tensor_parallel_size": 2})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 process x 2 GPUs = 2 of 3; 2 idle" in caplog.text


def test_the_smallest_of_several_devices_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    rooms = {0: (70, 80), 1: (30, 80), 2: (79, 80)}
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, mem_get_info=rooms.__getitem__))
    monkeypatch.setattr(planning, "gpus_here", lambda: ("4", "5", "6"))
    assert free_memory("sftgen-hf", {}, ["4", "5", "6"]) == ("GPU 5", 30)
    assert free_memory("sftgen-vllm", {"gpu_memory_utilization": 0.5}, ["4,6", "5,6"]) == ("GPU 5,6", 70)


def test_a_machine_without_gpus_says_so_before_anything_is_written(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    folder = training(tiny_model, tmp_path / "a", [10])
    line = ["sftgen", "sweep", "--checkpoints", folder, "--tasks", "sftgen_parity", "--out", tmp_path / "out"]
    done = command(*line, "--devices", "0,1")
    assert done.returncode == 2
    assert "'0': this machine shows no GPU" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
