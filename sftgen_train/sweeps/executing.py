"""Who empties a training's queue: this process, other processes of this machine, or workers of an executor."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Executor, Workers
from sftgen_judges.plugins.manager import lookup
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.policy import Backend, Policy
from sftgen_train.queue.worker import work
from sftgen_train.sweeps.devices import arithmetic, gpus_here, gpus_of, groups_of, idle_of, workers_on
from sftgen_train.sweeps.schema import SweepError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """What evaluates.

    Attributes:
        name: Name of an executor; empty for this process alone.
        processes: Processes of this machine, for an executor that starts them.
        devices: GPUs of this machine, `auto` for all: there is one process for as many as a model takes.
    """

    name: str = ""
    processes: int = 1
    devices: str = ""

    @property
    def here(self) -> bool:
        """Whether this machine's devices are those that evaluate."""
        return self.name in {"", "local"}

    def require(self, model_args: Mapping[str, Any]) -> None:
        """Check that the executor is known and the devices are there, and warn of those that would be idle.

        Args:
            model_args: Arguments of the model.

        Raises:
            UnknownNameError: Nobody registered the executor.
            SweepError: Devices that are not there or that two options speak of, or a number of them that is none.
        """
        if self.name:
            lookup("executor", self.name)
        gpus_of(model_args)
        if self.devices:
            self._require_devices(model_args)
        told, idle = self.use(model_args)
        if told:
            logger.log(logging.WARNING if idle else logging.INFO, "%s", told)

    def _require_devices(self, model_args: Mapping[str, Any]) -> None:
        if not self.here:
            raise SweepError(f"--devices {self.devices!r}: the executor {self.name!r} places its workers itself")
        if (named := str(model_args.get("device", "cuda"))) != "cuda":
            raise SweepError(
                f"--devices {self.devices!r} and device={named} in model_args: expected one of them; each process "
                "sees its own GPU as the first"
            )
        self.groups(model_args)

    def groups(self, model_args: Mapping[str, Any]) -> tuple[str, ...]:
        """The GPUs of each process, where they are named.

        Raises:
            SweepError: One is not there.
        """
        return groups_of(self.devices, gpus_of(model_args), gpus_here()) if self.devices else ()

    def count(self, model_args: Mapping[str, Any]) -> int:
        """How many workers there are, as far as that is known before they are started."""
        return len(self.groups(model_args)) or self.processes

    def use(self, model_args: Mapping[str, Any]) -> tuple[str, bool]:
        """How many of this machine's GPUs evaluate, in words, and whether some are idle that were to be used.

        Args:
            model_args: Arguments of the model, which say how many GPUs it takes.

        Returns:
            No words where there is nothing to tell: no GPU, or an executor that places its workers itself.
        """
        size, here, groups = gpus_of(model_args), gpus_here(), self.groups(model_args)
        if groups:
            idle = idle_of(groups, here) if self.devices == "auto" else []
            left = f"; {', '.join(idle)} idle, since a model takes {size}" if idle else ""
            return f"GPUs: {arithmetic(groups, size)} = {len(groups) * size} of {len(here)}{left}", bool(idle)
        if not self.name and len(here) > size:
            return f"GPUs: {size} of {len(here)}; --devices auto uses all", False
        return "", False

    @contextmanager
    def open(self, model_args: Mapping[str, Any], out: Path) -> Iterator[Workers | None]:
        """Its workers for as long as the context lasts; None for this process alone.

        Args:
            model_args: Arguments of the model, which say how many GPUs it takes.
            out: Where results are written: every machine has to see it.

        Raises:
            SftgenError: It cannot be reached, or a machine does not see the folder.
        """
        if self.here:
            seen: Sequence[str | None] = self.groups(model_args) or [None] * self.processes
            if not self.name and seen == [None]:
                yield None
                return
            with workers_on(seen) as processes:
                yield processes
            return
        executor: Executor = lookup("executor", self.name)
        out.mkdir(parents=True, exist_ok=True)
        with executor.workers(self.processes, gpus=gpus_of(model_args)) as found:
            found.require(out.resolve())
            yield found


def empty_queue(
    workers: Workers | None,
    run: Path,
    backend: Backend,
    policy: Policy,
    left: int | None = None,
    *,
    trackers: Sequence[str] = (),
) -> None:
    """Evaluate what a queue holds and will hold, until it is told that no more comes.

    Args:
        workers: Who does it; None for this process.
        run: The run directory.
        backend: What generates.
        policy: Which checkpoints, in which order.
        left: How many checkpoints there are at most; None where nobody knows.
        trackers: Names of trackers, which the first of the workers tells the scores of all.

    Raises:
        SftgenError: A worker, its machine or the cluster is at fault; what the others could do is done.
    """
    if workers is None:
        work(run, backend, policy, trackers)
        return
    several = workers.count if left is None else min(workers.count, left)
    policy = replace(policy, workers=several)
    tasks = [
        workers.pool.submit(work, run.resolve(), backend, policy, () if number else trackers)
        for number in range(several)
    ]
    problems: list[SftgenError] = []
    lost = ""
    for task in as_completed(tasks):
        try:
            task.result()
        except SftgenError as error:
            problems.append(error)
        except Exception as error:  # of the executor: a dead process or a lost cluster, for example
            lost = f"a worker ended: {type(error).__name__}: {str(error).strip().split(chr(10), 1)[0]}"
            logger.warning("%s. What it had in its hands waits again", lost)
    if problems:
        raise problems[0]
    queue = Queue(run)
    if lost and (queue.entries("waiting") or queue.entries("running")):
        raise SweepError(f"{lost}, and none is left for what waits. The same command goes on")
