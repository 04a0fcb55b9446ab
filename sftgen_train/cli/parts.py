"""`sftgen parts`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.completing import OnlyTasks
from sftgen_train.cli.console import console, full_names


def show_parts(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    tasks: OnlyTasks = "",
    measure: Annotated[str, typer.Option(help="What is split: score, paper, or another measure.")] = "score",
    before: Annotated[Optional[int], typer.Option("--from", help="First step; the base by default.")] = None,  # noqa: UP045
    after: Annotated[Optional[int], typer.Option("--to", help="Second step; lowest and last by default.")] = None,  # noqa: UP045
    budgets: Annotated[
        str, typer.Option(help="Truncate responses after so many tokens: does the verdict survive? E.g. 500,2000.")
    ] = "",
    tokenizer: Annotated[Optional[str], typer.Option(help="For --budgets: folder of the model's tokenizer.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what changes of scores are made of: truncation, finished answers, answers before the cut."""
    if budgets:
        _print_limits(run, budgets, sorted(full_names(tasks)), tokenizer, as_json)
        return
    from sftgen_train.report import composition
    from sftgen_train.report.sections import print_sections, with_rows
    from sftgen_train.report.why_tables import parts_sections

    names = full_names(tasks, [run])
    found = composition.composition(run, tasks=names, measure=measure, before=before, after=after)
    if as_json:
        print(composition.as_json(found))
        return
    print_sections(with_rows(parts_sections(found.changes, found.safety, measure)), console)
    if not found.changes and not found.safety:
        console.print("no task has two steps that share documents")


def _print_limits(run: Path, budgets: str, tasks: Sequence[str], tokenizer: str | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from sftgen_judges.records.journal import clean
    from sftgen_judges.records.query import open_records
    from sftgen_judges.records.schema import printable
    from sftgen_train.report.other_limits import verdicts_at_limits
    from sftgen_train.report.reading import short
    from sftgen_train.report.sections import Section, print_sections, with_rows
    from sftgen_train.results.budgets import parse_budgets

    limits = parse_budgets(budgets)
    if tasks:
        with open_records(run) as records:
            held = {row["task"] for row in records.sql("SELECT DISTINCT task FROM samples").rows()}
        # Of a name with and without `sftgen_`, the one that the run has; a mistake is told by what scores.
        tasks = [name for name in tasks if name in held] or [tasks[0]]
    found = verdicts_at_limits(run, limits, tasks, tokenizer=tokenizer)
    if as_json:
        print(json.dumps(clean([{**asdict(each), "survives": each.survives} for each in found]), indent=2))
        return
    rows = tuple((printable(short(each.task)), f"{each.limit:,}", each.sentence()) for each in found)
    title = "Does the verdict survive another token limit?"
    print_sections(with_rows([Section(title, ("task", "tokens", "verdict"), rows)]), console)
    if not found:
        console.print("no evaluated steps: there is no verdict that could survive")
