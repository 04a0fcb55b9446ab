"""`sftgen trajectory`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.completing import OnlyTasks
from sftgen_train.cli.console import console, full_names, say, waiting


def show_trajectories(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN...")],
    *,
    form: Annotated[
        str, typer.Option("--format", help="table, json, csv, parquet (with --out), markdown or latex.")
    ] = "table",
    tasks: OnlyTasks = "",
    measure: Annotated[str, typer.Option(help="A share of which more is better: score, paper, or another measure.")] = (
        "score"
    ),
    delta: Annotated[str, typer.Option(help="The loss that does not matter, e.g. 0.02,math500=0.05.")] = "",
    last: Annotated[int, typer.Option(min=1, max=2, help="The end is the mean of so many last steps.")] = 1,
    complete: Annotated[bool, typer.Option(help="Only documents with all repeats at all steps.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="All tables: parts of changes, landmarks, lengths, safety.")
    ] = False,
    without: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Leave out the questions of this file of `sftgen data contamination --out`."),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Write to this file.")] = None,  # noqa: UP045
) -> None:
    """Say what became of each score: dips, recovers, ends above base, or cannot tell, and how sure that is."""
    from sftgen_judges.errors import SftgenError
    from sftgen_judges.records.schema import printable
    from sftgen_train.report.explaining import explain
    from sftgen_train.report.forms import check_format
    from sftgen_train.report.terminal import print_explained
    from sftgen_train.report.verdict_tables import write_verdicts
    from sftgen_train.trajectory.deltas import parse_deltas

    check_format(form, out)
    left_out: frozenset[tuple[str, str]] = frozenset()
    if without:
        from sftgen_train.curation.contamination.dropping import read_questions

        left_out = read_questions(without)
    deltas = parse_deltas(delta) if delta else None
    full_names(",".join(deltas.tasks) if deltas else "", runs, "--delta")
    found = explain(
        runs,
        tasks=full_names(tasks, runs),
        measure=measure,
        deltas=deltas,
        last=last,
        complete=complete,
        waiting=waiting,
        without=left_out,
    )
    if measure != "score" and not any(run.tasks for run in found):
        raise SftgenError(f"--measure {measure}: no task has it; `sftgen report` shows what was measured")
    if form == "table":
        if without:
            say(f"without the {len(left_out):,} questions that {without} names, as far as the run asks them")
        for run in found:
            print_explained(run, console, named=len(found) > 1, full=details)
            for line in run.verdicts.failures:
                console.print(printable(line), style="red", markup=False, highlight=False)
        return
    text = write_verdicts(found, form, out)
    if text is not None:
        print(text)
