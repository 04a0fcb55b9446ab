"""Where sftgen's own task files are."""

from __future__ import annotations

from pathlib import Path


def task_configs() -> Path:
    """The folder of sftgen's own task YAML files, beside the packages in a checkout and a wheel."""
    return Path(__file__).resolve().parent.parent.parent / "task_configs"
