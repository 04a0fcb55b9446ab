"""`sftgen study`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from sftgen_judges.errors import did_you_mean
from sftgen_train.cli.completing import complete_study, complete_task
from sftgen_train.cli.console import console, say

if TYPE_CHECKING:
    from sftgen_train.study.schema import Study


class _RunsAFile(TyperGroup):
    """`sftgen study FILE` is `sftgen study run FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before what is no command."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_RunsAFile, no_args_is_help=True)
File = Annotated[
    str,
    typer.Argument(
        help="Study file, or the name of one that comes with sftgen.", metavar="FILE", autocompletion=complete_study
    ),
]
Out = Annotated[Optional[Path], typer.Option(help="Where its parts are; studies/NAME by default.")]  # noqa: UP045


@app.callback()
def study() -> None:
    """A whole study from one file: base, arms, seeds, benchmarks, comparisons, and claims fixed before it runs.

    `sftgen study FILE` makes what is missing and reports; the same command goes on where it was killed.
    """


@app.command("run")
def run(
    file: File,
    *,
    out: Out = None,
    parallel: Annotated[Optional[int], typer.Option(min=1, help="Arms at once; by default one a device.")] = None,  # noqa: UP045
    despite_sanity: Annotated[
        bool, typer.Option("--despite-sanity", help="Go on where the base fails its sanity gate.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Who curates and evaluates, such as ray; by default this machine.")] = "",
) -> None:
    """Make every part of a study that is missing, and report. Exit code 1 if a run failed; the others finish."""
    path, found, folder = _read(file, out)
    run_and_show(found, path, folder, parallel=parallel, despite_sanity=despite_sanity, engine=engine)


@app.command("plan")
def plan(
    file: File,
    *,
    out: Out = None,
    device: Annotated[str, typer.Option(help="a100, h100, h200, l40s or rtx4090.")] = "h100",
    row_tokens: Annotated[float, typer.Option(min=1, help="Mean length of a training row.")] = 6_000,
    tokens: Annotated[float, typer.Option(min=1, help="Mean length of a response.")] = 10_000,
    dip_tokens: Annotated[float, typer.Option(min=1, help="The same at the dip.")] = 28_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a study will make, what is there, what is stale, and what it costs. Nothing is loaded."""
    from sftgen_train.report.sections import print_sections
    from sftgen_train.study.planning import Lengths, plan_study

    path, found, folder = _read(file, out)
    planned = plan_study(found, path, folder, device=device, lengths=Lengths(row_tokens, tokens, dip_tokens))
    if as_json:
        print(json.dumps(planned.as_json(), indent=2))
        return
    print_sections(planned.sections(), console)
    for line in planned.lines():
        say(line)


@app.command("report")
def report(
    file: File,
    *,
    out: Out = None,
    picture: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the scores of --task against the step to this SVG file."),
    ] = None,
    task: Annotated[str, typer.Option(help="For --picture: the task.", autocompletion=complete_task)] = "",
    arms: Annotated[str, typer.Option(help="For --picture: only these arms, separated by commas.")] = "",
) -> None:
    """Report what is there: claims, arms over their seeds, comparisons; writes report/index.html."""
    path, found, folder = _read(file, out)
    if (picture is None) != (not task):
        from sftgen_train.study.reading import StudyError

        raise StudyError("--picture FILE and --task TASK go together: give both")
    show(found, path, folder, picture=picture, task=task, arms=arms)


@app.command("list")
def listed() -> None:
    """List the study files that come with sftgen, each with what it is about."""
    from sftgen_train.study.reading import read_study, shipped_studies

    for name, path in shipped_studies().items():
        say(f"{name:28} {read_study(path).about.strip().splitlines()[0]}")


def _read(file: str, out: Path | None) -> tuple[Path, Study, Path]:
    from sftgen_train.study.reading import find_study, read_study

    path = find_study(file)
    found = read_study(path)
    return path, found, out or Path("studies") / found.name


def run_and_show(
    found: Study,
    path: Path,
    folder: Path,
    *,
    parallel: int | None = None,
    despite_sanity: bool = False,
    engine: str = "",
) -> None:
    """Make what is missing of a study, and report what is there.

    Raises:
        SftgenError: A part cannot be made.
        typer.Exit: A run failed.
    """
    from sftgen_train.study.jobs import Devices
    from sftgen_train.study.running import run_study

    if found.about:
        say(found.about)
    devices = Devices.here(parallel)
    failed = run_study(
        found, path, folder.absolute(), say=say, devices=devices, despite_sanity=despite_sanity, engine=engine
    )
    if not failed or _has_runs(found, path, folder):
        show(found, path, folder)
    if failed:
        raise typer.Exit(1)


def _has_runs(found: Study, path: Path, folder: Path) -> bool:
    from sftgen_train.study.parts import parts_of

    return any(part.done for part in parts_of(found, path, folder.absolute()).runs)


def show(
    found: Study, path: Path, folder: Path, *, picture: Path | None = None, task: str = "", arms: str = ""
) -> None:
    """Print the report of a study, and where to look further."""
    from sftgen_judges.records.journal import write_atomic
    from sftgen_train.cli.console import listed as names_of
    from sftgen_train.study.reading import StudyError, full_name
    from sftgen_train.study.report import picture as draw
    from sftgen_train.study.report import print_study
    from sftgen_train.study.reporting import report_study

    reported = report_study(found, path, folder.absolute())
    print_study(found, reported.found, reported.judged, console)
    if found.shows:
        say(found.shows)
    if picture is not None:
        chosen = names_of(arms)
        unknown = [name for name in chosen if reported.found.arm(name) is None]
        if unknown:
            raise StudyError(
                f"--arms {unknown[0]!r}: expected some of {', '.join(found.arms)}{did_you_mean(unknown[0], found.arms)}"
            )
        if not any(arm.verdict(full_name(task)) for arm in reported.found.arms):
            raise StudyError(f"--task {task!r}: no arm was evaluated on it")
        write_atomic(picture, draw(reported.found, full_name(task), chosen))
        say(f"picture: {picture}")
    say(f"report: {reported.page}")
    first = [arm.runs[0] for arm in reported.found.arms]
    say(f"look at every answer: sftgen view {' '.join(str(_near(run)) for run in first)}")


def _near(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
