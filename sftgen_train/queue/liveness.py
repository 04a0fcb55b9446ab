"""Whether a process still lives: by its number on this machine, by the age of a file that it touches on another."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

BEAT, PATIENCE = 5.0, 60.0
"""Seconds between two signs of life; seconds without one until a running entry is taken from its owner."""
JUST_NOW = 2.0
"""Seconds for which a file counts as fresh: somebody may be about to write into it."""


class SignsOfLife:
    """How long files have been silent, for as long as this object lives.

    Two clocks tell. The file system's may be another machine's, and may be set: a file that is dated ahead looks
    fresh until that time comes. So the time counts too for which this process itself saw the file unchanged.
    """

    def __init__(self, folder: Path) -> None:
        """Watch files of a folder. A probe is written into it, to read its clock."""
        self.folder = folder
        self._seen: dict[Path, tuple[int, float]] = {}

    def silent(self, path: Path) -> float:
        """Seconds since the last sign of life.

        Raises:
            OSError: There is no such file.
        """
        touched, now = path.stat().st_mtime_ns, time.monotonic()
        before, since = self._seen.get(path, (touched, now))
        if before != touched:
            since = now
        self._seen[path] = (touched, since)
        return max(self._age(path), now - since)

    def just_touched(self, path: Path) -> bool:
        """Whether the file was touched a moment ago; one that is dated ahead was not."""
        return abs(self._age(path)) <= JUST_NOW

    def _age(self, path: Path) -> float:
        probe = self.folder / f".clock-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        try:
            return probe.stat().st_mtime - path.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def touching(path: Path, held: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Touch a file from time to time until the end.

    Args:
        path: The file. Nothing happens while it is absent.
        held: Asked before each touch; the file is left alone where it says no.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            with suppress(OSError):
                if held():
                    os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def this_process() -> dict[str, Any]:
    """Number, host and start time of this process."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": start_time(pid)}


def is_dead(owner: Mapping[str, Any] | None) -> bool:
    """Whether the owner was a process of this machine and has ended; another process may have its number now.

    False also where it cannot be known: the owner is on another machine, or has no start time.
    """
    if not owner or owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    running, started = start_time(owner["pid"]), owner.get("started")
    if running is None:
        return True
    if isinstance(started, str) and started.isdigit():  # earlier versions wrote the kernel's ticks
        started = round(int(started) / os.sysconf("SC_CLK_TCK"), 2)
    return isinstance(started, int | float) and started != running


def start_time(pid: int) -> float | None:
    """Seconds from the machine's start to that of a process, to 0.01 s; None when it does not run.

    Not the time of day: a clock that is set would make every living process look like another one.
    """
    try:
        booted = psutil.boot_time()
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # it has ended; its parent has not noticed
            return None
        return float(round(process.create_time() - booted, 2))
    except (psutil.Error, ValueError, OverflowError):
        return None
