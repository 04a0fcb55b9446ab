"""What a sweep will do: a job a checkpoint, longest first, with what it takes. No weights are loaded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sftgen_judges import Checkpoint
from sftgen_judges.records.journal import write_atomic
from sftgen_tasks import UnknownTaskError
from sftgen_tasks.harness.limits import OPTION, limit_of
from sftgen_tasks.harness.preflight import is_local
from sftgen_train.checkpoints.adapters import base_of
from sftgen_train.checkpoints.retention import Rule
from sftgen_train.checkpoints.sizes import Size, bytes_of, read_facts, size_of
from sftgen_train.checkpoints.sources import TRAINER
from sftgen_train.costs.inputs import read_work
from sftgen_train.costs.throughput import Assumptions, CostError, Work
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.policy import BEHIND
from sftgen_train.queue.watch import looks_of
from sftgen_train.sweeps.devices import gpus_here, gpus_of
from sftgen_train.sweeps.origins import Found, Pins, find
from sftgen_train.sweeps.schema import Sweep, SweepError

PINS = "sweep.json"
"""In a sweep's folder: the commits of the hub that it began with."""
AHEAD = 2
"""Checkpoints that have to be copied wait for their evaluation at most so many at a time."""
IN_HAND = 1 + BEHIND
"""Checkpoints that a worker has at once: one is generated, and one is graded behind it."""
GIVEN = Assumptions()
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Job:
    """One checkpoint to evaluate on every task.

    Attributes:
        training: The training's name.
        found: The checkpoint.
        size: What loading it takes; None where its files are not here yet.
        state: `to do`, or the state of an earlier start: `done`, `failed`, `waiting`, `running`, `skipped`.
        stays: Whether the checkpoint stays by the rule; None where the verdict will say so.
    """

    training: str
    found: Found
    size: Size | None
    state: str
    stays: bool | None

    @property
    def step(self) -> int:
        """Its training step."""
        return self.found.step

    @property
    def left(self) -> bool:
        """Whether it is still to be evaluated."""
        return self.state not in {"done", "failed", "skipped"}

    @property
    def weight(self) -> int:
        """How large it is: checkpoints that are evaluated alike take about that long."""
        return self.size.weights if self.size else self.found.bytes or 0


@dataclass(frozen=True)
class Training:
    """One training's checkpoints, which share a run directory.

    Attributes:
        name: Its name in the sweep.
        run: The run directory.
        base: The model that it began with; empty where none is named.
        rule: Which checkpoints stay.
        jobs: Its jobs, longest first.
    """

    name: str
    run: Path
    base: str
    rule: Rule
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Planned:
    """A plan.

    Attributes:
        sweep: What was asked.
        suite: What each checkpoint is evaluated on.
        out: Where the sweep writes.
        trainings: The trainings, longest first.
        work: What each task asks of a checkpoint; None where that is not known.
        unknown: Why it is not known, empty where it is.
        pins: Commits of the hub.
    """

    sweep: Sweep
    suite: Suite
    out: Path
    trainings: tuple[Training, ...]
    work: tuple[Work, ...] | None
    unknown: str
    pins: Pins

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of all trainings, in the order in which they are taken."""
        return tuple(job for training in self.trainings for job in training.jobs)

    @property
    def generations(self) -> int | None:
        """Responses of one checkpoint."""
        return None if self.work is None else sum(part.generations for part in self.work)

    @property
    def tokens(self) -> float | None:
        """Tokens of one checkpoint: responses of the assumed length, which a task's limit truncates."""
        return None if self.work is None else sum(part.tokens(GIVEN.tokens) for part in self.work)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that a task may ask for."""
        named = self.sweep.model_args.get("max_model_len") or self.sweep.model_args.get("max_length")
        return (
            int(named) if named else int(GIVEN.prompt + max((part.max_tokens for part in self.work or ()), default=0))
        )


def plan_sweep(sweep: Sweep, out: Path) -> Planned:
    """Find every checkpoint, and say what is to be done in which order.

    Raises:
        SweepError: A base that is not there.
        CheckpointError: A training without checkpoints, or a repository that cannot be asked.
        ScheduleError: A schedule that nobody has.
    """
    suite = sweep.suite()
    pins = Pins(_pinned(out))
    work, unknown = _work(sweep, suite)
    trainings = []
    for name, origin in sweep.checkpoints.items():
        run = out if len(sweep.checkpoints) == 1 else out / name
        base = sweep.base_of(origin)
        if base and is_local(base) and not Path(base).is_dir():
            raise SweepError(f"base {base!r} of {name}: no such folder")
        found = [one for one in find(origin, out, pins) if _wanted(one.step, sweep, suite)]
        if base and all(one.step for one in found):
            found = [_base(base), *found]
        if not found:
            raise SweepError(f"checkpoints.{name}: none has a step that is asked for; leave out steps and schedule")
        rule = sweep.rule(origin)
        jobs = sorted(_jobs(name, found, run, rule, str(sweep.model_args.get("dtype", "auto"))), key=_longest_first)
        trainings.append(Training(name, run, base, rule, tuple(jobs)))
    trainings.sort(key=lambda training: -sum(job.weight for job in training.jobs if job.left))
    return Planned(sweep, suite, out, tuple(trainings), work, unknown, pins)


def write_pins(planned: Planned) -> None:
    """Write down the commits, so that the same command goes on with the same weights."""
    if planned.pins.commits:
        write_atomic(planned.out / PINS, json.dumps({"commits": planned.pins.commits}, indent=1) + "\n")


def _pinned(out: Path) -> dict[str, str]:
    commits = read_facts(out / PINS).get("commits")
    found = commits if isinstance(commits, dict) else {}
    return {str(key): commit for key, commit in found.items() if isinstance(commit, str) and _COMMIT.fullmatch(commit)}


def _wanted(step: int, sweep: Sweep, suite: Suite) -> bool:
    return suite.due(step) if sweep.steps is None else step == 0 or step in sweep.steps


def _base(base: str) -> Found:
    folder = Path(base)
    return Found(0, TRAINER, Checkpoint(0, folder), base, 0 if folder.is_dir() else None)


def _jobs(name: str, found: Sequence[Found], run: Path, rule: Rule, dtype: str) -> Iterator[Job]:
    queue = Queue(run)
    steps = [one.step for one in found]
    kept = rule.kept(steps, lambda: None)
    for one in found:
        known = queue.find(one.step)
        state = known[0] if known and known[1].source == looks_of(one.checkpoint) else "to do"
        stays = None if rule.word == "verdict" and one.step not in {0, max(steps)} else one.step in kept
        if rule.word == "all" and one.copied != 0 and one.folder is None:  # what was fetched stays by a named rule only
            stays = False
        yield Job(name, one, _size(one, dtype), state, stays)


def _size(one: Found, dtype: str) -> Size | None:
    """What loading takes; an adapter's with its base, where that is a folder."""
    size = one.size(dtype)
    base = base_of(one.checkpoint.path) if size else None
    below = size_of(Path(base), dtype) if base else None
    if size and below:
        return Size(size.weights + below.weights, below.format, below.cache)
    return None if base else size


def _longest_first(job: Job) -> tuple[int, int]:
    return -job.weight, job.step


def _work(sweep: Sweep, suite: Suite) -> tuple[tuple[Work, ...] | None, str]:
    try:
        found = read_work(sweep.tasks, {}, sweep.limit)
    except (CostError, UnknownTaskError) as error:
        return None, str(error)
    limits = suite.metadata.get(OPTION) or {}
    most = suite.gen_kwargs.get("max_gen_toks")
    return tuple(_limited(part, limits, most) for part in found), ""


def _limited(part: Work, limits: Mapping[str, int], most: Any) -> Work:
    limit = limit_of(part.task, limits) or (most if isinstance(most, int) else None)
    return replace(part, max_tokens=limit) if limit else part


# ------------------------------------------------------------------------------ what has to fit


@dataclass(frozen=True)
class Disk:
    """What a sweep writes.

    Attributes:
        copies: Bytes of copied weights at once, at most.
        records: Bytes of generations, as far as they are known.
        freed: Bytes of checkpoints that are deleted at the end.
    """

    copies: int
    records: int
    freed: int

    @property
    def needed(self) -> int:
        """Bytes in all."""
        return self.copies + self.records


def disk_of(planned: Planned, workers: int = 1) -> Disk:
    """What the jobs that are left need on disk, with so many workers."""
    copies, most = 0, _at_once(workers)
    for training in planned.trainings:
        sizes = sorted((job.found.copied or 0 for job in training.jobs if job.left), reverse=True)
        stay = sum(
            job.found.copied or 0
            for job in training.jobs
            if job.left and job.found.folder is None and job.stays is not False
        )
        # Those that wait and those in a worker's hands are there at once; by a rule others stay beside them.
        copies += max(sum(sizes[:most]), stay)
    left = sum(job.left for job in planned.jobs)
    records = int((planned.tokens or 0) * GIVEN.bytes_per_token * left)
    freed = sum(
        bytes_of(job.found.folder[0] / job.found.folder[1], everything=True)
        for job in planned.jobs
        if job.stays is False and job.found.folder
    )
    return Disk(copies, records, freed)


def _at_once(workers: int) -> int:
    """How many copied checkpoints of a training there are at most: those that wait, and those in a worker's hands."""
    return AHEAD + IN_HAND * workers


def require_space(planned: Planned, workers: int = 1) -> None:
    """Check that what the sweep writes fits on the disk, with so many workers.

    Raises:
        SweepError: It does not; the message has the arithmetic.
    """
    disk = disk_of(planned, workers)
    there = next(parent for parent in (planned.out, *planned.out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if disk.needed > free:
        raise SweepError(
            f"no space in {str(there)!r}: {_gb(disk.copies)} of copied weights (at most {_at_once(workers)} "
            f"checkpoints of a training at once, and those that stay) + {_gb(disk.records)} of records = "
            f"{_gb(disk.needed)}, and {_gb(free)} are free. Make room, name another "
            "folder with out, or ask for fewer steps or documents"
        )


def require_memory(planned: Planned, free: tuple[str, int] | None) -> None:
    """Check that every model fits on the device, with one sequence of the longest kind.

    Args:
        planned: The plan.
        free: Name and free bytes of the device; None where nobody knows.

    Raises:
        SweepError: One does not; the message has the arithmetic.
    """
    if free is None:
        return
    device, room = free
    tokens, model = planned.longest, planned.sweep.model
    for job in planned.jobs:
        size = job.size if job.left else None
        if size is None or size.needed(tokens) <= room:
            continue
        cache = (
            f" + {_gb((size.cache or 0) * tokens)} of cache for one sequence of {tokens:,} tokens" if size.cache else ""
        )
        raise SweepError(
            f"{job.found.shown} does not fit on {device}: {_gb(size.weights)} of weights ({size.format}){cache} = "
            f"{_gb(size.needed(tokens))}, and {_gb(room)} are free. Name a larger device, a smaller dtype or shorter "
            f"responses in model_args and max_gen_toks, or tensor_parallel_size with {model}"
        )


def free_memory(model: str, model_args: Mapping[str, Any], groups: Sequence[str] = ()) -> tuple[str, int] | None:
    """Name and free bytes of what a model is loaded on; None where its weights are not loaded here.

    Args:
        model: Name of the lm_eval model.
        model_args: Its arguments.
        groups: The GPUs of each process; of several the least counts.
    """
    if model not in {"hf", "sftgen-hf", "vllm", "sftgen-vllm"}:
        return None
    import psutil
    import torch

    named = str(model_args.get("device", "cuda" if torch.cuda.is_available() else "cpu"))
    if not named.startswith("cuda") or not torch.cuda.is_available():
        return "this machine's memory", psutil.virtual_memory().available
    # vLLM takes a share of the whole device, and fails where less is free.
    share = float(model_args.get("gpu_memory_utilization", 0.9)) if "vllm" in model else 1.0

    def room(places: Iterable[int]) -> int:
        found = [torch.cuda.mem_get_info(place) for place in places]
        return sum(min(free, int(share * whole)) for free, whole in found)

    if groups:
        here = gpus_here()
        rooms = {group: room(here.index(name) for name in group.split(",")) for group in groups}
        least = min(rooms, key=lambda group: rooms[group])
        return f"GPU {least}", rooms[least]
    several = gpus_of(model_args)
    if several == 1 and (model_args.get("parallelize") or model_args.get("device_map")):
        several = torch.cuda.device_count()
    first = torch.device(named).index or 0
    places = range(first, min(first + several, torch.cuda.device_count()))
    return named if several == 1 else f"{len(places)} GPUs", room(places)


def _gb(number: float) -> str:
    return f"{number / 1e9:,.2f} GB" if number >= 1e7 else f"{number / 1e6:,.3f} MB"
