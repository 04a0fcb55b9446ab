"""Where the parts of a long work run: `Executor`, and the `Workers` that it gives."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Workers:
    """What runs tasks.

    Attributes:
        pool: Takes functions of modules with arguments that pickle. A task whose machine dies is run again elsewhere.
        count: How many run at the same time.
    """

    pool: concurrent.futures.Executor
    count: int


@dataclass(frozen=True)
class Executor:
    """This machine, or a cluster, chosen by `--engine NAME`.

    Attributes:
        name: The name it is registered under.
        workers: Takes the number of processes (of this machine), the folder that all machines must see, and as `gpus`
            how many GPUs a task is given, where there are any. Gives workers for as long as the context lasts.
    """

    name: str
    workers: Callable[..., AbstractContextManager[Workers]]
