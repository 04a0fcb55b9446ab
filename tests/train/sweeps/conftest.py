"""Folders of checkpoints that a trainer could have left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

SETTINGS: dict[str, Any] = {"tasks": ["sftgen_parity"], "limit": 3, "gen_kwargs": {"max_gen_toks": 8}}


def checkpoint(model: Path, folder: Path, step: int) -> Path:
    """The tiny model, a little other at each step."""
    path = folder / f"checkpoint-{step}"
    shutil.copytree(model, path)
    weights = load_file(path / "model.safetensors")
    name = next(name for name in weights if name.endswith("norm.weight"))
    weights[name] = weights[name] + 0.01 * step
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    (path / "trainer_state.json").write_text(json.dumps({"max_steps": 40, "global_step": step}))
    (path / "optimizer.pt").write_bytes(b"state")
    return path


def training(model: Path, folder: Path, steps: Iterable[int]) -> Path:
    """A folder of such checkpoints."""
    for step in steps:
        checkpoint(model, folder, step)
    return folder


def write(folder: Path, **values: Any) -> Path:
    """A sweep's file."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, "out": str(folder / "out"), **values}))
    return path
