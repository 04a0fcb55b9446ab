"""Locks of a run directory: one held for moments while files are written, one for as long as a command runs."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import naming, no_link, write_atomic
from sftgen_judges.records.manifest import now

logger = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass
class _WriteLock:
    """The write lock of one folder in this process; it may be taken again inside itself."""

    path: Path
    threads: threading.RLock = field(default_factory=threading.RLock)
    depth: int = 0
    file: IO[bytes] | None = None


@cache
def _write_lock(path: Path) -> _WriteLock:
    return _WriteLock(path)


@cache
def _say_unlocked(folder: Path) -> None:
    """Said once a folder and process."""
    logger.warning(
        "run directory %s is on a file system without locks: let one process at a time write it, "
        "or put it on a local disk",
        folder,
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the write lock of a run directory: for moments, while rows are appended or a file is rewritten.

    Processes and threads wait for each other. On a file system without locks the warning says so, once.

    Raises:
        OSError: The folder cannot be written.
    """
    lock = _write_lock(folder.resolve())
    with lock.threads:
        if lock.depth == 0:
            folder.mkdir(parents=True, exist_ok=True)
            lock.file = os.fdopen(no_link(str(folder / ".write.lock"), os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")
            try:
                # A record lock: a process that is forked meanwhile, as graders are, does not hold it.
                fcntl.lockf(lock.file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    lock.file.close()
                    raise
                _say_unlocked(lock.path)
        lock.depth += 1
        try:
            yield
        finally:
            lock.depth -= 1
            if lock.depth == 0 and lock.file is not None:
                lock.file.close()  # which gives the lock back
                lock.file = None


@contextmanager
def sole_writer(folder: Path, file: str = "") -> Iterator[None]:
    """Hold a run directory for as long as a command runs; the lock goes with the process, however that ends.

    Args:
        folder: The run directory.
        file: Only this file in the folder, which need not be a run directory.

    Raises:
        RecordError: Another process holds it.
    """
    prefix = f".{file}" if file else ""
    owner = folder / f"{prefix}.owner.json"
    lock = FileLock(folder / f"{prefix}.lock", fallback_to_soft=False)
    held = True
    try:
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        try:
            holder = json.loads(owner.read_text())
        except (OSError, ValueError):
            holder = {}
        what = str(folder / file) if file else f"run directory {str(folder)!r}"
        raise RecordError(
            f"{what} is being written by process {holder.get('pid', 'unknown')} on host "
            f"{holder.get('host', 'unknown')} since {holder.get('since', 'unknown')}; wait for it, or use another one"
        ) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        held = False
        _say_unlocked(folder.resolve())
    try:
        write_atomic(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}))
        yield
        owner.unlink(missing_ok=True)
    finally:
        if held:
            lock.release()
