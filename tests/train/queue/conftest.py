"""A training whose checkpoints wait for evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftgen_train.curation.sets import write_set
from tests.conftest import Command

TASKS = ["sftgen_parity", "sftgen_refusal"]


def configuration(model: Path, folder: Path) -> dict[str, Any]:
    rows = [{"prompt": f"What is {n}?", "completion": str(n)} for n in range(64)]
    write_set(folder / "data", {"made of": "numbers"}, [rows], lambda index, part: part, shards=1)
    return {
        "model_name_or_path": str(model), "train_data": str(folder / "data"),
        "output_dir": str(folder / "run"), "harness_tasks": TASKS, "harness_at_steps": [1, 2, 3, 4], "harness_limit": 3,
        "harness_worker": "none", "harness_gen_kwargs": {"max_gen_toks": 8}, "max_steps": 5, "save_total_limit": 1,
        "per_device_train_batch_size": 4, "learning_rate": 1.0e-3, "use_cpu": True, "bf16": False, "seed": 3,
        "report_to": "none", "disable_tqdm": True, "save_strategy": "steps", "save_steps": 2,
    }  # fmt: skip


@pytest.fixture
def training(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    return configuration(tiny_model, tmp_path)


@pytest.fixture(scope="session")
def trained(command: Command, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training whose checkpoints all wait."""
    folder = tmp_path_factory.mktemp("trained")
    done = command("sftgen", "train", "--config", write(configuration(tiny_model, folder), folder))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def queued(trained: Path, tmp_path: Path) -> Path:
    """The same in a folder of its own: a run directory may be moved."""
    shutil.copytree(trained, tmp_path / "queued")
    return tmp_path / "queued"


def write(config: dict[str, Any], folder: Path) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
