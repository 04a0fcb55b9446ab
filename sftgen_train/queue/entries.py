"""Checkpoints that wait for evaluation: a folder that trainer and workers share, on one machine or several.

An entry is a small JSON file in one of the folders `waiting`, `running`, `done`, `failed` and `skipped`. It moves by
rename: exactly one worker gets it, and a killed process leaves it in one of the folders. The owner of a running entry
touches it. An entry that nobody touches any more goes back to `waiting`.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.manifest import now

State = Literal["waiting", "running", "done", "failed", "skipped"]
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed", "skipped")
BEAT, PATIENCE = 5.0, 60.0
"""Seconds between two signs of life; seconds without one until a running entry is taken from its owner."""
DIED = "the worker died"


@dataclass(frozen=True)
class Entry:
    """One checkpoint to evaluate.

    Attributes:
        step: Its training step.
        path: Its folder, relative to the run directory where it lies in it.
        model_id: Content id of the weights.
        last: Whether it is the last step of the training.
        attempts: One mapping a try: who, when, and why it failed.
        reason: Why it failed for good, or was skipped.
        owner: The process that evaluates it, None while it waits.
        outcome: The state that it is about to move to.
        source: What the checkpoint looked like to a watcher, which recognises it by this.
    """

    step: int
    path: str
    model_id: str
    last: bool = False
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    owner: dict[str, Any] | None = None
    outcome: State | None = None
    source: str = ""

    @property
    def file(self) -> str:
        """Its file name: steps sort as text."""
        return f"{self.step:08d}.json"


class Queue:
    """The entries of a run directory."""

    def __init__(self, run: Path) -> None:
        """Open the queue of a run directory; nothing is written yet."""
        self.run, self.folder = run, run / "queue"

    @property
    def suite(self) -> Path:
        """Where the suite is; a queue of an earlier version holds it under another name."""
        path, earlier = self.folder / "suite.json", self.folder / "plan.json"
        return earlier if earlier.is_file() and not path.is_file() else path

    def entries(self, state: State) -> list[Entry]:
        """Entries in a state, by step."""
        found = (_read(path) for path in sorted((self.folder / state).glob("*.json")))
        return [entry for entry in found if entry]

    def find(self, step: int) -> tuple[State, Entry] | None:
        """The state and entry of a step."""
        for state in STATES:
            entry = _read(self.folder / state / f"{step:08d}.json")
            if entry:
                return state, entry
        return None

    def add(self, entry: Entry) -> bool:
        """Add an entry, unless the same weights were added before. It replaces the step's entry with other weights.

        Returns:
            Whether it was added.
        """
        known = self.find(entry.step)
        if known and known[1].model_id == entry.model_id:
            return False
        for state in STATES:
            (self.folder / state / entry.file).unlink(missing_ok=True)
        self._write("waiting", entry)
        return True

    def claim(self, *, newest_first: bool = False) -> Entry | None:
        """Take a waiting entry, for this process alone.

        Returns:
            The entry with this process as owner, None when nothing waits.
        """
        self.recover()
        for waiting in sorted((self.folder / "waiting").glob("*.json"), reverse=newest_first):
            with suppress(FileNotFoundError):  # another worker was faster
                os.utime(waiting)  # renaming keeps the time: without this it would look abandoned
                entry = _read(self._rename(waiting, "running"))
                if entry is None:
                    continue
                attempts = list(entry.attempts)
                if entry.owner and attempts:  # its last owner did not finish
                    attempts[-1] = {**attempts[-1], "failed": DIED}
                attempts.append({**_who(), "at": now()})
                claimed = replace(entry, owner={**_who(), "claim": uuid.uuid4().hex}, attempts=attempts)
                self._write("running", claimed)
                return claimed
        return None

    def finish(self, entry: Entry, state: State, reason: str = "") -> bool:
        """Move a claimed entry on.

        Returns:
            False when this process no longer owns it: it was taken for dead, or the step was saved again.
        """
        if not self.holds(entry):
            return False
        attempts = list(entry.attempts)
        if reason and attempts:
            attempts[-1] = {**attempts[-1], "failed": reason}
        # The outcome first: if the process is killed before the rename, `recover` knows where the entry belongs.
        self._write("running", replace(entry, owner=None, attempts=attempts, reason=reason, outcome=state))
        self._rename(self.folder / "running" / entry.file, state)
        return True

    def skip(self, entry: Entry, reason: str) -> bool:
        """Take a waiting entry out; False when a worker has it already."""
        try:
            self._rename(self.folder / "waiting" / entry.file, "skipped")
        except FileNotFoundError:
            return False
        self._write("skipped", replace(entry, reason=reason))
        return True

    def retry(self, entry: Entry) -> None:
        """Let a failed or skipped entry wait again, with no attempts counted."""
        found = self.find(entry.step)
        if found and found[0] in {"failed", "skipped"}:
            self._write(found[0], replace(entry, attempts=[], reason="", outcome=None))
            self._rename(self.folder / found[0] / entry.file, "waiting")

    def holds(self, entry: Entry) -> bool:
        """Whether this claim still stands."""
        found = _read(self.folder / "running" / entry.file)
        return found is not None and entry.owner is not None and found.owner == entry.owner

    @contextmanager
    def alive(self, entry: Entry) -> Iterator[None]:
        """Touch the entry from time to time until the end, so that nobody takes it for abandoned."""
        stop = threading.Event()
        path = self.folder / "running" / entry.file

        def beat() -> None:
            while not stop.wait(BEAT):
                with suppress(OSError):
                    if self.holds(entry):
                        os.utime(path)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def recover(self, patience: float = PATIENCE) -> list[int]:
        """Move the entries of dead workers to their outcome, or back to `waiting` if they have none.

        Args:
            patience: Seconds without a sign of life. Two are enough where the process is known to be dead.

        Returns:
            Their steps.
        """
        freed = []
        for path in (self.folder / "running").glob("*.json"):
            with suppress(FileNotFoundError):
                entry = _read(path)
                if entry and self._silent(path) > (2 if is_dead(entry.owner) else patience):
                    self._rename(path, entry.outcome or "waiting")
                    freed.append(entry.step)
        return freed

    def _silent(self, path: Path) -> float:
        """Seconds since the last sign of life, by the file system's clock, which may be another machine's."""
        probe = self.folder / f".clock-{os.getpid()}"
        probe.touch()
        try:
            return probe.stat().st_mtime - path.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _write(self, state: State, entry: Entry) -> None:
        write_atomic(self.folder / state / entry.file, json.dumps(asdict(entry), indent=1) + "\n")

    def _rename(self, path: Path, state: State) -> Path:
        (self.folder / state).mkdir(parents=True, exist_ok=True)
        return path.rename(self.folder / state / path.name)


def _read(path: Path) -> Entry | None:
    try:
        return Entry(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _who() -> dict[str, Any]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": start_time(pid)}


def is_dead(owner: dict[str, Any] | None) -> bool:
    """Whether the owner was a process of this machine and has ended; another process may have its number now.

    False also where it cannot be known: the owner is on another machine, or has no start time.
    """
    if not owner or owner.get("host") != socket.gethostname():
        return False
    running, started = start_time(int(owner["pid"])), owner.get("started")
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
    except psutil.Error:
        return None
