"""What a trainer does for its workers: leases checkpoints and writes the entries of the queue."""

from __future__ import annotations

import json
import logging
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from accelerate.utils import extract_model_from_parallel

from sftgen_judges import Checkpoint, CheckpointSource
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import (
    ADAPTER,
    STABLE,
    CheckpointError,
    has_tokenizer,
    is_complete,
    lease,
    link,
    mark_stable,
    verify_stable,
)
from sftgen_train.evaluation.quiet import without_bars
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.entries import LEASES, STATES, Entry, Queue
from sftgen_train.queue.liveness import this_process, touching
from sftgen_train.queue.progress import TRAINING

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

    def begin(self, output: Path, step: int) -> None:
        """Write the suite down; a resumed training enqueues what was saved but not enqueued when it was killed.

        Raises:
            RecordError: The run was begun with another suite.
        """
        self.open(resumed=step > 0)
        saved = output / f"checkpoint-{step}"
        # A checkpoint that holds only shards was enqueued from memory.
        enqueued = self.queue.find(step) and not is_complete(saved)
        if step and self.suite.due(step) and saved.is_dir() and not enqueued:
            self.add(step, saved)

    def add(self, step: int, checkpoint: Path, *, last: bool = False) -> None:
        """Lease and enqueue a checkpoint; one that is not whole is reported, and training goes on."""
        started = time.perf_counter()
        try:
            facts = mark_stable(checkpoint)
            if self.queue.knows(step, facts["model_id"]):
                return  # its lease may be released already
            lease(checkpoint, self._lease(step))
        except (CheckpointError, OSError) as error:
            self._failed(step, error)
            return
        self._enqueue(step, facts["model_id"], last)
        logger.debug("step %d: enqueued in %.1f ms", step, 1000 * (time.perf_counter() - started))

    def add_from_memory(
        self, step: int, model: Any, tokenizer: Any, *, last: bool = False, weights: dict[str, Any] | None = None
    ) -> None:
        """Save a model into a lease and enqueue it, where the trainer itself does not save these weights.

        Args:
            step: The step.
            model: The model.
            tokenizer: Its tokenizer.
            last: Whether it is the last step of the training.
            weights: The whole weights, if the model holds only a part of them.
        """
        folder = self._lease(step)
        making = folder.with_name(f".{folder.name}.making")
        try:
            shutil.rmtree(making, ignore_errors=True)
            with without_bars():
                extract_model_from_parallel(model).save_pretrained(making, state_dict=weights)
            tokenizer.save_pretrained(making)
            facts = mark_stable(making)
            if self.queue.knows(step, facts["model_id"]):
                shutil.rmtree(making, ignore_errors=True)
                return
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
        except (CheckpointError, OSError) as error:
            self._failed(step, error)
            return
        self._enqueue(step, facts["model_id"], last)

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

    def end(self, step: int, model: Any, tokenizer: Any, *, weights: dict[str, Any] | None = None) -> None:
        """Enqueue the last step, if it is not there yet, and tell the workers that no more will come."""
        known = self.queue.find(step)
        if known is None:
            self.add_from_memory(step, model, tokenizer, last=True, weights=weights)
        self.tell("finished", step=step)
        waiting = len(self.queue.entries("waiting")) + len(self.queue.entries("running"))
        if waiting:
            logger.info("checkpoints that wait for evaluation: %d. sftgen worker %s", waiting, self.run)

    def _enqueue(self, step: int, model_id: str, last: bool) -> None:
        self.queue.add(Entry(step, f"{LEASES}/step-{step}", model_id, last))

    def _lease(self, step: int) -> Path:
        return self.run / LEASES / f"step-{step}"

    def _failed(self, step: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:500]
        logger.warning("the checkpoint of step %d cannot be evaluated, training goes on. %s", step, reason)
        RunFolder(self.run).try_add_failure(step, self.suite.tasks, reason)

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
        write_atomic(path, json.dumps({"state": state, **this_process(), **facts}) + "\n")
        if state == "finished" and self._alive:
            self._alive.close()
            self._alive = None
        elif state != "finished" and not self._alive:
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
