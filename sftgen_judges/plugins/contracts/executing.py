"""Where the parts of a long work run: `Executor`, and the `Workers` that it gives."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Of = TypeVar("Of")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Workers:
    """What runs tasks.

    Attributes:
        pool: Takes functions of modules with arguments that pickle. A task whose machine dies is run again elsewhere.
        count: How many run at the same time.
        require: Raises an error where a machine does not see a folder.
    """

    pool: concurrent.futures.Executor
    count: int
    require: Callable[[Path], None] = lambda folder: None

    def map(self, fn: Callable[[Of], Made], tasks: Sequence[Of]) -> Iterator[Made]:
        """Run a function on each task; the results come in order. A single task needs no other process."""
        return map(fn, tasks) if len(tasks) == 1 else self.pool.map(fn, tasks)


@dataclass(frozen=True)
class Executor:
    """This machine, or a cluster, chosen by `--engine NAME`.

    Attributes:
        name: The name it is registered under.
        workers: Takes the number of processes (of this machine), and as `gpus` how many GPUs a task is given, where
            there are any. Gives workers for as long as the context lasts.
    """

    name: str
    workers: Callable[..., AbstractContextManager[Workers]]
