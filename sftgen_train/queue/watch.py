"""`sftgen watch DIR`: evaluates the checkpoints of any trainer, as they appear in a folder or a hub repository.

A thread looks for whole checkpoints, leases each (so that the trainer may delete it) and enqueues it. This process
evaluates, or other processes with `sftgen worker RUN` do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sftgen_judges import Checkpoint, CheckpointSource
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.loading import OwnTaskManager, resolve_tasks
from sftgen_tasks.harness.preflight import check_local_model, is_local
from sftgen_train.checkpoints.leases import STABLE, CheckpointError, check_complete
from sftgen_train.checkpoints.planned import last_step_of
from sftgen_train.checkpoints.sources import NOT_FETCHED, TRAINER, known_sources
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.queue.entries import STATES
from sftgen_train.queue.steps import AllSteps

logger = logging.getLogger(__name__)

LAYOUTS = "checkpoint-N, stepN, merged_stepN or global_step_N"
PATIENCE = 60.0
"""Seconds before a checkpoint that could not be enqueued is tried again, if it does not change."""


@dataclass(frozen=True)
class Watch:
    """What to look for.

    Attributes:
        folder: Folder of checkpoints, or hub repository (`organisation/name`).
        base: The model that training began with. It is evaluated as step 0, and gives configuration and tokenizer
            to checkpoints that have none.
        steps: Which steps to evaluate.
        settle: Seconds for which the files of a checkpoint must not change. One with a STABLE.json is trusted.
        until: The last step to wait for.
        last_step: The last step of the training; by default `until`, else what the checkpoints tell.
        once: Whether to enqueue the present checkpoints and end.
        poll: Seconds between two looks.
    """

    folder: Path
    base: str = ""
    steps: Collection[int] = AllSteps()
    settle: float = 30.0
    until: int | None = None
    last_step: int | None = None
    once: bool = False
    poll: float = 5.0


def watch(what: Watch, run: Path, suite: Suite, evaluate: Callable[[], object] | None = None) -> None:
    """Enqueue every complete checkpoint, and evaluate it unless other processes do.

    Args:
        what: What to look for.
        run: Run directory.
        suite: What to evaluate.
        evaluate: Evaluates the queue, for example with `worker.work`; None where other processes do.

    Raises:
        UnknownTaskError: A task that does not exist.
        CheckpointError: No such folder or repository, or nothing in it with `once`.
        RecordError: The run was begun with another suite.
    """
    if what.base:
        check_local_model(what.base, chat_template=suite.chat_template)
    resolve_tasks(suite.tasks, OwnTaskManager())
    sources = known_sources()
    look = _Look(what, sources, Enqueuer(run, suite), RunFolder(run))
    if not look.candidates() and (what.once or not what.folder.is_dir()):
        raise CheckpointError(
            f"{str(what.folder)!r} holds no checkpoints ({LAYOUTS}; sources {', '.join(s.name for s in sources)})"
        )
    RunFolder(run).require_writable()
    look.enqueuer.open(resumed=True)
    look.run.update_manifest(model=what.base or what.folder.name, tasks=suite.tasks, evaluation="watch")
    look.plan(what.last_step or what.until)
    stop = threading.Event()
    thread = threading.Thread(target=look.until_stopped, args=(stop,), daemon=True)
    thread.start()
    try:
        if evaluate:
            evaluate()
        thread.join()
    finally:
        stop.set()
        thread.join()
        look.enqueuer.tell("finished")
    if look.error:
        raise look.error


class _Look:
    """One watcher's memory: what each checkpoint looked like, and since when."""

    def __init__(self, what: Watch, sources: list[CheckpointSource], enqueuer: Enqueuer, run: RunFolder) -> None:
        self.what, self.sources, self.enqueuer, self.run = what, sources, enqueuer, run
        entries = [entry for state in STATES for entry in enqueuer.queue.entries(state)]
        self.error: Exception | None = None
        self._taken = {entry.step: entry.source for entry in entries}
        self._first: dict[int, float] = {}
        self._since: dict[int, tuple[str, float]] = {}
        self._problems: dict[int, str] = {}

    def plan(self, last: int | None) -> None:
        """Let the run know at which step its training ends: until then its verdicts are of the steps so far."""
        if last and self.run.manifest().get("max_steps") != last:
            self.run.update_manifest(max_steps=last)

    def candidates(self) -> dict[int, tuple[CheckpointSource, Checkpoint]]:
        """Every checkpoint by step; where two sources have a step, the first one's."""
        found: dict[int, tuple[CheckpointSource, Checkpoint]] = {}
        for source in self.sources:
            for checkpoint in _listed(source, self.what.folder):
                if self._wanted(checkpoint.step):
                    found.setdefault(checkpoint.step, (source, checkpoint))
        return dict(sorted(found.items()))

    def _wanted(self, step: int) -> bool:
        return step in self.what.steps and (self.enqueuer.suite.due(step) or step == self.what.until)

    def until_stopped(self, stop: threading.Event) -> None:
        """Look again and again, and tell the workers when no more will come."""
        try:
            self._take_base()
            while not stop.is_set() and self._more():
                stop.wait(min(self.what.poll, max(self.what.settle, 0.1)))
        except Exception as error:  # raised by `watch`, in the main thread
            self.error = error
        finally:
            for step, problem in self._problems.items():
                if step not in self._taken:
                    logger.warning("step %d: left out. %s", step, problem)
            with suppress(OSError):  # `watch` tells it too
                self.enqueuer.tell("finished")

    def _more(self) -> bool:
        pending = self._look_once()
        if self.what.until is not None and self.what.until in self._taken:
            return False
        # With `once`, a checkpoint that is not whole after `settle` seconds is left out.
        return not self.what.once or any(time.monotonic() - self._first[step] <= self.what.settle for step in pending)

    def _take_base(self) -> None:
        if not self.what.base or 0 in self._taken:
            return
        try:
            folder = Path(self.what.base) if is_local(self.what.base) else fetch_model(self.what.base)
            self.enqueuer.adopt(TRAINER, Checkpoint(0, folder), known_as="base")
            self._taken[0] = "base"
        except (CheckpointError, OSError, ValueError) as error:
            self._report(0, str(error))

    def _look_once(self) -> list[int]:
        """Enqueue the whole checkpoints; returns the steps of the others."""
        try:
            found = self.candidates()
        except (CheckpointError, OSError) as error:  # an unreachable server is asked again
            logger.warning("%s", error)
            return []
        pending = []
        for step, (source, checkpoint) in found.items():
            looks = looks_of(checkpoint)
            if self._taken.get(step) != looks and not self._try(source, checkpoint, looks):
                pending.append(step)
        return pending

    def _try(self, source: CheckpointSource, checkpoint: Checkpoint, looks: str) -> bool:
        step, now = checkpoint.step, time.monotonic()
        self._first.setdefault(step, now)
        before, since = self._since.get(step, ("", now))
        if before != looks:
            # The hub's checkpoints are whole, and so is one with a STABLE.json.
            trusted = (checkpoint.path / STABLE).is_file() or not checkpoint.path.is_dir()
            since = now - self.what.settle if trusted else now
            self._since[step] = (looks, since)
        if now - since < self.what.settle:
            self._problems.setdefault(step, "its files were still changing")
            return False
        try:
            if not source.materialise:
                check_complete(checkpoint.path, tokenizer=not self.what.base)
            added = self.enqueuer.adopt(source, checkpoint, self.what.base, looks)
        except Exception as error:  # of a stranger's files, or of a plugin
            known = isinstance(error, CheckpointError | OSError | ValueError)
            self._report(step, str(error) if known else f"{source.name}: {type(error).__name__}: {error}"[:500])
            self._since[step] = (looks, time.monotonic() + PATIENCE)
            return False
        if not (self.what.last_step or self.what.until):
            self.plan(last_step_of(checkpoint.path, self.what.folder))
        if added:
            logger.info("step %d: enqueued (%s)", step, source.name)
        self._taken[step] = looks
        return True

    def _report(self, step: int, problem: str) -> None:
        """Log a step's problem, unless it is the same as the last time."""
        if self._problems.get(step) != problem and not self.what.once:
            logger.warning("step %d: not evaluated yet. %s", step, problem)
        self._problems[step] = problem


def _listed(source: CheckpointSource, folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder.

    Raises:
        CheckpointError: The source, which may be a plugin's, cannot list them.
        OSError: The folder cannot be read.
    """
    try:
        return list(source.list(folder))
    except (CheckpointError, OSError):
        raise
    except Exception as error:
        raise CheckpointError(
            f"checkpoint source {source.name!r} cannot list {str(folder)!r}: {type(error).__name__}: {error}"[:500]
        ) from error


def looks_of(checkpoint: Checkpoint) -> str:
    """What a checkpoint looks like from outside: names, sizes and times of its files."""
    path = checkpoint.path
    if not path.is_dir():
        return path.as_posix()
    facts = [path.as_posix()]
    for file in sorted(path.rglob("*")):
        try:
            state = file.stat()
        except OSError:  # being moved or deleted
            continue
        if file.is_file():
            facts.append(f"{file.relative_to(path)} {state.st_size} {state.st_mtime_ns}")
    return sha256("\n".join(facts).encode()).hexdigest()[:16]


def fetch_model(model: str) -> Path:
    """A model of the hub as a folder of its cache."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, ignore_patterns=list(NOT_FETCHED)))
