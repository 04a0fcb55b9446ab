"""`sftgen plan`: the command and what it prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.table import Table

from sftgen_train.cli.completing import Tasks
from sftgen_train.cli.console import console

if TYPE_CHECKING:
    from rich.console import Console

    from sftgen_train.costs.throughput import Assumptions, Estimate, Work


GRID = "A study on several devices"


def plan_costs(
    *,
    tasks: Tasks,
    model: Annotated[str, typer.Option(help="Folder, or a name with the size; with --gpus several: A,B.")] = "",
    params: Annotated[Optional[float], typer.Option(min=1, help="Its parameters, e.g. 4e9.")] = None,  # noqa: UP045
    device: Annotated[str, typer.Option(help="a100, h100, h200, l40s, rtx4090 or cpu (this one).")] = "h100",
    checkpoints: Annotated[int, typer.Option(min=1, help="Number of checkpoints, the base model included.")] = 9,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Documents a task.")] = None,  # noqa: UP045
    docs: Annotated[str, typer.Option(help="TASK=N, where the number of documents is not known.")] = "",
    tokens: Annotated[float, typer.Option(min=1, help="Mean length of a response.")] = 10_000,
    dip_tokens: Annotated[float, typer.Option(min=1, help="The same at the dip.")] = 28_000,
    dip_checkpoints: Annotated[int, typer.Option(min=0, help="Checkpoints at the dip.")] = 3,
    prompt_tokens: Annotated[float, typer.Option(min=0, help="Mean length of a prompt.")] = 300,
    efficiency: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the device's limits in use.")] = 0.5,
    max_batch: Annotated[int, typer.Option(min=1, help="Most sequences at once.")] = 256,
    tokens_per_second: Annotated[Optional[float], typer.Option(min=0.001, help="Throughput as measured.")] = None,  # noqa: UP045
    detect: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.001, max=0.9, help="Instead: what it takes to see a dip of this size, e.g. 0.05."),
    ] = None,
    base: Annotated[float, typer.Option(min=0.02, max=0.98, help="With --detect: the base's score.")] = 0.5,
    power: Annotated[float, typer.Option(min=0.1, max=0.99, help="With --detect: how often it is to be seen.")] = 0.8,
    measured: Annotated[str, typer.Option(help="A sweep's run directory: its speed is taken.")] = "",
    gpus: Annotated[str, typer.Option(help="Simulate on so many devices, e.g. 1,8,64.", rich_help_panel=GRID)] = "",
    data_sets: Annotated[int, typer.Option(min=1, help="Trainings of each model.", rich_help_panel=GRID)] = 1,
    rows: Annotated[int, typer.Option(min=0, help="Rows of a training; 0: none.", rich_help_panel=GRID)] = 0,
    row_tokens: Annotated[float, typer.Option(min=1, help="Mean length of a row.", rich_help_panel=GRID)] = 6_000,
    epochs: Annotated[float, typer.Option(min=0.01, help="Epochs of a training.", rich_help_panel=GRID)] = 8,
    start: Annotated[float, typer.Option(min=0, help="Seconds to start an engine.", rich_help_panel=GRID)] = 90,
    grading: Annotated[float, typer.Option(min=0, help="Processor seconds a response.", rich_help_panel=GRID)] = 0.05,
    cores: Annotated[int, typer.Option(min=1, help="Processors a device.", rich_help_panel=GRID)] = 12,
    judgements: Annotated[float, typer.Option(min=0.01, help="Judgements a second.", rich_help_panel=GRID)] = 10,
    disk: Annotated[float, typer.Option(min=0.001, help="GB a second of the disk.", rich_help_panel=GRID)] = 2,
    price: Annotated[float, typer.Option(min=0, help="Price of a device hour.", rich_help_panel=GRID)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate what evaluating a run costs; what a study takes on several GPUs; or what it takes to see a dip."""
    from sftgen_train.costs import inputs as cost_inputs
    from sftgen_train.costs import throughput as cost

    work = cost_inputs.read_work(tasks.split(","), cost_inputs.parse_counts(docs), limit)
    if detect is not None:
        from sftgen_train.cli.detecting import tell_detections
        from sftgen_train.trajectory.detecting import Plan

        tell_detections(together(work), Plan(detect, checkpoints - 1, power), base, as_json=as_json)
        return
    models = {name: cost_inputs.read_model(name, params) for name in model.split(",")}
    on, pace = cost_inputs.read_device(device), None
    if measured:
        from sftgen_train.costs.pace import read_measured

        pace = read_measured(Path(measured)).pace
        tokens_per_second = pace.tokens_per_second
    if len(models) > 1 and (not gpus or tokens_per_second):
        raise cost.CostError("several models: expected --gpus, and no speed, which is that of one model")
    given = cost.Assumptions(
        tokens, dip_tokens, dip_checkpoints, prompt_tokens, efficiency, max_batch, tokens_per_second
    )
    if gpus:
        from sftgen_train.cli.scaling import Question, tell_scales
        from sftgen_train.costs.grid import Grid
        from sftgen_train.costs.simulation import Site

        site = Site(
            cores=cores, spread=cores, judging=judgements, disk=disk * 1e9, start=pace.start if pace else start,
            reload=pace.reload if pace else start, beside=pace.beside if pace else 0.0,
        )  # fmt: skip
        counts = cost_inputs.parse_numbers("--gpus", gpus)
        sites = [replace(site, devices=count, cores=count * cores) for count in counts]
        trained = rows * row_tokens * epochs
        grid = Grid(models, work, data_sets, checkpoints, trained, pace.grading if pace else grading)
        tell_scales(Question(grid, device, on, given, price, measured), sites, as_json=as_json)
        return
    [size] = models.values()
    found = cost.estimate(work, size, on, checkpoints, given)
    if as_json:
        print(json.dumps(cost.as_json(found, given), indent=2))
    else:
        print_estimate(found, device, given, console)


def together(work: Sequence[Work]) -> list[Work]:
    """One row a benchmark, where its tasks ask for the same number and length of responses."""
    rows: dict[Any, Work] = {}
    for part in work:
        name = part.benchmark or part.task
        key = name, part.repeats, part.max_tokens, part.judge
        before = rows[key].documents if key in rows else 0
        rows[key] = replace(part, task=name, documents=before + part.documents)
    return list(rows.values())


def print_estimate(found: Estimate, device: str, given: Assumptions, console: Console) -> None:
    """Tables and, below them, what was assumed."""
    from sftgen_train.costs.throughput import millions

    tasks = Table("task", "documents", "repeats", "generations", "limit", "judge", title="One checkpoint")
    for work in together(found.work):
        tasks.add_row(
            work.task, f"{work.documents:,}", str(work.repeats), f"{work.generations:,}", f"{work.max_tokens:,}",
            work.judge or "",
        )  # fmt: skip
    console.print(tasks)
    table = Table("", "generations", "tokens", "tokens/s", f"time on one {device}", "records")
    rows = (
        (f"ordinary, {given.tokens:,.0f} tokens", found.ordinary),
        (f"at the dip, {given.dip_tokens:,.0f}", found.dip),
    )
    for name, cost in rows:
        table.add_row(
            name,
            f"{cost.generations:,}",
            _short(cost.tokens),
            f"{cost.speed:,.0f}",
            _hours(cost.hours),
            _bytes(cost.bytes),
        )
    table.add_section()
    total = [found.total(field) for field in ("generations", "tokens", "hours", "bytes")]
    table.add_row(
        f"{found.checkpoints} checkpoints, {found.at_dip} at the dip",
        f"{total[0]:,.0f}", _short(total[1]), "", _hours(total[2]), _bytes(total[3]),
    )  # fmt: skip
    console.print(table)
    console.print(
        f"The dip makes a checkpoint {found.dip.hours / found.ordinary.hours:.1f} times as long. Weights that wait for "
        f"evaluation: {_bytes(found.weights)} a checkpoint in bfloat16, {_bytes(found.weights * found.checkpoints)} if "
        "all wait."
    )
    speed = (
        "tokens a second: given"
        if given.tokens_per_second
        else f"{given.efficiency:.0%} of the device's memory bandwidth or compute, at most {given.max_batch} sequences "
        f"at once, {found.model.cache / 1024:.0f} KiB of cache a token ({found.model.known})"
    )
    console.print(
        f"Assumed, not measured: {millions(found.model.parameters)} in bfloat16; prompts of "
        f"{given.prompt:,.0f} tokens; mean lengths as above (a task's limit truncates them); {speed}; "
        f"{given.bytes_per_token} bytes on disk a token. Judges' time is not included. Every assumption has an option: "
        "sftgen plan --help."
    )


def _hours(number: float) -> str:
    return f"{number:,.1f} h" if number >= 0.1 else f"{60 * number:,.1f} min"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number < 1e5 else f"{number / 1e6:,.1f} M" if number < 1e9 else f"{number / 1e9:,.2f} G"


def _bytes(number: float) -> str:
    return f"{number / 1e6:,.1f} MB" if number < 1e8 else f"{number / 1e9:,.1f} GB"
