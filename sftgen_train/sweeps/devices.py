"""Workers of this machine, each a process of its own that sees its own GPUs alone.

Where one dies, the others stay, and what it had in its hands waits again in the queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from math import prod
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Workers
from sftgen_train.sweeps.schema import SweepError

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus_here() -> tuple[str, ...]:
    """The GPUs that this process may use; torch is not asked, since a process that has asked it cannot be forked."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return tuple(part.strip() for part in given.split(",") if part.strip() not in {"", "-1"})
    try:
        return tuple(str(place) for place, _ in enumerate(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        return ()


def gpus_of(model_args: Mapping[str, Any]) -> int:
    """GPUs that one copy of a model takes, where there are any.

    Raises:
        SweepError: The arguments do not say so in whole numbers.
    """
    asked = {name: model_args.get(name, 1) for name in ("tensor_parallel_size", "pipeline_parallel_size")}
    for name, size in asked.items():
        if not str(size).isdecimal() or int(size) < 1:
            raise SweepError(f"model_args: {name}={size}: expected a whole number from 1")
    return prod(int(size) for size in asked.values())


def groups_of(given: str, size: int, here: Sequence[str]) -> tuple[str, ...]:
    """The GPUs of each worker, as `CUDA_VISIBLE_DEVICES` names them.

    Args:
        given: `auto`, or names separated by commas.
        size: How many GPUs a copy of the model takes.
        here: Names of those of this machine.

    Returns:
        Nothing for `auto` on a machine without a GPU.

    Raises:
        SweepError: A name that is not there or stands twice, fewer than a copy takes, or named ones that are left over.
    """
    if given == "auto" and not here:
        return ()
    names = list(here) if given == "auto" else [name.strip() for name in given.split(",")]
    if wrong := [name for name in names if name not in here or names.count(name) > 1]:
        has = f"those of this machine are {', '.join(here)}, each once" if here else "this machine shows no GPU"
        raise SweepError(
            f"--devices {given!r}: {wrong[0]!r}: {has}. Name some of them or auto; on processors: --engine local "
            "--processes N"
        )
    if len(names) < size:
        raise SweepError(
            f"--devices {given!r}: tensor_parallel_size and pipeline_parallel_size ask for {size} GPUs a model, and "
            f"there are {len(names)}"
        )
    groups = tuple(",".join(names[start : start + size]) for start in range(0, len(names) - size + 1, size))
    if given != "auto" and (left := idle_of(groups, names)):
        raise SweepError(
            f"--devices {given!r}: {arithmetic(groups, size)} = {len(names) - len(left)} of {len(names)}, and "
            f"{', '.join(left)} would be idle. Name a multiple of {size}, or auto to leave the rest idle"
        )
    return groups


def idle_of(groups: Sequence[str], names: Sequence[str]) -> list[str]:
    """The GPUs that no worker has."""
    used = {name for group in groups for name in group.split(",")}
    return [name for name in names if name not in used]


def arithmetic(groups: Sequence[str], size: int) -> str:
    """So many workers, each with so many GPUs."""
    return f"{len(groups)} {'process' if len(groups) == 1 else 'processes'} x {size} {'GPU' if size == 1 else 'GPUs'}"


@contextmanager
def workers_on(groups: Sequence[str | None]) -> Iterator[Workers]:
    """One worker for each group of GPUs, for as long as the context lasts.

    Args:
        groups: What each is to see; None for all that this process sees.
    """
    with ExitStack() as stack:
        # A pool each: a process that dies takes its whole pool along. Spawned, since the caller may hold threads.
        pools = [
            stack.enter_context(
                ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_see, initargs=(group,))
            )
            for group in groups
        ]
        yield Workers(_InTurn(pools), len(pools))


def _see(group: str | None) -> None:
    if group is not None:  # CUDA looks at it when it is first used
        os.environ[VISIBLE] = group


class _InTurn(Executor):
    """Hands each next task to the next of some pools."""

    def __init__(self, pools: Sequence[Executor]) -> None:
        self._next = cycle(pools)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in the next pool."""
        return next(self._next).submit(fn, *args, **kwargs)
