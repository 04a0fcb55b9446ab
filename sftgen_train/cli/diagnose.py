"""`sftgen diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from sftgen_train.cli.console import JudgeModel, JudgeUrl, console, listed


def diagnose_folder(
    run: Annotated[Optional[Path], typer.Argument(help="Run directory; none with --validate.")] = None,  # noqa: UP045
    *,
    only: Annotated[Optional[list[str]], typer.Option(help="Only this diagnostic; may be given again.")] = None,  # noqa: UP045
    everything: Annotated[
        bool, typer.Option("--all", help="Also diagnostics that ask a judge's model or load the weights.")
    ] = False,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    checkpoints: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the checkpoints, for diagnostics that need the model."),
    ] = None,
    model_args: Annotated[str, typer.Option(help="Arguments of the model, e.g. device=cuda:1,dtype=bfloat16.")] = "",
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="table or json.")] = "table",
    validate: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Measure this diagnostic on a labelled set: precision, recall, F1. Needs no run."),
    ] = None,
    labels: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Labelled set for --validate; default: the one that came with the diagnostic."),
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the labelled set: dev, test or all.")] = "test",
) -> None:
    """Say why: label the responses of a run, probe its checkpoints, read its course. Goes on where it was killed.

    By default what needs the records alone. Diagnostics that ask a judge's model or load the weights run with --all,
    with --only, or where an option is given that is theirs: a judge's, --checkpoints, --model-args. What is known is
    not made again. Exit code 1 if a diagnostic failed; the others finish. With --validate exit code 3 if too many
    labels are missing.
    """
    from sftgen_judges.errors import SftgenError
    from sftgen_judges.records.store import RunFolder
    from sftgen_tasks.harness.registry import parse_model_args
    from sftgen_train.diagnosing.running import diagnose_run
    from sftgen_train.report import findings

    if checkpoints is not None and not checkpoints.is_dir():
        raise SftgenError(f"--checkpoints {str(checkpoints)!r}: no such folder; expected one that holds checkpoint-N")
    given = {"judge_model": judge_model, "judge_base_url": judge_base_url}
    if validate:
        from sftgen_train.cli.validating import validate as measure

        measure(validate, {name: value for name, value in given.items() if value}, labels, split, output == "json")
        return
    if run is None:
        raise SftgenError("no run directory: name one, or a diagnostic to measure with --validate NAME")
    names = listed(",".join(only or ()))
    if names and everything:
        raise SftgenError("--all and --only name other diagnostics: give one of the two")
    asked = {"judge"} if everything or any(given.values()) else set()
    asked |= {"model", "logprobs"} if everything or checkpoints or model_args else set()
    outcome = diagnose_run(
        run,
        names,
        asked=asked,
        judge_options={name: value for name, value in given.items() if value},
        checkpoints=checkpoints,
        model_args=parse_model_args(model_args),
    )
    found = [found for found in findings.read_findings(RunFolder(run)) if found.diagnostic in outcome.findings]
    if output == "json":
        print(findings.as_json(found, outcome.failed, outcome.skipped))
    else:
        findings.print_findings(found, console)
        findings.print_left_out(outcome.failed, outcome.skipped, console)
    if outcome.failed:
        raise typer.Exit(1)
