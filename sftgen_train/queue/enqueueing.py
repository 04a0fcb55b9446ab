"""What a trainer does for its workers: leases checkpoints and writes the entries of the queue."""

from __future__ import annotations

import json
import logging
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import extract_model_from_parallel

from sftgen_judges import Checkpoint, CheckpointSource
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import write_atomic
from sftgen_train.checkpoints.leases import (
    ADAPTER,
    STABLE,
    has_tokenizer,
    lease,
    link,
    mark_stable,
    verify_stable,
)
from sftgen_train.evaluation.quiet import without_bars
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.entries import LEASES, STATES, Entry, Queue
from sftgen_train.queue.liveness import this_process, touching
from sftgen_train.results.training_file import TRAINING

logger = logging.getLogger(__name__)

PROGRESS_EVERY = 5.0
"""Seconds between two progress messages of the trainer."""


class Enqueuer:
    """The trainer's end of a queue."""

    def __init__(self, run: Path, suite: Suite) -> None:
        """Open the queue of a run directory."""
        self.run, self.suite, self.queue = run, suite, Queue(run)
        self._last_progress = time.monotonic()
        self._alive: ExitStack | None = None

    def known_steps(self) -> list[int]:
        """Steps that were enqueued before, in any state."""
        return sorted(entry.step for state in STATES for entry in self.queue.entries(state))

    def waiting(self) -> int:
        """How many checkpoints wait for a worker."""
        return len(self.queue.entries("waiting"))

    def has(self, step: int) -> bool:
        """Whether a step was enqueued before, in any state."""
        return self.queue.find(step) is not None

    def add(self, step: int, checkpoint: Path, *, last: bool = False, candidate: bool = False) -> None:
        """Lease and enqueue a checkpoint.

        Args:
            step: Its step.
            checkpoint: Its folder.
            last: Whether it is the last step of the training.
            candidate: Whether it is evaluated only if it is chosen.

        Raises:
            CheckpointError: It is not whole.
            OSError: It cannot be leased or enqueued.
        """
        started = time.perf_counter()
        facts = mark_stable(checkpoint)
        if self._wants_lease(step, facts["model_id"], last):
            lease(checkpoint, self._lease(step))
        self._enqueue(step, facts["model_id"], last, candidate)
        logger.debug("step %d: enqueued in %.1f ms", step, 1000 * (time.perf_counter() - started))

    def add_from_memory(
        self,
        step: int,
        model: Any,
        tokenizer: Any,
        *,
        last: bool = False,
        candidate: bool = False,
        weights: dict[str, Any] | None = None,
    ) -> None:
        """Save a model into a lease and enqueue it, where the trainer itself does not save these weights.

        Args:
            step: The step.
            model: The model.
            tokenizer: Its tokenizer.
            last: Whether it is the last step of the training.
            candidate: Whether it is evaluated only if it is chosen.
            weights: The whole weights, if the model holds only a part of them.

        Raises:
            Exception: It cannot be saved or enqueued. What was written of the lease is removed: the trainer's own
                checkpoints may need the space.
        """
        folder = self._lease(step)
        making = folder.with_name(f".{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        try:
            with without_bars():
                extract_model_from_parallel(model).save_pretrained(making, state_dict=weights)
            tokenizer.save_pretrained(making)
            facts = mark_stable(making)
            if self._wants_lease(step, facts["model_id"], last):
                shutil.rmtree(folder, ignore_errors=True)
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        self._enqueue(step, facts["model_id"], last, candidate)

    def _wants_lease(self, step: int, model_id: str, last: bool) -> bool:
        """Whether weights need a lease: not those that are evaluated, or that wait in one already."""
        if not self.queue.knows(step, model_id, last=last):
            return True
        known = self.queue.find(step)
        gone = not self._lease(step).is_dir()
        return known is not None and (known[0] == "failed" or (known[0] == "waiting" and gone))

    def progress(self, step: int, max_steps: int) -> None:
        """Tell the workers the training step, at most once in `PROGRESS_EVERY` seconds."""
        if time.monotonic() - self._last_progress > PROGRESS_EVERY:
            self.tell("running", step=step, max_steps=max_steps)
            self._last_progress = time.monotonic()

    def adopt(self, source: CheckpointSource, checkpoint: Checkpoint, base: str = "", known_as: str = "") -> bool:
        """Lease and enqueue another trainer's checkpoint. Its source makes the lease's files, or they are linked.

        Args:
            source: Where it comes from.
            checkpoint: The checkpoint. Nothing is written into its folder.
            base: Model that gives configuration or tokenizer where the checkpoint has none.
            known_as: Text that the entry keeps, so that the watcher recognises the checkpoint.

        Returns:
            Whether it was enqueued; False if the same weights were enqueued before.

        Raises:
            CheckpointError: It is not whole, or cannot be made.
        """
        folder = self._lease(checkpoint.step)
        making = folder.with_name(f".{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            if source.materialise:
                copy_missing(base, making)
                source.materialise(checkpoint, making)
            else:
                link(checkpoint.path, making)
            copy_missing(base, making)
            model_id = verify_stable(making) if (making / STABLE).is_file() else mark_stable(making)["model_id"]
            if self.queue.knows(checkpoint.step, model_id):
                return False
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return self.queue.add(Entry(checkpoint.step, f"{LEASES}/{folder.name}", model_id, source=known_as))

    def mark_last(self, step: int) -> bool:
        """Tell the workers that a waiting step is the last one of the training; False if it does not wait any more."""
        known = self.queue.find(step)
        if known is None or known[0] != "waiting":
            return False
        return self.queue.add(replace(known[1], last=True, id=""))

    def end(self, step: int) -> None:
        """Tell the workers that no more will come after a step.

        Raises:
            OSError: It cannot be written.
        """
        self.tell("finished", step=step)

    def _enqueue(self, step: int, model_id: str, last: bool, candidate: bool) -> None:
        entry = Entry(step, f"{LEASES}/step-{step}", model_id, last)
        added = self.queue.add(entry, "candidate" if candidate else "waiting")
        known = self.queue.find(step)
        if not added and not candidate and known and known[0] == "candidate":  # the training stopped at it
            self.queue.choose(known[1], last=last)
        elif not added and known and known[0] == "failed":  # its lease was made anew: it may have been what was wrong
            self.queue.retry(known[1])

    def _lease(self, step: int) -> Path:
        return self.run / LEASES / f"step-{step}"

    def open(self, *, resumed: bool) -> None:
        """Write the suite down for the workers, and that checkpoints will come.

        Raises:
            RecordError: The resumed run was begun with another suite.
        """
        if resumed and self.queue.suite.is_file() and Suite.read(self.queue.suite) != self.suite:
            raise RecordError(
                f"run directory {str(self.run)!r} was begun with another evaluation suite ({self.queue.suite}); "
                "go on with the same tasks, steps and settings, or use another run directory"
            )
        self.suite.write(self.queue.suite)
        self.tell("running")

    def tell(self, state: str, **facts: Any) -> None:
        """Tell the workers whether more checkpoints may come, and from then on that this process lives."""
        path = self.queue.folder / TRAINING
        if state == "finished" and self._alive:  # also where that cannot be written
            self._alive.close()
            self._alive = None
        write_atomic(path, json.dumps({"state": state, **this_process(), **facts}) + "\n")
        if state != "finished" and not self._alive:
            # A step may take minutes. Workers on other machines know this process by the age of the file only.
            self._alive = ExitStack()
            self._alive.enter_context(touching(path))


def copy_missing(base: str, folder: Path) -> None:
    """Give a folder the configuration and the tokenizer of a model, where it has none of its own."""
    if not base:
        return
    from transformers import AutoConfig, AutoTokenizer

    if not (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        AutoConfig.from_pretrained(base).save_pretrained(folder)
    if not has_tokenizer(folder):
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
