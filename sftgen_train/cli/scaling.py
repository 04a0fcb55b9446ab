"""The part of `sftgen plan` that runs a grid of trainings on paper, on several numbers of devices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from sftgen_judges.progress import duration
from sftgen_train.cli.console import console
from sftgen_train.costs.grid import TRAINED, Grid, Scale, scale
from sftgen_train.costs.simulation import Site
from sftgen_train.costs.throughput import UTILISATION, Assumptions, Device
from sftgen_train.report.sections import print_table

CHANGES = {
    "devices": "more devices",
    "generating": "faster generating",
    "training": "faster training",
    "grading": "more processors that grade",
    "judging": "a faster judge",
    "disk": "a faster disk",
    "loading": "faster starts of engines",
    "a device a task": "each task of a checkpoint on a device of its own",
}
"""In words: what twice as much of a thing would be."""


@dataclass(frozen=True)
class Question:
    """What is simulated.

    Attributes:
        grid: What is trained and evaluated.
        device: Name of the devices.
        facts: What they can do.
        given: What is assumed of lengths and speed.
        price: Of a device hour; 0 where nobody asks.
        measured: The run whose pace is taken; empty where it is assumed.
    """

    grid: Grid
    device: str
    facts: Device
    given: Assumptions
    price: float = 0.0
    measured: str = ""


def tell_scales(asked: Question, sites: Sequence[Site], *, as_json: bool) -> None:
    """Simulate and print what a grid takes at each site."""
    found = [scale(asked.grid, asked.facts, site, asked.given) for site in sites]
    if as_json:
        rows = [_as_json(site, one, asked.price) for site, one in zip(sites, found, strict=True)]
        print(json.dumps(rows, indent=2))
        return
    print_table(_table(asked, sites, found), console)
    for line in _lines(asked, sites[0], found):
        console.print(line)


def _table(asked: Question, sites: Sequence[Site], found: Sequence[Scale]) -> Table:
    grid = asked.grid
    counts = {
        "models": len(grid.models), "trainings of each": grid.data_sets, "checkpoints": grid.checkpoints,
        "benchmarks": len({part.benchmark or part.task for part in grid.work}),
    }  # fmt: skip
    title = ", ".join(f"{name}: {count}" for name, count in counts.items())
    table = Table(asked.device, "time", "idle", "device hours", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    if asked.price:
        table.add_column("cost")
    table.add_column("next bottleneck: what would save most")
    for site, one in zip(sites, found, strict=True):
        cost = [f"{one.outcome.hours * asked.price:,.0f}"] if asked.price else []
        best = "; ".join(f"{CHANGES[each.what]} {each.saved:.0%}" for each in one.reliefs[:2])
        table.add_row(
            str(site.devices), _time(one.outcome.wall), f"{one.outcome.idle:.0%}", f"{one.outcome.hours:,.0f}",
            *cost, best,
        )  # fmt: skip
    return table


def _time(seconds: float) -> str:
    return duration(seconds) if seconds < 100 * 3600 else f"{seconds / 86_400:,.1f} days"


def _lines(asked: Question, site: Site, found: Sequence[Scale]) -> Iterator[str]:
    grid, given = asked.grid, asked.given
    yield "Savings: the share of the time that goes away with twice as much, or twice as fast, of that one thing."
    if squeezed := {name for one in found for name in one.squeezed}:
        yield (
            f"{', '.join(sorted(squeezed))}: {TRAINED} bytes a parameter do not fit on the smallest number of devices. "
            "The time there is that of a training that needs less memory, at the same speed."
        )
    if grid.tokens:
        yield (
            f"Assumed of training, not compared with a measured one: {grid.tokens / 1e9:.3g} billion tokens each, 6 "
            f"operations a parameter and token, {UTILISATION:.0%} of the device's compute."
        )
    if asked.measured:
        speed = f"as measured in {asked.measured}: {given.tokens_per_second:,.0f} tokens a second"
    else:
        known = given.tokens_per_second
        speed = f"{known:,.0f} tokens a second, as given" if known else f"{given.efficiency:.0%} of the device's limits"
        speed = f"assumed: {speed}"
    yield (
        f"Speed of evaluating, {speed}; {site.start:.3g} s to start an engine, {site.reload:.3g} s with the next "
        f"checkpoint; {grid.grading:.3g} s of a processor a response, {site.spread} processors for each device."
    )
    yield (
        f"Assumed: responses of {given.tokens:,.0f} tokens, {given.dip_tokens:,.0f} at {given.dip_checkpoints} of the "
        f"checkpoints (a task's limit truncates them); each checkpoint at half the steps of the next one; "
        f"{site.judging:g} judgements a second; {site.disk / 1e9:g} GB a second of the disk."
    )


def _as_json(site: Site, one: Scale, price: float) -> Mapping[str, object]:
    outcome = one.outcome
    return {
        "devices": site.devices, "seconds": outcome.wall, "idle": outcome.idle, "device_hours": outcome.hours,
        "cost": outcome.hours * price, "held_seconds": {**outcome.held, "free": outcome.free},
        "bottleneck": one.bottleneck.what, "reliefs": [asdict(each) for each in one.reliefs],
        "squeezed": list(one.squeezed),
    }  # fmt: skip
