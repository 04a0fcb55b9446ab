"""One training configuration, started in one process or in several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sftgen_train.training import distributed
from sftgen_train.training.distributed import accelerate_config, alone
from tests import ROOT, commands
from tests.commands import Forked, Warm
from tests.forks import FORKED_FROM

STEPS = 3


def configuration(model: Path, folder: Path, form: str, **fields: Any) -> Path:
    """Write `train.yaml` and its data; evaluates at steps 0, 1 and 3, saves at 2 and 3."""
    # Responses of very different lengths: a mean over micro-batches is not one over tokens.
    rows = [
        {"message": [{"role": "user", "content": f"What is {n}?"}], "response": "a" * (n * 7 % 23) + str(n)}
        for n in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config: dict[str, Any] = {
        "model_name_or_path": str(model), "train_data": str(folder / "rows.jsonl"), "output_dir": str(folder / "run"),
        "max_steps": STEPS, "per_device_train_batch_size": 2, "global_batch_size": 8, "learning_rate": 1.0e-3,
        "use_cpu": True, "bf16": False, "seed": 3, "report_to": "none", "disable_tqdm": True, "logging_steps": 1,
        "save_strategy": "steps", "save_steps": 2, "harness_tasks": ["sftgen_parity", "sftgen_refusal"],
        "harness_at_steps": [1], "harness_limit": 5, "harness_form": form, "harness_worker": "none",
        "harness_gen_kwargs": {"max_gen_toks": 8, "do_sample": True, "temperature": 1.0}, **fields,
    }  # fmt: skip
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


TWO = ("--num_processes", "2")


def launched_from_its_start(name: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` of two processes with the ready configuration of that name, as users start it."""
    return commands.run_installed("accelerate", *_launch(name, TWO, command), cwd=ROOT, env=alone())


def launched(
    name: str, *command: str | Path, flags: tuple[str, ...] = TWO, warm: Warm = commands.HERE
) -> subprocess.CompletedProcess[str]:
    """The same with flags of its own, as a fork; each process that it starts is one as well, which saves seconds."""
    return warm.run(
        "accelerate", *_launch(name, flags, command), cwd=ROOT, env=alone(), before=start_processes_as_forks
    )


def _launch(name: str, flags: tuple[str, ...], command: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
    return ("launch", "--config_file", accelerate_config(name), *flags, *command)


def start_processes_as_forks() -> None:
    """In the launcher: in place of `Popen`, where torch and accelerate start a process of Python."""
    from accelerate.commands import launch
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    launch.subprocess = _WithForks
    subprocess_handler.Popen = _as_fork


def start_workers_as_forks() -> None:
    """The same in a training, which starts `sftgen worker`."""
    distributed.subprocess = _WithForks  # type: ignore[assignment]


def _as_fork(args: Sequence[str], env: Mapping[str, str], **_: Any) -> Forked:
    assert args[0] == sys.executable
    job = {"environment": dict(env), "folder": str(Path.cwd()), "before": ""}
    return Forked("\0" + os.environ[FORKED_FROM], args, job, [1, 2])


class _WithForks:
    """What stands for the module `subprocess`."""

    Popen, CalledProcessError = _as_fork, subprocess.CalledProcessError


def _history(run: Path) -> list[tuple[float, float]]:
    """Loss and gradient norm of every step."""
    state = json.loads((run / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    return [(row["loss"], row["grad_norm"]) for row in state["log_history"] if "loss" in row]


def assert_trained_the_same(one: Path, two: Path) -> None:
    """Two processes, and one with twice the accumulation."""
    assert [_accumulation(one), _accumulation(two)] == [4, 2]
    expected = _history(one)
    assert len(expected) == STEPS
    for found, wanted in zip(_history(two), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
    assert_same_weights(*(load_file(run / "model.safetensors") for run in (two, one)), 1e-6)


def assert_same_weights(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], within: float) -> None:
    """Every tensor that is wanted is there, with values as near as that."""
    for name, weights in wanted.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=within)


def _accumulation(run: Path) -> int:
    """Micro-batches a step."""
    return int(torch.load(run / "training_args.bin", weights_only=False).gradient_accumulation_steps)
