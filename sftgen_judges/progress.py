"""How far a stage of work is: a bar in a terminal, and in a log a line now and then with the time that is left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)

FIRST, LONGEST = 30.0, 600.0
"""Seconds to the first line in a log, and the most between two lines; each pause is twice the one before."""
DELAY = 1.0
"""Seconds before a bar is shown: what is done by then needs none."""
_SECONDS = 90
_MINUTES = 120 * 60


class More(Protocol):
    """What a stage is told."""

    def __call__(self, done: int = 1, note: str = "") -> None:
        """So many more parts are done."""


@contextmanager
def stage(what: str, total: int | None, *, hidden: bool = False) -> Iterator[More]:
    """Show how far a stage is while it lasts; a short one shows nothing.

    Args:
        what: What is done, for example `generating`.
        total: Of how many parts it is; None if nobody knows.
        hidden: Whether nothing is shown.

    Yields:
        A function that is told how many more parts are done, and what else to say of them, from any thread.
    """
    from tqdm import tqdm

    hidden = hidden or bool(_told_elsewhere)
    bar = tqdm(
        total=total, desc=what, disable=True if hidden else None, delay=DELAY, leave=False,
        bar_format="{desc}: {n_fmt} of {total_fmt} |{bar:24}| {remaining} left",
    )  # fmt: skip
    lines = _Lines(what, total) if bar.disable and not hidden else None
    with bar:

        def more(done: int = 1, note: str = "") -> None:
            if note:
                bar.set_description_str(f"{what}, {note}", refresh=False)
            bar.update(done)
            if lines:
                lines.add(done, note)

        yield more
    if lines:
        lines.end()


@contextmanager
def told_elsewhere() -> Iterator[None]:
    """Inside, stages of all threads show nothing: something else says how far the work is."""
    _told_elsewhere.append(None)
    try:
        yield
    finally:
        _told_elsewhere.pop()


_told_elsewhere: list[None] = []


class _Lines:
    """The lines of a stage in a log."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()
        self._pause, self._due = FIRST, self._began + FIRST
        self._said = False
        self._lock = threading.Lock()

    def add(self, done: int, note: str) -> None:
        """Say how far it is, if it is time."""
        with self._lock:
            self._done += done
            now = time.monotonic()
            if now < self._due or self._done == self._total:
                return
            self._pause = min(2 * self._pause, LONGEST)
            self._due, self._said = now + self._pause, True
        told = [f"{self._what}: {self._how_far()}", *filter(None, [note])]
        if self._total:
            left = (now - self._began) / max(self._done, 1) * (self._total - self._done)
            told.append(f"about {duration(left)} left")
        logger.info("%s", ", ".join(told))

    def end(self) -> None:
        """Say how long it took, if anything was said."""
        if self._said:
            took = duration(time.monotonic() - self._began)
            logger.info("%s: %s in %s", self._what, self._how_far(), took)

    def _how_far(self) -> str:
        return f"{self._done} of {self._total}" if self._total else f"{self._done} done"


def duration(seconds: float) -> str:
    """A time as people say it."""
    minutes = round(seconds / 60)
    if seconds < _SECONDS:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if seconds < _MINUTES else f"{seconds / 3600:.1f} h"
