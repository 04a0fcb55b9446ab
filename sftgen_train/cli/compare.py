"""`sftgen compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.completing import OnlyTasks, complete_tasks
from sftgen_train.cli.console import console, full_names, write_files


def compare_runs(
    runs: Annotated[
        list[str], typer.Argument(help="Runs, or checkpoints RUN@STEP; the first is compared with.", metavar="RUN...")
    ],
    *,
    form: Annotated[
        str, typer.Option("--format", help="table, json, csv, parquet (with --out), markdown or latex.")
    ] = "table",
    tasks: OnlyTasks = "",
    measure: Annotated[str, typer.Option(help="What is better when it is higher: score, paper, or another.")] = "score",
    in_domain: Annotated[
        str,
        typer.Option(help="In-domain tasks; by default those that the first run names.", autocompletion=complete_tasks),
    ] = "",
    levels: Annotated[str, typer.Option(help="In-domain scores to compare at, for example 0.5,0.6.")] = "",
    options: Annotated[str, typer.Option(help="Among how many options an answer may be guessed: TASK=4,TASK=10.")] = "",
    complete: Annotated[bool, typer.Option(help="Only documents with all repeats at all steps.")] = False,
    bayes: Annotated[bool, typer.Option(help="Bayes@N too; it needs all answers of every document.")] = False,
    out: Annotated[Optional[Path], typer.Option(help="Write to this file.")] = None,  # noqa: UP045
    to: Annotated[Optional[Path], typer.Option(help="Folder for charts (CSV, SVG, PNG) and tables.")] = None,  # noqa: UP045
) -> None:
    """Compare runs or checkpoints on the documents that they share: differences, landmarks, answers won and lost.

    Of one run alone its landmarks are told, and what its reasoning cost in safety.
    """
    from sftgen_train.report.comparing import compare
    from sftgen_train.report.comparison_tables import write_comparison
    from sftgen_train.report.forms import check_format
    from sftgen_train.report.terminal import print_comparison

    check_format(form, out)
    found = compare(
        runs,
        tasks=full_names(tasks, [Path(run.rpartition("@")[0] or run) for run in runs]),
        measure=measure,
        in_domain=full_names(in_domain),
        levels=[_number("--levels", part, 0.0, 1.0) for part in _parts(levels)] or None,
        options=dict(map(_options, _parts(options))),
        complete=complete,
        bayes=bayes,
    )
    if form == "table":
        print_comparison(found, console)
    if to:
        from sftgen_train.report.arm_charts import comparison_blocks
        from sftgen_train.report.export import files_of

        write_files(files_of(comparison_blocks(found), "comparison"), to)
    if form == "table":
        return
    text = write_comparison(found, form, out)
    if text is not None:
        print(text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _options(text: str) -> tuple[str, int]:
    task, _, number = text.rpartition("=")
    if not task:
        from sftgen_train.report.arms import CompareError

        raise CompareError(f"--options {text!r}: expected TASK=NUMBER, for example gpqa_diamond=4")
    return task, int(_number("--options", number, 2, 1000))


def _number(option: str, text: str, low: float, high: float) -> float:
    from sftgen_train.report.arms import CompareError

    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise CompareError(f"{option} {text!r}: expected a number from {low:g} to {high:g}")
    return number
