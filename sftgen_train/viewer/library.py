"""The runs that a viewer shows: read again in the background when they grow, so that no page waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import Records, open_records
from sftgen_judges.records.snapshot import list_files
from sftgen_train.report.trajectories import members_of
from sftgen_train.viewer.questions import Outline, outline

logger = logging.getLogger(__name__)

Found = TypeVar("Found")
LOOK_AGAIN = 2.0
"""Seconds after which a request looks whether a run has grown."""


class Edition:
    """The records as they stood at one moment, and what was worked out of them.

    Attributes:
        number: Counts up whenever the runs are read again.
        records: The records.
    """

    def __init__(self, records: Records, number: int) -> None:
        self.records = records
        self.number = number
        self._known: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def outline(self) -> Outline:
        """The runs with their tasks and steps."""
        return self.once("outline", lambda: outline(self.records, members_of("sftgen_safety")))

    def once(self, key: Any, work_out: Callable[[], Found]) -> Found:
        """What was worked out before, or is worked out now, by one thread."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = work_out()
            found: Found = self._known[key]
            return found


class Library:
    """Run directories, open. Any thread may ask."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Open the runs.

        Raises:
            RecordError: One is not a run directory, is of a newer schema, or cannot be read.
        """
        self.folders = list(folders)
        self._stamp = _stamp(self.folders)
        self._edition = Edition(open_records(self.folders), 1)
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._reading: threading.Thread | None = None

    def edition(self) -> Edition:
        """The records as they were read last. Where a run has grown, reading it again begins."""
        with self._lock:
            idle = self._reading is None or not self._reading.is_alive()
            if idle and time.monotonic() - self._looked > LOOK_AGAIN:
                self._looked = time.monotonic()
                stamp = _stamp(self.folders)
                if stamp != self._stamp:
                    self._reading = threading.Thread(target=self._read, args=(stamp,), daemon=True)
                    self._reading.start()
            return self._edition

    def _read(self, stamp: Any) -> None:
        try:
            fresh = Edition(open_records(self.folders), self._edition.number + 1)
            fresh.outline  # noqa: B018 - the journals are read now, not in a request
        except RecordError as error:
            logger.warning("%s: the pages show what was read before", error)
            self._stamp = stamp
            return
        with self._lock:
            self._edition, self._stamp = fresh, stamp


def _stamp(folders: Sequence[Path]) -> Any:
    """Changes when a file of a run is added, written or replaced."""
    found = []
    for folder in folders:
        try:
            files = list_files(folder)
            found.append({name: (file.identity, file.path.stat().st_size) for name, file in files.items()})
        except OSError:
            found.append({})
    return found
