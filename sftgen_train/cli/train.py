"""`sftgen train` and `sftgen accelerate-config`."""

from __future__ import annotations

import os
from typing import Annotated, Optional

import typer

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.completing import complete_launch, complete_preset
from sftgen_train.cli.console import show_run


def train(
    context: typer.Context,
    preset: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A published run: MODEL/DATA or MODEL/DATA/SCHEDULE.", autocompletion=complete_preset),
    ] = None,
    show: Annotated[bool, typer.Option("--show", "--print", help="Only print the preset: YAML, cost, notes.")] = False,
) -> None:
    """Fine-tune with TRL's SFTTrainer and evaluate while training.

    `sftgen train --config FILE [--any.field value]`: fields of TRL's SFTConfig and ModelConfig, and
    train_data, harness_tasks, harness_at_steps and the other harness fields (docs/training.md).
    `sftgen train --preset qwen3-14b/math-cot-20k --set lr=1e-5 epochs=1`: a published run, with changes.
    """
    from sftgen_train.training import presets
    from sftgen_train.training.fields import require_right_fields, unknown_tasks

    arguments, settings = presets.split_settings(context.args)
    chosen = presets.find(preset) if preset else None
    if show:
        if not chosen or arguments:
            raise SftgenError("--show prints a preset: name one with --preset, and changes with --set name=value")
        if wrong := [mistake.text for mistake in unknown_tasks(settings)]:
            raise SftgenError("; ".join(wrong))
        print(presets.describe(chosen, settings), end="")
        return

    given = {**(chosen.fields() if chosen else {}), **settings}
    fields = require_right_fields(arguments, given)

    from sftgen_train.curation.contamination.before_training import require_unseen

    require_unseen(fields, tell=os.environ.get("RANK", "0") == "0")

    from sftgen_train.training.running import train as run_training

    run = run_training(arguments, given)
    if run:
        show_run(run.path)


def accelerate_config(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="A ready configuration; without a name all are listed.", autocompletion=complete_launch),
    ] = None,
) -> None:
    """Print the path of a ready configuration: `accelerate launch --config_file "$(sftgen accelerate-config NAME)"`."""
    from sftgen_train.training import distributed

    print(distributed.accelerate_config(name) if name else "\n".join(distributed.accelerate_configs()))
