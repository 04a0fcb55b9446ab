"""What several commands share: the console, the options, the view of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.table import Column

from sftgen_train.cli.completing import complete_trackers

console = Console()
LogTo = Annotated[
    str,
    typer.Option(
        help="Also log scores to these trackers, for example wandb,tensorboard.", autocompletion=complete_trackers
    ),
]
Metadata = Annotated[str, typer.Option(help="Options of the task as `sftgen eval` takes them, e.g. docs_seed=3.")]
JudgeModel = Annotated[Optional[str], typer.Option(help="Model that judges ask, as SFTGEN_JUDGE_MODEL.")]  # noqa: UP045
JudgeUrl = Annotated[Optional[str], typer.Option(help="Server of that model, as SFTGEN_JUDGE_BASE_URL.")]  # noqa: UP045
JudgeUnclosed = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option(help="Judges are asked about responses without an answer too: *_paper metrics, more calls."),
]
Unsandboxed = Annotated[
    bool, typer.Option("--allow-unsandboxed-code", help="Run model-written code where no sandbox is available.")
]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that hands on what it does not know."""


def allow_unsandboxed(allowed: bool) -> None:
    """Let model-written code run without a sandbox, if it was asked for."""
    from sftgen_tasks.sandbox.levels import ALLOW

    if allowed:
        os.environ[ALLOW] = "1"


def judge_options(model: str | None, base_url: str | None, unclosed: bool | None) -> dict[str, Any]:
    """Judge settings as options of the tasks; but for `judge_unclosed` they hold for this command only."""
    given = {"judge_model": model or None, "judge_base_url": base_url or None, "judge_unclosed": unclosed}
    return {name: value for name, value in given.items() if value is not None}


def show_run(folder: Path, out: Path | None = None, *, others: Sequence[Path] = (), to: Path | None = None) -> None:
    """Print a run's tables and write its report.

    Args:
        folder: The run.
        out: The page; by default `report.html` in the run, and `comparison.html` of several runs.
        others: Runs that are compared with it.
        to: A folder for the data of the figures and for the tables.

    Raises:
        CompareError: Nothing of the runs can be compared.
        RecordError: Not a run directory, or one of a newer schema.
        OSError: The report cannot be written where it was asked for.
    """
    from sftgen_train.report.export import Files
    from sftgen_train.report.html import write_report
    from sftgen_train.report.own import report_of
    from sftgen_train.report.text_blocks import print_report

    reported = report_of([folder, *others], waiting(folder))
    print_report(reported, console)
    if to:
        write_files(Files.of(reported), to)
    page = out or (folder / "comparison.html" if others else None)
    try:
        console.print(f"report: {write_report(reported, page)}", markup=False, soft_wrap=True)
    except OSError as error:
        if out:
            raise
        console.print(f"no report: {folder} cannot be written ({error.strerror}); name a file with --out")


def write_files(files: Any, to: Path) -> None:
    """Write figures and tables of a report (`Files`) into a folder, and say where they are and what is missing.

    Raises:
        OSError: It cannot be written.
    """
    from sftgen_train.report.pictures import BrowserError

    files.write(to)
    console.print(f"figures and tables: {to}", markup=False, soft_wrap=True)
    try:
        missing = files.draw(to)
    except BrowserError as error:
        console.print(f"no SVG and PNG: {error}", markup=False, soft_wrap=True)
    else:
        if missing:
            console.print(f"no SVG and PNG of {', '.join(missing)}: not drawn", markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line as it is: names in it may be a stranger's."""
    from sftgen_judges.records.schema import printable

    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def waiting(folder: Path) -> int:
    """How many checkpoints of a run wait for their evaluation, or are evaluated now."""
    from sftgen_train.queue.entries import Queue

    queue = Queue(folder)
    return len(queue.entries("waiting")) + len(queue.entries("running"))


def listed(text: str) -> list[str]:
    """What a text lists, separated by commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def named_tasks(arguments: Sequence[str]) -> list[str]:
    """The tasks of lm_eval's own flags; none where they name a folder of further tasks."""
    flags = [(flag.partition("="), after) for flag, after in zip(arguments, [*arguments[1:], ""], strict=True)]
    if any(name == "--include_path" for (name, _, _), _ in flags):
        return []
    given = [value if equals else after for (name, equals, value), after in flags if name in {"--tasks", "-t"}]
    return [name for words in given for name in listed(words)]


def one_task(name: str) -> str:
    """The full name of a task that is named with or without `sftgen_`.

    Raises:
        SftgenError: It is a group, or no task.
    """
    from sftgen_judges.errors import SftgenError, did_you_mean
    from sftgen_tasks.harness.catalogue import installed, leaves

    tasks, groups = installed()
    full = next((each for each in (name, f"sftgen_{name}") if each in tasks or each in groups), None)
    if full is None:
        near = did_you_mean(name, tasks) or did_you_mean(f"sftgen_{name}", tasks)
        raise SftgenError(f"no task {name!r}{near or ';'} `sftgen tasks` lists them")
    if full in groups:
        raise SftgenError(
            f"{full!r} is a group; name one of its tasks: {', '.join(sorted(leaves(full, tasks, groups)))}"
        )
    return full


def folded(*names: str) -> list[Column]:
    """Columns of a table in which a long name or path goes on in the next line; Rich would cut it."""
    return [Column(name, overflow="fold") for name in names]


def full_names(tasks: str, runs: Sequence[Path] = (), option: str = "--tasks") -> set[str]:
    """Names of tasks, separated by commas, with and without `sftgen_`.

    Args:
        tasks: The names.
        runs: The runs that are to have them.
        option: The option that named them.

    Raises:
        SftgenError: The runs have no task of a name. Nothing is known of results that are no run directory.
    """
    from sftgen_judges.errors import SftgenError, did_you_mean

    given = listed(tasks)
    held = _tasks_of(runs) if given else set()
    for name in given:
        if held and not held & {name, f"sftgen_{name}"}:
            near = did_you_mean(name, held) or did_you_mean(f"sftgen_{name}", held)
            raise SftgenError(f"{option} {name}: it was not evaluated{near or '; `sftgen report` shows what was'}")
    return {*given, *(f"sftgen_{name}" for name in given)}


def _tasks_of(runs: Sequence[Path]) -> set[str]:
    """The tasks of run directories, and sftgen's groups; nothing where one is no run directory."""
    from sftgen_judges.records.errors import RecordError
    from sftgen_judges.records.query import open_records
    from sftgen_tasks.harness.catalogue import installed

    try:
        with open_records(runs) as records:
            held = {row["task"] for row in records.sql("SELECT DISTINCT task FROM metrics").rows()}
    except RecordError:
        return set()
    return held | set(installed()[1]) if held else set()
