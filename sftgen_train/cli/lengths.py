"""`sftgen lengths`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.completing import OnlyTasks
from sftgen_train.cli.console import console, full_names


def show_lengths(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    tasks: OnlyTasks = "",
    knots: Annotated[Optional[int], typer.Option(min=0, max=2, help="Turns; as few as fit by default.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say where lengths surge and contract, and if training is under-optimised, converged or over-fitted."""
    from sftgen_judges.records.schema import printable
    from sftgen_train.report import lengths
    from sftgen_train.report.reading import short
    from sftgen_train.report.sections import print_sections, with_rows
    from sftgen_train.report.why_tables import length_sections

    found = lengths.lengths(run, tasks=full_names(tasks, [run]), knots=knots)
    if as_json:
        print(lengths.as_json(found))
        return
    told = [(printable(short(each.task)), each.stages, each.regime) for each in found]
    print_sections(with_rows(length_sections(told)), console)
