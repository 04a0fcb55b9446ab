"""Who empties a training's queue: this process, or workers of an executor, on this machine or a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Executor, Workers
from sftgen_judges.plugins.manager import lookup
from sftgen_train.queue.worker import Backend, Policy, work
from sftgen_train.sweeps.schema import Sweep, SweepError


@dataclass(frozen=True)
class Engine:
    """What evaluates.

    Attributes:
        name: Name of an executor; empty for this process alone.
        processes: Processes of this machine, for an executor that starts them.
    """

    name: str = ""
    processes: int = 1

    @property
    def here(self) -> bool:
        """Whether this machine's device is the one that evaluates."""
        return self.name in {"", "local"}

    def require(self) -> None:
        """Check that the executor is known.

        Raises:
            UnknownNameError: Nobody registered it.
        """
        if self.name:
            lookup("executor", self.name)

    @contextmanager
    def open(self, sweep: Sweep, out: Path) -> Iterator[Workers | None]:
        """Its workers for as long as the context lasts; None for this process alone.

        Args:
            sweep: The sweep, which says how many GPUs a model takes.
            out: Where the sweep writes: every machine has to see it.

        Raises:
            SftgenError: It cannot be reached, or a machine does not see the folder.
        """
        if not self.name:
            yield None
            return
        executor: Executor = lookup("executor", self.name)
        out.mkdir(parents=True, exist_ok=True)
        with executor.workers(self.processes, gpus=gpus_of(sweep)) as found:
            found.require(out.resolve())
            yield found


def gpus_of(sweep: Sweep) -> int:
    """GPUs that one copy of the model takes, where there are any."""
    return int(sweep.model_args.get("tensor_parallel_size", 1)) * int(sweep.model_args.get("pipeline_parallel_size", 1))


def empty_queue(workers: Workers | None, run: Path, backend: Backend, policy: Policy, left: int) -> None:
    """Evaluate what a queue holds and will hold, until it is told that no more comes.

    Args:
        workers: Who does it; None for this process.
        run: The run directory.
        backend: What generates.
        policy: Which checkpoints, in which order.
        left: How many checkpoints there are at most.

    Raises:
        SftgenError: A worker, its machine or the cluster is at fault; what the others could do is done.
    """
    if workers is None:
        work(run, backend, policy)
        return
    several = min(workers.count, left)
    policy = replace(policy, workers=several)
    tasks = [workers.pool.submit(work, run.resolve(), backend, policy) for _ in range(several)]
    problems: list[SftgenError] = []
    for task in as_completed(tasks):
        try:
            task.result()
        except SftgenError as error:
            problems.append(error)
        except Exception as error:  # of the executor: a lost cluster, for example
            reason = str(error).strip().split("\n", 1)[0]
            problems.append(SweepError(f"a worker ended: {type(error).__name__}: {reason}"))
    if problems:
        raise problems[0]
