"""The hooks a plugin may implement. Each is handed `register` and calls it once per thing it adds.

`target` is the thing itself or a string `"package.module:attribute"`, imported at first use: prefer
the string, so that listing plugins imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("sftgen")
hookimpl = pluggy.HookimplMarker("sftgen")

Register = Callable[[str, Any], None]


@hookspec
def register_tasks(register: Callable[[str | Path], None]) -> None:
    """Add benchmarks: `register(directory)` for a folder of lm_eval task YAML files."""


@hookspec
def register_graders(register: Register) -> None:
    """Add graders: `register(name, target)`, target a `Grader` that scores a response by a rule."""


@hookspec
def register_judges(register: Register) -> None:
    """Add judges: `register(name, target)`, target a `Judge` that scores a batch of responses."""


@hookspec
def register_diagnostics(register: Register) -> None:
    """Add diagnostics: `register(name, target)`, target a `Diagnostic` that summarises records."""


@hookspec
def register_checkpoint_sources(register: Register) -> None:
    """Add checkpoint sources: `register(name, target)`, target a `CheckpointSource` that lists a folder."""


@hookspec
def register_sandboxes(register: Register) -> None:
    """Add sandboxes: `register(name, target)`, target a `Sandbox` that runs programs written by a model."""
