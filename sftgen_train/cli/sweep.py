"""`sftgen sweep`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.completing import complete_tasks
from sftgen_train.cli.console import console, say, show_run

if TYPE_CHECKING:
    from sftgen_train.sweeps.executing import Engine
    from sftgen_train.sweeps.planning import Planned
    from sftgen_train.sweeps.running import Outcome
    from sftgen_train.sweeps.schema import Sweep


def sweep_checkpoints(
    what: Annotated[
        list[str], typer.Argument(help="Sweep file; with --checkpoints what is evaluated.", metavar="FILE")
    ],
    *,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="FILE is no file: folders of checkpoints, checkpoints, hub ids.")
    ] = False,
    tasks: Annotated[
        str,
        typer.Option(help="With --checkpoints: tasks and groups, separated by commas.", autocompletion=complete_tasks),
    ] = "",
    out: Annotated[Optional[Path], typer.Option(help="Where results go; sweeps/NAME by default.")] = None,  # noqa: UP045
    base: Annotated[str, typer.Option(help="With --checkpoints: the model before training, step 0.")] = "",
    steps: Annotated[str, typer.Option(help="With --checkpoints: only these steps, separated by commas.")] = "",
    limit: Annotated[Optional[int], typer.Option(min=1, help="With --checkpoints: documents a task.")] = None,  # noqa: UP045
    gen_kwargs: Annotated[
        str, typer.Option(help="With --checkpoints: over the tasks' settings, e.g. temperature=0.6.")
    ] = "",
    metadata: Annotated[str, typer.Option(help="With --checkpoints: options of the tasks, e.g. docs_seed=3.")] = "",
    model: Annotated[str, typer.Option(help="With --checkpoints: lm_eval model that generates.")] = "sftgen-hf",
    model_args: Annotated[str, typer.Option(help="With --checkpoints: further arguments of it.")] = "",
    keep: Annotated[str, typer.Option(help="With --checkpoints: all, log2, verdict or steps; others go.")] = "all",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done, and what it takes.")] = False,
    engine: Annotated[
        str, typer.Option(help="Who evaluates: this process, or local, ray or a plugin's executor.")
    ] = "",
    processes: Annotated[int, typer.Option(min=1, help="For --engine local: how many processes.")] = 1,
    devices: Annotated[str, typer.Option(help="A process for each GPU of these, such as 0,1; auto: of all.")] = "",
    join: Annotated[bool, typer.Option("--join", help="Evaluate for a sweep that another process runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: print JSON.")] = False,
) -> None:
    """Evaluate the checkpoints of many trainings on the same tasks: planned, resumable, one run a training.

    The same command goes on where it was stopped. Exit code 1 if a checkpoint could not be evaluated; the others are.
    """
    from sftgen_train.sweeps.executing import Engine
    from sftgen_train.sweeps.planning import plan_sweep, write_pins
    from sftgen_train.sweeps.running import require_possible, sole_sweep

    if checkpoints:
        given: dict[str, Any] = {
            "tasks": tasks, "base": base, "steps": steps, "limit": limit, "gen_kwargs": gen_kwargs,
            "metadata": metadata, "model": model, "model_args": model_args, "keep": keep,
        }  # fmt: skip
        sweep, name = _of_command_line(what, given), "checkpoints"
    else:
        sweep, name = _of_file(what, tasks), Path(what[0]).stem
    folder = out or Path(sweep.out or Path("sweeps") / name)
    planned = plan_sweep(sweep, folder)
    evaluates = Engine(engine, processes, devices)
    if plan:
        _print_plan(planned, evaluates, as_json=as_json)
        return
    require_possible(planned, evaluates)
    if join:
        _run(planned, evaluates, join=True)
        return
    with sole_sweep(folder):
        write_pins(planned)
        outcome = _run(planned, evaluates)
    if outcome.problems:
        raise typer.Exit(1)


def _of_file(what: list[str], tasks: str) -> Sweep:
    from sftgen_train.sweeps.schema import SweepError, read_sweep

    if len(what) != 1 or tasks:
        raise SweepError(
            f"{' '.join(what)!r}: expected one sweep file; for checkpoints themselves give --checkpoints too"
        )
    return read_sweep(Path(what[0]))


def _of_command_line(what: list[str], given: dict[str, Any]) -> Sweep:
    from sftgen_tasks.harness.registry import parse_model_args
    from sftgen_train.checkpoints.retention import WORDS
    from sftgen_train.cli.console import listed
    from sftgen_train.evaluation.schedule import parse_mapping
    from sftgen_train.queue.steps import parse_steps
    from sftgen_train.sweeps.origins import grouped
    from sftgen_train.sweeps.schema import SweepError, sweep_of

    if not given["tasks"]:
        raise SweepError("--checkpoints without --tasks: name tasks or groups, separated by commas")
    keep = given["keep"]
    return sweep_of(
        {
            "checkpoints": grouped(what), "tasks": listed(given["tasks"]), "base": given["base"],
            "steps": sorted(parse_steps(given["steps"])) if given["steps"] else None, "limit": given["limit"],
            "gen_kwargs": parse_mapping("--gen-kwargs", given["gen_kwargs"]),
            "metadata": parse_mapping("--metadata", given["metadata"]), "model": given["model"],
            "model_args": parse_model_args(given["model_args"]),
            "keep": keep if keep in WORDS else sorted(parse_steps(keep)),
        }
    )  # fmt: skip


def _print_plan(planned: Planned, engine: Engine, *, as_json: bool) -> None:
    from sftgen_train.sweeps.table import plan_json, plan_lines, plan_table

    if as_json:
        print(json.dumps(plan_json(planned, engine), indent=2))
        return
    console.print(plan_table(planned))
    for line in plan_lines(planned, engine):
        say(line)


def _run(planned: Planned, engine: Engine, *, join: bool = False) -> Outcome:
    """Run the sweep, show its table, and report each run."""
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.queue.progress import shown_live
    from sftgen_train.sweeps.judging import judge_again
    from sftgen_train.sweeps.running import Outcome, run_sweep
    from sftgen_train.sweeps.table import Board, summary, table_of

    outcome = Outcome()
    board = Board(planned, outcome)
    with shown_live(board.live, console):
        run_sweep(planned, outcome, engine, join=join)
    if join:
        return outcome
    runs = [training.run for training in planned.trainings if RunFolder(training.run).evaluated_steps()]
    judged = []
    for training in planned.trainings:
        try:
            judged += judge_again(planned, training)
        except SftgenError as error:  # the answers are there, and so are the first judge's verdicts
            outcome.problems[training.name, None] = str(error)
    for run in runs:
        show_run(run)
    board.forget()
    rows = board.rows()
    console.print(table_of(rows))
    say(summary(rows))
    for (name, step), problem in sorted(outcome.problems.items(), key=str):
        say(f"{name}{'' if step is None else f', step {step}'}: not evaluated. {problem}")
    if len(runs) > 1:
        say(f"compare them: sftgen report {' '.join(map(str, runs))}")
    for run in judged:
        say(f"by a further judge: sftgen report {run}")
    return outcome
