"""`sftgen lengths`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import console, full_names


def show_lengths(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    tasks: Annotated[str, typer.Option(help="Only these tasks, separated by commas.")] = "",
    knots: Annotated[Optional[int], typer.Option(min=0, max=2, help="Turns; as few as fit by default.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say where lengths surge and contract, and if training is under-optimised, converged or over-fitted."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sftgen_judges.records.schema import printable
    from sftgen_train.report import lengths
    from sftgen_train.report.reading import short

    found = lengths.lengths(run, tasks=full_names(tasks), knots=knots)
    if as_json:
        print(lengths.as_json(found))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("task", "length", "turns at step (95 % interval)", "regime", "why"):
        table.add_column(column, overflow="fold")
    for each in found:
        stages = each.stages
        turns = [f"{knot.step:.0f} ({knot.low:.0f} to {knot.high:.0f})" for knot in stages.knots] if stages else []
        odd = "; checkpoints differ in more than their stage" if stages and stages.misfit <= 0.05 else ""
        said = stages.sentence() + odd if stages else "too few steps or documents"
        cells = (short(each.task), said, ", ".join(turns) or "-", each.regime.word, each.regime.sentence)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)
