"""A run that nobody interrupted, for the tests of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.train.training.launching import configuration


def eval_arguments(model: Path, run: Path, limit: int = 24) -> list[str]:
    """`sftgen eval` with sampled responses, two at a time."""
    return [
        "eval", "--run", str(run), "--tasks", "sftgen_parity,sftgen_refusal", "--model", "sftgen-hf", "--model_args",
        f"pretrained={model},seed=3", "--limit", str(limit), "--batch_size", "2", "--gen_kwargs",
        "max_gen_toks=12,do_sample=True,temperature=1.0",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def whole(command: Command, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of an uninterrupted run."""
    run = tmp_path_factory.mktemp("whole")
    done = command("sftgen", *eval_arguments(tiny_model, run))
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="session")
def trained_alone(command: Command, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a training in one process that evaluates inside; those in several are compared with it."""
    file = configuration(tiny_model, tmp_path_factory.mktemp("one"), "in_process")
    done = command("sftgen", "train", "--config", file)
    assert done.returncode == 0, done.stderr[-3000:]
    return file.parent / "run"
