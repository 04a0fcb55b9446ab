"""The runs that a viewer shows: read again in the background when they grow, so that no page waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import Records, open_records
from sftgen_judges.records.snapshot import list_files
from sftgen_train.report.categories import safety_tasks
from sftgen_train.report.trajectories import mapping
from sftgen_train.viewer.index import ItemIndex
from sftgen_train.viewer.questions import Asked, Outline, Row, matching, outline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Found = TypeVar("Found")
FEW = 1_000
"""Items that are looked through by name; of more, all are, and what was found is kept."""
KEPT = 32
"""Searches of which what was found is kept."""
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
        self._searching = threading.Lock()
        self._texts: dict[Asked, NDArray[np.bool_]] = {}

    @property
    def outline(self) -> Outline:
        """The runs with their tasks and steps."""
        return self.once("outline", lambda: outline(self.records, self._safety()))

    def _safety(self) -> frozenset[str]:
        return safety_tasks(mapping(row["manifest"]) for row in self.records.runs.rows())

    @property
    def index(self) -> ItemIndex:
        """The numbers of every item at every step."""
        return self.once("index", lambda: ItemIndex(self.records, self.outline))

    def items(self, asked: Asked, *, limit: int, offset: int = 0) -> tuple[list[Row], int]:
        """A part of the items that are asked for, and how many there are in all, see `ItemIndex.items`."""
        found = self._found(asked) if asked.q else None
        return self.index.items(asked, limit=limit, offset=offset, found=found)

    def _found(self, asked: Asked) -> NDArray[np.bool_]:
        """Whether a text is found in an item or its name, of every item."""
        whole = replace(asked, status="", cut="", score="", change="", before_run=asked.run, before=asked.step, sort="")
        with self._lock:
            known = self._texts.get(whole)
        if known is not None:
            return known
        chosen = self.index.chosen(asked)
        few = int(chosen.sum()) <= FEW
        # One at a time: each takes most of the memory that the reader of records has.
        with self._searching:
            named = matching(self.records, asked, self.index.documents(chosen) if few else None)
        found = self.index.numbers_of(named["task"], named["doc_hash"]) | self.index.named(asked.q)
        if not few:
            with self._lock:
                self._texts[whole] = found
                while len(self._texts) > KEPT:
                    self._texts.pop(next(iter(self._texts)))
        return found

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
            fresh.index  # noqa: B018 - the journals are read now, not in a request
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
