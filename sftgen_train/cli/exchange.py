"""`sftgen import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import console

import_app = typer.Typer(help="Bring results of other tools into a run.", no_args_is_help=True)


@import_app.command("lm-eval")
def import_lm_eval(
    run: Annotated[Path, typer.Argument(help="Run directory, new or with other steps.")],
    logs: Annotated[list[str], typer.Argument(help="STEP=PATH for each checkpoint: a sample log or its folder.")],
    *,
    metric: Annotated[Optional[str], typer.Option(help="Metric that becomes the score.")] = None,  # noqa: UP045
) -> None:
    """Make a run of lm_eval's sample logs (--log_samples), one checkpoint a step, without generating anything."""
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.exchange.lm_eval_samples import LogError, find_logs, import_step, parse_steps

    steps = dict(sorted(parse_steps(logs)))
    for path in steps.values():
        find_logs(path)  # a mistake in the last path is told before the first step is written
    folder = RunFolder(run)
    with folder.sole_writer():
        folder.require_writable()
        there = sorted(steps.keys() & folder.evaluated_steps())
        if there:
            raise LogError(f"{run}: has step {there[0]} already; name a new run directory, or leave the step out")
        for step, path in steps.items():
            rows = import_step(folder, step, path, metric)
            scores = (row for row in rows if row["metric"] == "score")
            said = ", ".join(f"{row['task']} {row['mean']:.3f} ({row['n']})" for row in scores)
            console.print(f"step {step}: {said}", markup=False, highlight=False, soft_wrap=True)
        folder.compact()
    console.print(f"next: sftgen report {run}", markup=False, highlight=False, soft_wrap=True)
