"""Checkpoints that wait for evaluation: a folder that trainer and workers share, on one machine or several.

An entry is a small JSON file in one of the folders `waiting`, `running`, `done`, `failed`, `skipped` and `candidate`: a
candidate is evaluated only if it is chosen (`queue.adaptive`). It moves by
rename: exactly one worker gets it, and a killed process leaves it in one of the folders. The owner of a running entry
touches it. An entry that nobody touches any more goes back to `waiting`. A file that cannot be read stays where it is.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.manifest import now
from sftgen_train.queue.liveness import PATIENCE, SignsOfLife, is_dead, this_process, touching

State = Literal["waiting", "running", "done", "failed", "skipped", "candidate"]
STATES: tuple[State, ...] = get_args(State)
Fault = Literal["checkpoint", "worker", "unclear"]
"""Whose fault it was that an evaluation failed. Only the checkpoint's own are counted against it."""

LEASES = "leases"
DIED, INTERRUPTED = "the worker died", "interrupted"
DEADLY = 3
"""After so many workers in a row that died in it, an entry waits behind the others."""
LARGEST = 1 << 20
"""Bytes of an entry's file that are read: a larger one is not ours."""


@dataclass(frozen=True)
class Entry:
    """One checkpoint to evaluate.

    Attributes:
        step: Its training step.
        path: Its folder, relative to the run directory: `leases/NAME`.
        model_id: Content id of the weights.
        last: Whether it is the last step of the training.
        attempts: One mapping a try: who, when, why it failed, and whose fault that was.
        reason: Why it failed for good, or was skipped.
        owner: The process that evaluates it, None while it waits.
        outcome: The state that it is about to move to.
        source: What the checkpoint looked like to a watcher, which recognises it by this.
        id: Tells it from an earlier entry of the step. Results that carry it are those of this entry.
        keep: Whether its weights stay after the evaluation; None before, and in entries of earlier versions.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later version may know more

    step: int
    path: str
    model_id: str
    last: bool = False
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    owner: dict[str, Any] | None = None
    outcome: State | None = None
    source: str = ""
    id: str = ""
    keep: bool | None = None

    @property
    def file(self) -> str:
        """Its file name: steps sort as text."""
        return f"{self.step:08d}.json"

    @property
    def worker(self) -> str:
        """The process that evaluates it, as `HOST:NUMBER`; empty while it waits."""
        return f"{self.owner.get('host', '?')}:{self.owner.get('pid', '?')}" if self.owner else ""

    @property
    def failures(self) -> int:
        """How often it failed by its own fault. A kill, an interruption and a worker's fault are not counted."""
        return sum(
            attempt.get("fault", "checkpoint") == "checkpoint"
            for attempt in self.attempts
            if attempt.get("failed") not in {None, DIED, INTERRUPTED}
        )

    @property
    def deaths(self) -> int:
        """How many workers in a row died in it."""
        tries = [attempt.get("failed") for attempt in self.attempts]
        return next((count for count, failed in enumerate(reversed(tries)) if failed != DIED), len(tries))


@dataclass(frozen=True)
class Unreadable:
    """A file of the queue that holds no entry.

    Attributes:
        path: The file.
        state: The state that it is in.
        reason: What is wrong with it.
    """

    path: Path
    state: State
    reason: str

    @property
    def step(self) -> int | None:
        """The step that its name tells."""
        return int(self.path.stem) if self.path.stem.isdecimal() else None


_ENTRY = TypeAdapter(Entry)


class Queue:
    """The entries of a run directory."""

    def __init__(self, run: Path) -> None:
        """Open the queue of a run directory; nothing is written yet."""
        self.run, self.folder = run, run / "queue"
        self.signs = SignsOfLife(self.folder)

    @property
    def suite(self) -> Path:
        """Where the suite is; a queue of an earlier version holds it under another name."""
        path, earlier = self.folder / "suite.json", self.folder / "plan.json"
        return earlier if earlier.is_file() and not path.is_file() else path

    def entries(self, state: State) -> list[Entry]:
        """Entries in a state, by step."""
        return [found for found in self._read_all(state) if isinstance(found, Entry)]

    def unreadable(self) -> list[Unreadable]:
        """The files that hold no entry, in every state."""
        return [found for state in STATES for found in self._read_all(state) if isinstance(found, Unreadable)]

    def _read_all(self, state: State) -> Iterator[Entry | Unreadable]:
        for path in sorted((self.folder / state).glob("*.json")):
            found = read_entry(path, state)
            if found:
                yield found

    def find(self, step: int) -> tuple[State, Entry] | None:
        """The state and entry of a step."""
        for state in STATES:
            entry = read_entry(self.folder / state / f"{step:08d}.json", state)
            if isinstance(entry, Entry):
                return state, entry
        return None

    def knows(self, step: int, model_id: str, *, last: bool = False) -> bool:
        """Whether these weights of a step were added before; as those of the last step, if they are that now."""
        known = self.find(step)
        return known is not None and known[1].model_id == model_id and (known[1].last or not last)

    def add(self, entry: Entry, state: State = "waiting") -> bool:
        """Add an entry, unless the same weights were added before. It replaces the step's entry with other weights.

        A step that turns out to be the last one is added again, for the tasks that are evaluated there alone.

        Args:
            entry: The entry.
            state: `candidate` for one that is evaluated only if it is chosen.

        Returns:
            Whether it was added.
        """
        if self.knows(entry.step, entry.model_id, last=entry.last):
            return False
        for other in STATES:
            (self.folder / other / entry.file).unlink(missing_ok=True)
        self._write(state, replace(entry, id=entry.id or uuid.uuid4().hex))
        return True

    def choose(self, entry: Entry, *, last: bool = False) -> bool:
        """Let a candidate wait for a worker; False when another has chosen it."""
        return self._moved(entry, "candidate", "waiting", **({"last": True} if last else {}))

    def leave(self, entry: Entry, reason: str) -> bool:
        """Take a candidate out that is not chosen; False when another did."""
        return self._moved(entry, "candidate", "skipped", reason=reason)

    def claim(
        self, *, newest_first: bool = False, without: Collection[int] = (), first: Sequence[int] = ()
    ) -> Entry | None:
        """Take a waiting entry, for this process alone.

        Args:
            newest_first: Take the newest step, else the oldest.
            without: Steps to leave to others.
            first: Steps to take before others, in this order.

        Returns:
            The entry with this process as owner, None when nothing waits.
        """
        self.recover()
        waiting = [entry for entry in self.entries("waiting") if entry.step not in without]
        ranks = {step: rank - len(first) for rank, step in enumerate(first)}
        sign = -1 if newest_first else 1
        waiting.sort(key=lambda entry: (entry.deaths >= DEADLY, ranks.get(entry.step, 0), sign * entry.step))
        for found in waiting:
            path = self.folder / "waiting" / found.file
            with suppress(FileNotFoundError):  # another worker was faster
                os.utime(path)  # renaming keeps the time: without this it would look abandoned
                moved = read_entry(self._rename(path, "running"), "running")
                entry = moved if isinstance(moved, Entry) else found
                attempts = list(entry.attempts)
                if entry.owner and attempts:  # its last owner did not finish
                    attempts[-1] = {**attempts[-1], "failed": DIED, "fault": "worker"}
                attempts.append({**this_process(), "at": now()})
                claimed = replace(entry, owner={**this_process(), "claim": uuid.uuid4().hex}, attempts=attempts)
                self._write("running", claimed)
                return claimed
        return None

    def finish(
        self, entry: Entry, state: State, reason: str = "", fault: Fault = "checkpoint", keep: bool | None = None
    ) -> bool:
        """Move a claimed entry on.

        Args:
            entry: The entry, as it was claimed.
            state: Where it goes.
            reason: Why its evaluation failed.
            fault: Whose fault that was.
            keep: Whether its weights stay.

        Returns:
            False when this process no longer owns it: it was taken for dead, or the step was saved again.
        """
        if not self.holds(entry):
            return False
        attempts = list(entry.attempts)
        if reason and attempts:
            attempts[-1] = {**attempts[-1], "failed": reason, "fault": fault}
        # The outcome first: if the process is killed before the rename, `recover` knows where the entry belongs.
        done = replace(entry, owner=None, attempts=attempts, reason=reason, outcome=state, keep=keep)
        self._write("running", done)
        self._rename(self.folder / "running" / entry.file, state)
        return True

    def skip(self, entry: Entry, reason: str) -> bool:
        """Take a waiting entry out; False when a worker has it already."""
        return self._moved(entry, "waiting", "skipped", reason=reason)

    def retry(self, entry: Entry) -> None:
        """Let a failed or skipped entry wait again, or a candidate wait, with no attempts counted."""
        found = self.find(entry.step)
        if found and found[0] in {"failed", "skipped", "candidate"}:
            self._write(found[0], replace(entry, attempts=[], reason="", outcome=None))
            self._rename(self.folder / found[0] / entry.file, "waiting")

    def holds(self, entry: Entry) -> bool:
        """Whether this claim still stands."""
        found = read_entry(self.folder / "running" / entry.file, "running")
        return isinstance(found, Entry) and entry.owner is not None and found.owner == entry.owner

    def alive(self, entry: Entry) -> AbstractContextManager[None]:
        """Touch the entry from time to time until the end, so that nobody takes it for abandoned."""
        return touching(self.folder / "running" / entry.file, lambda: self.holds(entry))

    def abandoned(self) -> list[int]:
        """Steps of running entries whose owner is known to be dead; `recover` moves them in a moment."""
        return [entry.step for entry in self.entries("running") if _abandoned(entry)]

    def recover(self, patience: float = PATIENCE) -> list[int]:
        """Move the entries of dead workers to their outcome, or back to `waiting` if they have none.

        Args:
            patience: Seconds without a sign of life, where it is not known that the process is dead.

        Returns:
            Their steps.
        """
        freed = []
        for path in (self.folder / "running").glob("*.json"):
            with suppress(FileNotFoundError):
                entry = read_entry(path, "running")
                if not isinstance(entry, Entry):
                    continue
                # Whoever has just moved it here is about to write its name into it, or was killed before.
                dead = _abandoned(entry) and not self.signs.just_touched(path)
                if dead or self.signs.silent(path) > patience:
                    self._rename(path, entry.outcome or "waiting")
                    freed.append(entry.step)
        return freed

    def _write(self, state: State, entry: Entry) -> None:
        write_atomic(self.folder / state / entry.file, json.dumps(asdict(entry), indent=1) + "\n")

    def _moved(self, entry: Entry, before: State, after: State, **changes: Any) -> bool:
        """Move an entry, and write down what changes with it; False when another process has moved it."""
        try:
            self._rename(self.folder / before / entry.file, after)
        except FileNotFoundError:
            return False
        if changes:
            self._write(after, replace(entry, **changes))
        return True

    def _rename(self, path: Path, state: State) -> Path:
        (self.folder / state).mkdir(parents=True, exist_ok=True)
        return path.rename(self.folder / state / path.name)


def _abandoned(entry: Entry) -> bool:
    """Whether a running entry has no owner, or one that is known to be dead."""
    return entry.owner is None or is_dead(entry.owner)


def read_entry(path: Path, state: State) -> Entry | Unreadable | None:
    """The entry of a file, or what is wrong with it; None when there is no such file."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        entry = _ENTRY.validate_json(text, strict=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(path, state, error.strerror or str(error))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return Unreadable(path, state, f"{where + ': ' if where else ''}{first['msg']}"[:200])
    parts = PurePosixPath(entry.path).parts
    problem = ""
    if len(text) > LARGEST:
        problem = f"larger than {LARGEST} bytes"
    elif entry.file != path.name:
        problem = f"it names step {entry.step}"
    elif len(parts) != 2 or parts[0] != LEASES or parts[1] == "..":
        problem = f"path {entry.path!r}: expected {LEASES}/NAME"
    return Unreadable(path, state, problem) if problem else entry
