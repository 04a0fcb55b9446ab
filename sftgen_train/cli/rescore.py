"""`sftgen rescore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.completing import OnlyTasks
from sftgen_train.cli.console import (
    JudgeModel,
    JudgeUnclosed,
    JudgeUrl,
    Unsandboxed,
    allow_unsandboxed,
    console,
    judge_options,
)


def rescore_run(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    tasks: OnlyTasks = "",
    judge: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Another judge, if just one task is judged; with --as, a judge of any task."),
    ] = None,
    named_as: Annotated[
        str, typer.Option("--as", help="The judge's scores become a measure of this name; the tasks' own scores stay.")
    ] = "",
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    judge_unclosed: JudgeUnclosed = None,
    budgets: Annotated[str, typer.Option(help="Score responses truncated after so many tokens, e.g. 500,1000.")] = "",
    tokenizer: Annotated[Optional[str], typer.Option(help="For --budgets: folder of the model's tokenizer.")] = None,  # noqa: UP045
    allow_unsandboxed_code: Unsandboxed = False,
) -> None:
    """Grade a run's generations again, without a model, and write its samples and metrics anew.

    With --budgets the samples stay, and metrics `budget=N/score`, `budget=N/truncated` and so on are added.
    With --judge J --as NAME they stay too, and what judge J says of each response is added as the measure NAME.
    """
    allow_unsandboxed(allow_unsandboxed_code)
    options = judge_options(judge_model, judge_base_url, judge_unclosed)
    named = [task for task in tasks.split(",") if task]
    if named_as:
        from sftgen_train.report.terminal import print_measures
        from sftgen_train.results.judged import judge_run

        if judge is None or budgets or tokenizer:
            raise SftgenError(f"--as {named_as}: it names the measure of a judge: give --judge too, and no --budgets")
        print_measures(judge_run(run, judge, named_as, named, options), console)
        return
    if budgets:
        from sftgen_judges.records.store import RunFolder
        from sftgen_train.report.terminal import print_budgets
        from sftgen_train.results.budgets import parse_budgets, rescore_at_budgets

        asked = parse_budgets(budgets)
        rescore_at_budgets(run, asked, named, tokenizer=tokenizer, judge=judge, judge_options=options)
        print_budgets([row for row in RunFolder(run).metric_rows() if row.get("mean") is not None], console)
        return
    if tokenizer:
        raise SftgenError(f"--tokenizer {tokenizer}: it truncates responses at --budgets, and none are named")
    from sftgen_train.report.terminal import print_scores
    from sftgen_train.results.rescoring import rescore

    print_scores(rescore(run, named, judge, options), console)
