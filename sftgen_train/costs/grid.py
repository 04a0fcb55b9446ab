"""A grid of trainings, models by data sets, as the model of events takes it; and what it says at several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from sftgen_train.costs.simulation import Checkpoint, Outcome, Relief, Site, Stage, Training, reliefs, simulate
from sftgen_train.costs.throughput import (
    UTILISATION,
    Assumptions,
    Device,
    Model,
    Work,
    throughput,
)

TRAINED = 16
"""Bytes a parameter of training all of them with Adam: bfloat16 weights and gradients, three float32 copies."""
ROOM = 0.8
"""Share of a device's memory for these; the rest holds activations."""


@dataclass(frozen=True)
class Grid:
    """What is trained and evaluated.

    Attributes:
        models: The models, by name.
        work: What each task asks of a checkpoint.
        data_sets: Trainings of each model.
        checkpoints: Evaluated checkpoints of each, the base among them.
        tokens: Tokens that each training reads, in all epochs; 0 where all checkpoints are there already.
        grading: Seconds of a processor a response.
    """

    models: Mapping[str, Model]
    work: Sequence[Work]
    data_sets: int = 1
    checkpoints: int = 9
    tokens: float = 0.0
    grading: float = 0.05


@dataclass(frozen=True)
class Scale:
    """What a grid takes on so many devices.

    Attributes:
        outcome: Times.
        reliefs: What doubling each thing saves, the most first.
        squeezed: Models that are trained on fewer devices than their optimizer wants.
    """

    outcome: Outcome
    reliefs: Sequence[Relief]
    squeezed: Sequence[str]

    @property
    def bottleneck(self) -> Relief:
        """What is worth doubling first."""
        return self.reliefs[0]


def scale(grid: Grid, device: Device, site: Site, given: Assumptions) -> Scale:
    """What a grid takes at a site.

    Raises:
        CostError: A model does not fit on the device.
    """
    wanted = {name: devices_to_train(model, device) if grid.tokens else 1 for name, model in grid.models.items()}
    trainings = list(_trainings(grid, device, site, given, wanted))
    squeezed = [name for name, count in wanted.items() if count > site.devices]
    return Scale(simulate(trainings, site), reliefs(trainings, site), squeezed)


def devices_to_train(model: Model, device: Device) -> int:
    """Devices that hold what training all parameters keeps."""
    return ceil(TRAINED * model.parameters / (ROOM * device.memory))


def _trainings(
    grid: Grid, device: Device, site: Site, given: Assumptions, wanted: Mapping[str, int]
) -> Iterator[Training]:
    """The longest first, as a sweep takes them."""
    for name, model in sorted(grid.models.items(), key=lambda item: -item[1].parameters):
        count = min(wanted[name], site.devices)
        seconds = 6 * model.parameters * grid.tokens / (UTILISATION * device.compute * count)
        ordinary, dip = (
            tuple(_stages(grid, model, device, replace(given, tokens=mean)))
            for mean in (given.tokens, given.dip_tokens)
        )
        checkpoints = tuple(
            # The base is there before; each checkpoint comes after half the steps of the next one.
            Checkpoint(
                dip if 0 < place <= given.dip_checkpoints else ordinary,
                place and seconds / 2 ** (grid.checkpoints - 1 - place),
            )
            for place in range(grid.checkpoints)
        )
        for _ in range(grid.data_sets):
            yield Training(name, checkpoints, count, 2 * model.parameters)


def _stages(grid: Grid, model: Model, device: Device, given: Assumptions) -> Iterator[Stage]:
    """One stage a benchmark, of its tasks together."""
    benchmarks: dict[str, list[Work]] = {}
    for part in grid.work:
        benchmarks.setdefault(part.benchmark or part.task, []).append(part)
    for name, parts in benchmarks.items():
        tokens, count = sum(part.tokens(given.tokens) for part in parts), sum(part.generations for part in parts)
        speed = given.tokens_per_second or throughput(model, device, tokens / count, given)
        requests = sum(part.generations for part in parts if part.judge)
        yield Stage(name, tokens / speed, count * grid.grading, requests)
