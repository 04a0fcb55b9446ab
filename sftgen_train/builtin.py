"""What this floor registers through the plugin door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftgen_judges.plugins.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def register_commands(app: typer.Typer) -> None:
    # `cli.main` has these commands already; here their names are reserved and shown by `sftgen plugins`.
    from sftgen_train.cli.main import app as own

    app.registered_commands += own.registered_commands
    app.registered_groups += own.registered_groups


@hookimpl
def register_checkpoint_sources(register: Register) -> None:
    for name in ("trainer", "steps", "fsdp", "dcp", "hub"):
        register(name, f"sftgen_train.checkpoints.sources:{name.upper()}")


@hookimpl
def register_diagnostics(register: Register) -> None:
    register("consistency", "sftgen_train.diagnosing.consistency:CONSISTENCY")
    register("stability", "sftgen_train.diagnosing.stability:STABILITY")
    register("training_tokens", "sftgen_train.diagnosing.training_tokens:TRAINING_TOKENS")
    register("token_shift", "sftgen_train.diagnosing.token_shift:TOKEN_SHIFT")


@hookimpl
def register_schedules(register: Register) -> None:
    for name in ("log-spaced", "at_steps", "every"):
        register(name, f"sftgen_train.evaluation.schedule:{name.upper().replace('-', '_')}")


@hookimpl
def register_trackers(register: Register) -> None:
    for name in ("wandb", "tensorboard", "trackio"):
        register(name, f"sftgen_train.results.trackers:{name.upper()}")


@hookimpl
def register_exporters(register: Register) -> None:
    for name in ("csv", "parquet", "hf"):
        register(name, f"sftgen_train.exchange.exporters:{name.upper()}")
