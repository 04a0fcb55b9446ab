"""What this floor registers through the plugin door."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sftgen_judges.plugins.contracts import Recipe
from sftgen_judges.plugins.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    import typer

SECTIONS = {
    "verdict": "VERDICT", "course": "COURSE", "what-recovered": "READINGS", "arms": "ARMS", "tasks": "TASKS",
    "findings": "FINDINGS", "safety-against-reasoning": "SAFETY", "distance": "DISTANCE", "numbers": "NUMBERS",
    "provenance": "PROVENANCE",
}  # fmt: skip
"""sftgen's own sections of a report: their names, and what they are called in `sftgen_train.report.own`."""


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
def register_executors(register: Register) -> None:
    for name in ("local", "ray"):
        register(name, f"sftgen_train.curation.engines:{name.upper()}")


@hookimpl
def register_trackers(register: Register) -> None:
    for name in ("wandb", "tensorboard", "trackio"):
        register(name, f"sftgen_train.results.trackers:{name.upper()}")


@hookimpl
def register_exporters(register: Register) -> None:
    for name in ("csv", "parquet", "hf"):
        register(name, f"sftgen_train.exchange.exporters:{name.upper()}")
    register("inspect", "sftgen_train.exchange.inspect_export:INSPECT")
    register("every_eval_ever", "sftgen_train.exchange.every_eval_ever:EVERY_EVAL_EVER")


@hookimpl
def register_importers(register: Register) -> None:
    register("lm-eval", "sftgen_train.exchange.lm_eval_samples:LM_EVAL")
    register("inspect", "sftgen_train.exchange.inspect_logs:INSPECT")


@hookimpl
def register_graders(register: Register) -> None:
    register("reasoning-gym", "sftgen_train.curation.gym:GRADER")


@hookimpl
def register_selectors(register: Register) -> None:
    of_one_prompt = ("right", "wrong", "finished", "pass-rate", "random", "shortest", "longest", "logprob", "best")
    for name in of_one_prompt:
        register(name, f"sftgen_train.curation.selecting.selectors:{name.upper().replace('-', '_')}")
    rooms = {
        "rewriting": ("no-thinking", "answer-only", "truncated", "column"),
        "branching": ("few-branches",),
        "divergence": ("divergence", "divergence-share"),
        "balancing": ("stratified", "same-prompts", "match-tokens", "wrong-share", "shuffled", "nested"),
    }
    for room, names in rooms.items():
        for name in names:
            register(name, f"sftgen_train.curation.selecting.{room}:{name.upper().replace('-', '_')}")


@hookimpl
def register_recipes(register: Register) -> None:
    # A recipe of sftgen is a file: `recipes/NAME.yaml`.
    for file in sorted((Path(__file__).parent / "curation" / "recipes").glob("*.yaml")):
        register(file.stem, Recipe(file.stem, file=file))


@hookimpl
def register_report_sections(register: Register) -> None:
    for name, target in SECTIONS.items():
        register(name, f"sftgen_train.report.own:{target}")
