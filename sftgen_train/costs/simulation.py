"""A study as a model of events: trainings, checkpoints and their evaluation on devices, graders, a judge and a disk.

A training holds its devices from its first step to its last, and stops while a checkpoint is saved. A saved checkpoint
waits for a device. There its weights are read and loaded, and its tasks are generated one after the other; each is
graded on the processors and judged by the server while the next one is generated. While the last task is graded, the
device goes on with the next checkpoint, but has no second one graded behind it. Trainings come first and the rest in
the order of its arrival, as on a cluster that hands out devices.

Nothing is random: the same input gives the same times.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

from sftgen_train.costs.throughput import CostError

Process = Generator[simpy.Event, Any, None]
HELD = ("training", "generating", "loading", "saving", "waiting")
"""What a device can be held for; `waiting` is for graders, judge or disk."""


@dataclass(frozen=True)
class Stage:
    """One task of one checkpoint.

    Attributes:
        task: The task.
        generating: Seconds of a device that generates its responses.
        grading: Seconds of a processor.
        requests: Requests to the judge.
    """

    task: str
    generating: float
    grading: float = 0.0
    requests: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint to evaluate.

    Attributes:
        stages: Its tasks.
        after: Seconds of training before it.
    """

    stages: tuple[Stage, ...]
    after: float = 0.0


@dataclass(frozen=True)
class Training:
    """A training and its checkpoints, in their order.

    Attributes:
        engine: What its checkpoints are loaded into: those of one engine can be reloaded.
        checkpoints: Its checkpoints.
        devices: How many it is trained on.
        weights: Bytes of a checkpoint.
    """

    engine: str
    checkpoints: tuple[Checkpoint, ...]
    devices: int = 1
    weights: float = 0.0


@dataclass(frozen=True)
class Site:
    """What there is to work with.

    Attributes:
        devices: Devices.
        cores: Processors that grade.
        spread: On how many of them a task is graded at most: those of one machine.
        judging: Requests a second that the judge's server answers.
        disk: Bytes a second that are read or written in all.
        start: Seconds until an engine's first checkpoint is loaded, its weights apart.
        reload: The same where the device's last engine is kept.
        beside: Seconds of a checkpoint on its device beside loading and generating: files, prompts, results, the queue.
        split: Whether each task of a checkpoint has a device of its own.
    """

    devices: int = 1
    cores: int = 1
    spread: int = 1_000_000
    judging: float = float("inf")
    disk: float = float("inf")
    start: float = 0.0
    reload: float = 0.0
    beside: float = 0.0
    split: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes:
        wall: Seconds from the beginning to the end.
        devices: How many devices there were.
        held: Device seconds by what the device was held for, see `HELD`.
        grading: Processor seconds.
        judging: Seconds that the judge's server answered.
    """

    wall: float
    devices: int
    held: Mapping[str, float]
    grading: float
    judging: float

    @property
    def idle(self) -> float:
        """Share of the device time in which nothing was trained or generated."""
        return 1 - (self.held["training"] + self.held["generating"]) / (self.devices * self.wall) if self.wall else 0.0

    @property
    def free(self) -> float:
        """Device seconds in which nothing held a device."""
        return self.devices * self.wall - sum(self.held.values())

    @property
    def hours(self) -> float:
        """Device hours, idle ones among them."""
        return self.devices * self.wall / 3600


def simulate(trainings: Sequence[Training], site: Site) -> Outcome:
    """Run a study on paper.

    Raises:
        CostError: A training wants more devices than there are.
    """
    for training in trainings:
        if training.devices > site.devices:
            raise CostError(f"a training of {training.engine} takes {training.devices} devices of {site.devices}")
    return _Run(site).all(trainings)


@dataclass(frozen=True)
class _Device:
    """A device that nothing holds.

    Attributes:
        engine: What it has loaded.
        graded: Ends when the checkpoint that it generated last is graded.
    """

    engine: str = ""
    graded: simpy.Event | None = None


@dataclass
class _Run:
    """The resources of a run, and what was counted."""

    site: Site
    clock: simpy.Environment = field(default_factory=simpy.Environment)
    held: dict[str, float] = field(default_factory=lambda: dict.fromkeys(HELD, 0.0))
    grading: float = 0.0
    judging: float = 0.0

    def __post_init__(self) -> None:
        self.devices = simpy.Container(self.clock, self.site.devices, self.site.devices)
        self.free = [_Device()] * self.site.devices
        self.cores = simpy.Container(self.clock, self.site.cores, self.site.cores)
        self.judge = simpy.Resource(self.clock)
        self.disk = simpy.Resource(self.clock)

    def all(self, trainings: Sequence[Training]) -> Outcome:
        """Run to the end."""
        for training in trainings:
            self.clock.process(self._train(training))
        self.clock.run()
        return Outcome(self.clock.now, self.site.devices, self.held, self.grading, self.judging)

    def _train(self, training: Training) -> Process:
        trained = 0.0
        taken = training.devices if any(one.after for one in training.checkpoints) else 0
        if taken:
            yield self.devices.get(taken)
            devices = self._take(taken, "")
        for checkpoint in training.checkpoints:
            if checkpoint.after > trained:
                yield from self._hold("training", checkpoint.after - trained, taken)
                trained = checkpoint.after
                begun = self.clock.now
                yield from self._from_disk(training.weights)
                self.held["saving"] += taken * (self.clock.now - begun)
            parts = [(stage,) for stage in checkpoint.stages] if self.site.split else [checkpoint.stages]
            for stages in parts:
                self.clock.process(self._evaluate(training, stages))
        if taken:
            yield from self._give_back([replace(device, engine="") for device in devices])

    def _evaluate(self, training: Training, stages: Sequence[Stage]) -> Process:
        yield self.devices.get(1)
        [device] = self._take(1, training.engine)
        yield from self._waiting(self._from_disk(training.weights))
        kept = device.engine == training.engine
        yield from self._hold("loading", (self.site.reload if kept else self.site.start) + self.site.beside)
        grading = []
        for stage in stages:
            yield from self._hold("generating", stage.generating)
            grading.append(self.clock.process(self._grade(stage)))
        if device.graded:
            yield from self._waiting(self._all([device.graded]))
        yield from self._give_back([_Device(training.engine, self.clock.process(self._all(grading)))])

    def _grade(self, stage: Stage) -> Process:
        cores = min(self.site.cores, self.site.spread)
        yield self.cores.get(cores)
        self.grading += stage.grading
        yield self.clock.timeout(stage.grading / cores)
        yield self.cores.put(cores)
        with self.judge.request() as turn:
            yield turn
            seconds = stage.requests / self.site.judging
            self.judging += seconds
            yield self.clock.timeout(seconds)

    def _from_disk(self, size: float) -> Process:
        with self.disk.request() as turn:
            yield turn
            yield self.clock.timeout(size / self.site.disk)

    def _all(self, processes: Sequence[simpy.Event]) -> Process:
        yield self.clock.all_of(processes)

    def _hold(self, what: str, seconds: float, devices: int = 1) -> Process:
        self.held[what] += seconds * devices
        yield self.clock.timeout(seconds)

    def _waiting(self, until: Process) -> Process:
        begun = self.clock.now
        yield from until
        self.held["waiting"] += self.clock.now - begun

    def _take(self, count: int, engine: str) -> list[_Device]:
        """Free devices, by the engines that they last held; the wanted one first, empty ones before the others."""
        self.free.sort(key=lambda device: (device.engine != engine, device.engine != ""))
        taken, self.free = self.free[:count], self.free[count:]
        return taken

    def _give_back(self, devices: Sequence[_Device]) -> Process:
        self.free += devices
        yield self.devices.put(len(devices))


RELIEFS = ("devices", "generating", "training", "grading", "judging", "disk", "loading", "a device a task")
"""What `relieve` can double, or change."""


def relieve(what: str, trainings: Sequence[Training], site: Site) -> Outcome:
    """The outcome with twice as much, or twice as fast, of one thing; `a device a task` splits checkpoints instead."""
    sites = {
        "devices": replace(site, devices=2 * site.devices, cores=2 * site.cores),
        "grading": replace(site, cores=2 * site.cores),
        "judging": replace(site, judging=2 * site.judging),
        "disk": replace(site, disk=2 * site.disk),
        "loading": replace(site, start=site.start / 2, reload=site.reload / 2, beside=site.beside / 2),
        "a device a task": replace(site, split=True),
    }
    if what == "training":
        trainings = [_changed(one, training=0.5) for one in trainings]
    if what == "generating":
        trainings = [_changed(one, generating=0.5) for one in trainings]
    return simulate(trainings, sites.get(what, site))


def _changed(one: Training, *, training: float = 1.0, generating: float = 1.0) -> Training:
    def stages(checkpoint: Checkpoint) -> Iterator[Stage]:
        return (replace(stage, generating=stage.generating * generating) for stage in checkpoint.stages)

    changed = (Checkpoint(tuple(stages(each)), each.after * training) for each in one.checkpoints)
    return replace(one, checkpoints=tuple(changed))


@dataclass(frozen=True)
class Relief:
    """What doubling one thing saves.

    Attributes:
        what: One of `RELIEFS`.
        saved: Share of the wall time.
    """

    what: str
    saved: float


def reliefs(trainings: Sequence[Training], site: Site) -> list[Relief]:
    """What doubling each thing saves, the most first: the first is the bottleneck."""
    wall = simulate(trainings, site).wall
    found = [Relief(what, 1 - relieve(what, trainings, site).wall / wall if wall else 0.0) for what in RELIEFS]
    return sorted(found, key=lambda relief: -relief.saved)
