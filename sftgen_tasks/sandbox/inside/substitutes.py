"""What stands in for what a level cannot give its programs: files to write, a folder of the packages alone."""

from __future__ import annotations

import builtins
import importlib
import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

_RECURSIVE = 0


class SemLock:
    """What the module `_multiprocessing` has under this name, for the threads of one process: there is no other."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.handle = kind, maxvalue, 0
        self.name = None  # there is nothing to unlink
        self._change = threading.Condition()
        self._value, self._held, self._owner = value, 0, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; False if that takes longer than `timeout` seconds."""
        with self._change:
            if self.kind != _RECURSIVE or not self._is_mine():
                seconds = max(0.0, timeout) if block and timeout is not None else None if block else 0.0
                if not self._change.wait_for(lambda: self._value > 0, seconds):
                    return False
                self._value -= 1
                self._owner = threading.get_ident()
            self._held += 1
            return True

    def release(self) -> None:
        """Give it back."""
        with self._change:
            if self.kind == _RECURSIVE:
                if not self._is_mine():
                    raise AssertionError("attempt to release recursive lock not owned by thread")
                if self._held > 1:
                    self._held -= 1
                    return
            elif self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._held -= 1
            self._value += 1
            self._change.notify()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        self._held = 0


class _Arena:
    """Memory for `Value` and `Array`, without a file."""

    def __init__(self, size: int, fd: int = -1) -> None:
        import mmap

        self.size, self.fd = size, fd
        self.buffer = mmap.mmap(fd, size)


def locks() -> None:
    """Give `multiprocessing` locks, values and queues that need no folder /dev/shm."""
    names: dict[str, dict[str, Any]] = {
        "_multiprocessing": {"SemLock": SemLock, "sem_unlink": lambda _: None},
        "multiprocessing.heap": {"Arena": _Arena},
    }
    for module, values in names.items():
        vars(importlib.import_module(module)).update(values)


class _Packages:
    """Finds some packages in a folder of many, as if there were no others: those could not be read."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = {os.path.basename(folder): folder for folder in folders}

    def find_spec(self, name: str, *_: object) -> Any:
        from importlib.util import spec_from_file_location  # here: it is a lot for levels that do not need it

        folder = self.folders.get(name)
        if folder is None:
            return None
        file = f"{folder}/__init__.py"
        return spec_from_file_location(name, file, submodule_search_locations=[folder])


def packages(folders: Sequence[str]) -> None:
    """Let the packages in these folders be imported."""
    finder: Any = _Packages(folders)
    sys.meta_path.append(finder)


class _Open:
    """Opens files as before, except that `os.devnull` is descriptor 2, which is the same device."""

    def __init__(self, before: Callable[..., Any], given: Callable[..., Any]) -> None:
        self.before, self.given = before, given

    def __call__(self, file: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(file, (str, os.PathLike)) and os.fspath(file) == os.devnull:
            return self.given(os.dup(2), *arguments, **options)
        return self.before(file, *arguments, **options)


def null_device() -> None:
    """Let `os.devnull` be written to where no file can be opened to write."""
    opens = _Open(open, open)
    changed: Any
    for changed in (builtins, io):
        changed.open = opens
    changed = os
    changed.open = _Open(os.open, lambda file, *_, **__: file)
