"""Where the shards of a set are made: in this process, in others of this machine, or as tasks of a Ray cluster.

All are executors of the standard library, so that nothing else knows which one it is. Ray runs a task again elsewhere
when its node dies. A task is a pure function of its number and part, and a shard appears under its name only when it is
whole: twice made is the same as once, and the content hash does not depend on the engine.

Of Ray only its core is used. All nodes have sftgen installed and see the folders of the command under the same
paths.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from sftgen_judges.errors import SftgenError, first_line
from sftgen_judges.plugins.contracts import Executor as Where
from sftgen_judges.plugins.contracts import Workers
from sftgen_judges.plugins.manager import lookup

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds for a cluster to answer."""
RETRIES = 10
"""So many times a task is run again after its node died."""


class EngineError(SftgenError):
    """An engine that cannot be used here."""


def engine_of(name: str) -> Where:
    """The executor of a name, ours or a plugin's.

    Raises:
        UnknownNameError: Nobody registered it.
    """
    found: Where = lookup("executor", name)
    return found


class _Here(Executor):
    """Functions are called in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Call a function on each, when its result is asked for."""
        return map(fn, *iterables)


HERE = Workers(_Here(), 1)
"""This process."""


@contextmanager
def workers(engine: Literal["local", "ray"], processes: int, *, gpus: int = 0) -> Iterator[Workers]:
    """Workers of an engine, for as long as the context lasts.

    Args:
        engine: `local` or `ray`. Ray joins the cluster that `RAY_ADDRESS` names, or one that runs on this machine;
            where there is none, it starts one with so many processes.
        processes: How many processes, for `local`; 1 is this one.
        gpus: How many GPUs a task of Ray is given, where the cluster has any.

    Raises:
        EngineError: Ray is not installed or not reached.
    """
    if engine == "local":
        if processes == 1:
            yield HERE
            return
        # Spawned, not forked: the caller may hold threads.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            yield Workers(pool, processes)
        return
    with _ray(processes) as ray:
        there = ray.cluster_resources()
        gpus = gpus if there.get("GPU") else 0
        count = _groups(ray.nodes(), gpus) if gpus else int(there.get("CPU", 1))
        with _Ray(ray, gpus) as tasks:
            yield Workers(tasks, max(count, 1), partial(_check_nodes, ray))


def _groups(nodes: Iterable[Mapping[str, Any]], gpus: int) -> int:
    """How many tasks of so many GPUs the nodes of a cluster hold; a task does not go over two of them.

    Raises:
        EngineError: None holds one: a task would wait for ever.
    """
    sizes = [int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]]
    groups = sum(size // gpus for size in sizes)
    if not groups:
        raise EngineError(f"engine ray: a model takes {gpus} GPUs of one node, and the largest node has {max(sizes)}")
    if idle := sum(sizes) - groups * gpus:
        logger.warning(
            "GPUs of the Ray cluster: %d processes x %d = %d of %d; %d idle, since a model takes %d of one node",
            groups, gpus, groups * gpus, sum(sizes), idle, gpus,
        )  # fmt: skip
    return groups


class _Ray(Executor):
    """Functions as tasks of a cluster."""

    def __init__(self, ray: Any, gpus: int) -> None:
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on any node."""
        future: Future[Any] = self._task.remote(str(Path.cwd()), fn, args, kwargs).future()
        return future


def _call(folder: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    os.chdir(folder)  # a configuration may name files from where the command was started
    return fn(*args, **kwargs)


@contextmanager
def _ray(processes: int) -> Iterator[Any]:
    # Ray counts its users unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise EngineError(f"engine ray: cannot import it ({error}); pip install 'sftgen[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    _require_reached(os.environ.get("RAY_ADDRESS", ""))
    try:
        try:
            ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), **quiet)
        except ConnectionError:
            if "RAY_ADDRESS" in os.environ:
                raise
            ray.init(num_cpus=processes, include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:500]  # of another version it says over several lines which
        address = os.environ.get("RAY_ADDRESS", "this machine")
        raise EngineError(f"engine ray: no cluster at {address}: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_reached(address: str) -> None:
    """Check that something answers at an address, which Ray itself tries for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"engine ray: no cluster at {address} (RAY_ADDRESS): {error}. Start one there with `ray start --head`, or "
            "unset RAY_ADDRESS"
        ) from error


def _check_nodes(ray: Any, folder: Path) -> None:
    """Every node has to see the folder, before anything is made."""
    folder = folder.resolve()
    on = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    sees = ray.remote(num_cpus=0)(_sees)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [sees.options(scheduling_strategy=on(node["NodeID"], soft=False)).remote(str(folder)) for node in nodes]
    blind = []
    for node, answer in zip(nodes, asked, strict=True):
        try:
            blind += [] if ray.get(answer) else [node["NodeManagerHostname"]]
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            continue  # it died a moment ago, and the cluster has yet to notice: nothing will run there
        except ray.exceptions.RayError as error:
            raise EngineError(f"engine ray: a node cannot run sftgen: {first_line(error)}") from error
    if blind:
        raise EngineError(
            f"{folder}: {', '.join(sorted(set(blind)))} of the Ray cluster does not see it; name a folder that all "
            "nodes share, by its full path"
        )


def _sees(folder: str) -> bool:
    return Path(folder).is_dir()


LOCAL = Where("local", partial(workers, "local"))
RAY = Where("ray", partial(workers, "ray"))
