"""`sftgen queue`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.console import console, folded


def show_queue(
    run: Annotated[Path, typer.Argument(help="Run directory of a training with the queue.")],
    *,
    retry: Annotated[str, typer.Option(help="Let these steps wait again, separated by commas; or all.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the checkpoints of a training's queue, and let failed ones wait again."""
    from sftgen_judges.records.schema import printable
    from sftgen_train.queue.entries import Queue
    from sftgen_train.queue.progress import describe
    from sftgen_train.queue.retrying import retry_steps
    from sftgen_train.queue.steps import parse_steps

    queue = Queue(run)
    if not queue.suite.is_file():
        raise SftgenError(f"{str(run)!r} holds no queue: no {queue.suite}; is it the run directory of a training?")
    again = retry_steps(queue, parse_steps(retry)) if retry else []
    rows = _rows(run)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if retry:
        console.print(f"waiting again: {', '.join(map(str, again)) or 'no step; none had failed or was skipped'}")
    table = Table(*folded("step", "state", "failures", "weights", "what happened"))
    for row in rows:
        cells = [printable(str(row[name])) for name in ("step", "state", "failures", "weights", "note")]
        table.add_row(*map(escape, cells))
    console.print(table)
    console.print(printable(describe(run)), markup=False, highlight=False)


def _rows(run: Path) -> list[dict[str, Any]]:
    """One row a checkpoint, by step; a file that cannot be read is a row too."""
    from sftgen_train.queue.entries import STATES, Queue

    queue = Queue(run)
    rows: list[dict[str, Any]] = []
    for state in STATES:
        for entry in queue.entries(state):
            owner = entry.owner or {}
            at = f"at {owner.get('host', '?')}:{owner.get('pid', '?')}" if state == "running" else ""
            tried = entry.attempts[-1].get("failed") if entry.attempts else None
            note = entry.reason or at or (f"last try: {tried}" if tried and state == "waiting" else "")
            weights = "here" if (run / entry.path).is_dir() else "released"
            rows.append({"step": entry.step, "state": state, "failures": entry.failures, "weights": weights,
                         "note": note[:200]})  # fmt: skip
    for found in queue.unreadable():
        note = f"{found.path.relative_to(run)} cannot be read: {found.reason}"
        rows.append({"step": found.step, "state": "unreadable", "failures": 0, "weights": "-", "note": note})
    return sorted(rows, key=lambda row: -1 if row["step"] is None else row["step"])
