"""What this floor registers through the plugin door."""

from __future__ import annotations

from sftgen_judges.plugins.hookspecs import Register, hookimpl


@hookimpl
def register_checkpoint_sources(register: Register) -> None:
    for name in ("trainer", "steps", "fsdp", "dcp", "hub"):
        register(name, f"sftgen_train.checkpoints.sources:{name.upper()}")
