"""`sftgen distance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import console


def show_distance(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    model: Annotated[Optional[str], typer.Option(help="Published model, if the run does not name it.")] = None,  # noqa: UP045
    data: Annotated[str | None, typer.Option(help="Published training data, e.g. Math-CoT, for later steps.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a run with the published numbers: ours less published, inside or outside both sampling errors."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sftgen_judges.records.schema import printable
    from sftgen_train.report import distance

    found = distance.distances(run, model=model, data=data)
    if as_json:
        print(distance.as_json(found))
        return
    if found.opening:
        console.print(f"[red]{escape(printable(found.opening))}[/]", highlight=False)
    title = f"{found.model}" + (f", {found.data}" if found.data else "") + ": ours and published"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in distance.HEAD:
        table.add_column(column, overflow="fold")
    for cells in distance.rows_of(found.found):
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)
    console.print(f"published: {escape(found.source)}", highlight=False, style="dim")
