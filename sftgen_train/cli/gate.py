"""`sftgen gate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import console

COLORS = {"GO": "green", "NO-GO": "red", "INCONCLUSIVE": "yellow"}


def decide_gate(
    policy: Annotated[Path, typer.Argument(help="Policy file, see docs/gate.md.")],
    run: Annotated[Path, typer.Argument(help="Run directory that is judged.")],
    *,
    against: Annotated[Optional[Path], typer.Option(help="Run it is compared with; its own base by default.")] = None,  # noqa: UP045
    json_file: Annotated[Optional[Path], typer.Option("--json", help="Write every number here; - for stdout.")] = None,  # noqa: UP045
    junit: Annotated[Optional[Path], typer.Option(help="Write JUnit XML here.")] = None,  # noqa: UP045
) -> None:
    """Decide if a run keeps its scores: GO (exit code 0), NO-GO (1) or INCONCLUSIVE (2)."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sftgen_judges.errors import SftgenError
    from sftgen_judges.records.journal import write_atomic
    from sftgen_judges.records.schema import printable
    from sftgen_train.gating.output import as_json, as_junit
    from sftgen_train.gating.reading import gate

    try:
        found = gate(policy, run, against)
    except (SftgenError, OSError):
        raise
    except Exception as error:  # Python's own exit code, 1, would say NO-GO
        if os.environ.get("SFTGEN_DEBUG"):
            raise
        raise SftgenError(
            f"nothing is decided: {type(error).__name__}: {error}. SFTGEN_DEBUG=1 shows where; please report it"
        ) from error
    if junit:
        write_atomic(junit, as_junit(found) + "\n")
    if json_file and str(json_file) != "-":
        write_atomic(json_file, as_json(found) + "\n")
    if json_file and str(json_file) == "-":
        print(as_json(found))
        raise typer.Exit(found.exit_code)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("benchmark", "tier", "pairs", "decision", "why"):
        table.add_column(column, overflow="fold")
    for each in found.benchmarks:
        cells = (each.name, each.rule.tier, str(each.pairs), each.outcome, each.told)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)
    color = COLORS[found.outcome]
    console.print(f"[{color}]{found.outcome}[/]: {escape(printable(found.why))}", highlight=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)
