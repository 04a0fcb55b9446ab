"""`sftgen selftest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from sftgen_train.cli.console import console

if TYPE_CHECKING:
    from sftgen_train.trajectory.rate import Rate

app = typer.Typer(help="Check that promises hold.", no_args_is_help=True)


@app.callback()
def selftest() -> None:
    """Check that promises hold."""


@app.command()
def statistics(
    *,
    run: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A/A test of this run: its base model with other seeds at every step."),
    ] = None,
    document: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Measure everything and write this document, with plots in the folder of its name."),
    ] = None,
    repetitions: Annotated[int, typer.Option(min=20, help="Simulated runs of each kind, without --document.")] = 200,
    scale: Annotated[float, typer.Option(min=0.001, help="With --document: times the usual number of runs.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes; the numbers do not depend on it.")] = 1,
) -> None:
    """How often verdicts are wrong where the truth is known: exit code 1 if a rate misses its goal."""
    from sftgen_train.trajectory.error_plan import quick, whole

    if run and document:
        raise typer.BadParameter("name --run or --document, not both")
    if run:
        rates: Sequence[Rate] = _of_run(run, repetitions, seed)
    elif document:
        from sftgen_train.gating.simulation import further
        from sftgen_train.report.error_document import write_document

        with _seen() as seen:
            measured = whole(scale, further=[further(scale, seed)], seed=seed, processes=processes, seen=seen)
        for path in write_document(measured, document):
            console.print(f"written: {path}", soft_wrap=True, markup=False, highlight=False)
        rates = measured.missed
    else:
        with _seen() as seen:
            measured = quick(repetitions, seed=seed, processes=processes, seen=seen)
        rates = [rate for section in measured.sections for rate in section.rates]
    if rates:
        _print_rates(rates)
    missed = sum(rate.met == "missed" for rate in rates)
    if missed:
        console.print(f"{missed} of the rates miss their goal")
        raise typer.Exit(1)
    console.print("no rate misses its goal by more than chance")


def _of_run(folder: Path, repetitions: int, seed: int) -> list[Rate]:
    from dataclasses import replace

    from sftgen_judges.errors import SftgenError
    from sftgen_judges.records.query import open_records
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.trajectory.deltas import deltas_of
    from sftgen_train.trajectory.error_rates import again
    from sftgen_train.trajectory.loading import load_curves

    with open_records(folder) as records:
        tasks = load_curves(records)
    deltas = deltas_of(RunFolder(folder).manifest())
    rates = [
        replace(rate, data=f"{task.task}, {rate.data}")
        for number, task in enumerate(tasks)
        for rate in again(
            task.curves, repetitions, share=task.share, delta=deltas.of(task.task), seed=seed + 100_003 * number
        )
    ]
    if not rates:
        raise SftgenError(f"{folder}: no task with two evaluated steps; evaluate another checkpoint first")
    return rates


def _print_rates(rates: Sequence[Rate]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from sftgen_judges.records.schema import printable

    # Data stand above their claims, so that the table has room in 80 characters.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("claim", "goal", "how often", "s.e.", "met"):
        table.add_column(column, no_wrap=column != "claim", overflow="fold")
    before = ""
    for rate in rates:
        data = escape(printable(f"{rate.data}: {rate.truth}"))
        if data != before:
            table.add_section()
            table.add_row(f"[bold]{data}[/]")
            before = data
        often, error = f"{100 * rate.share:.1f} %", f"{100 * rate.error:.1f}"
        table.add_row(rate.claim, rate.goal, often, error, rate.met)
    console.print(table)


@contextmanager
def _seen() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("simulating")
        yield lambda done, of: progress.update(bar, completed=done, total=of)
