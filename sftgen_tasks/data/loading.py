"""One load of several tasks: a table that they share is read once, and forgotten afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sftgen_tasks.data.tables import DataError

T = TypeVar("T")
KEPT = 2
"""Tables that are kept at a time. Few are enough: tasks that share a table are loaded one after the other."""


@dataclass
class _Load:
    """The tables that one load has read so far, and why the hub could not be reached."""

    tables: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    unreachable: ConnectionError | None = None


_current: ContextVar[_Load | None] = ContextVar("load", default=None)


@contextmanager
def one_load() -> Iterator[None]:
    """In this block a table that several tasks need is read once, and a hub that cannot be reached is tried once.

    Nested blocks are one load. After the outermost block everything is forgotten.
    """
    if _current.get() is not None:
        yield
        return
    token = _current.set(_Load())
    try:
        yield
    finally:
        _current.reset(token)


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """The value that `make` returns. Inside `one_load` a key is made once, and its value must not be changed."""
    load = _current.get()
    if load is None:
        return make()
    if key in load.tables:
        load.tables.move_to_end(key)
    else:
        load.tables[key] = make()
        while len(load.tables) > KEPT:
            load.tables.popitem(last=False)
    found: T = load.tables[key]
    return found


def state_of(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of change of files: these stay equal as long as the files do not change.

    Raises:
        DataError: A file cannot be read.
    """
    try:
        states = [(str(path), path.stat()) for path in paths]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error}") from error
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


def hub_unreachable() -> ConnectionError | None:
    """Why the hub could not be reached earlier in this load; None if no attempt has failed."""
    load = _current.get()
    return load.unreachable if load else None


def note_unreachable(error: ConnectionError) -> None:
    """Remember for the rest of this load that the hub cannot be reached."""
    load = _current.get()
    if load and load.unreachable is None:
        load.unreachable = error
