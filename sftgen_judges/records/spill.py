"""Folders for what a query cannot hold in memory. What a killed process left behind goes with the next start.

All of a user's are in one folder that only that user can read. Each is locked for as long as its process lives: so
what nobody uses any more can be told from what is in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path


def spill_folder(owner: object) -> tuple[str, weakref.finalize[..., object]]:
    """A folder of its own for an object; it is removed with the object, at the latest at the end of the process.

    Returns:
        Its path, and what removes it at once.

    Raises:
        OSError: Temporary files cannot be written.
    """
    temporary = Path(tempfile.gettempdir())
    shared = _shared(temporary)
    lock = None
    while shared is not None and lock is None:  # again where another process took it for left behind before the lock
        folder = Path(tempfile.mkdtemp(dir=shared))
        try:
            lock = _locked(folder)
        except OSError:
            folder.rmdir()
            shared = None
    if lock is None:
        folder = Path(tempfile.mkdtemp(prefix="sftgen-"))
    return str(folder), weakref.finalize(owner, _remove, folder, lock, os.getpid())


def _shared(temporary: Path) -> Path | None:
    """The user's folder, rid of what nobody uses; None where another has its name, or folders cannot be locked."""
    shared = temporary / f"sftgen-spilled-{os.geteuid()}"
    with suppress(FileExistsError):
        shared.mkdir(mode=0o700)
    facts = shared.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        return None
    return shared if _cleared(shared) else None


@cache
def _cleared(shared: Path) -> bool:
    """Remove what nobody uses, once a process; False where it cannot be told."""
    try:
        for folder in shared.iterdir():
            if (lock := _locked(folder)) is not None:
                _remove(folder, lock, os.getpid())
    except OSError:
        return False
    return True


def _locked(folder: Path) -> int | None:
    """An open file that locks a folder; None where another process has locked or removed it.

    Raises:
        OSError: It cannot be locked.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with ExitStack() as unless_held:
        unless_held.callback(os.close, lock)
        with suppress(FileNotFoundError, BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), folder.lstat()):
                unless_held.pop_all()
                return lock
    return None


def _remove(folder: Path, lock: int | None, process: int) -> None:
    """In the process that made it; one that is forked from it leaves it alone."""
    if process == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
