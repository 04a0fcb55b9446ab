"""`sftgen worker RUN`: evaluates the checkpoints that a training run has enqueued, until there are no more."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Diagnostic
from sftgen_judges.records import manifest
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.provenance import tallied
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_tasks.harness.registry import require_installed, require_model
from sftgen_tasks.harness.sampling import check_settings
from sftgen_train.checkpoints.leases import CheckpointError, release, verify_stable
from sftgen_train.checkpoints.retention import Rule
from sftgen_train.diagnosing.running import probe_step, require_probes
from sftgen_train.evaluation.evaluator import Evaluator, evaluate_checkpoint
from sftgen_train.evaluation.kept_engine import WORTH, KeptEngine
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.adaptive import choose_next
from sftgen_train.queue.entries import INTERRUPTED, Entry, Queue
from sftgen_train.queue.faults import fault_of
from sftgen_train.queue.keeping import kept_steps
from sftgen_train.queue.progress import training_goes_on
from sftgen_train.results.run import add_results, in_one_line
from sftgen_train.results.trackers import Trackers

logger = logging.getLogger(__name__)

POLL = 1.0
PAUSES = (5.0, 20.0, 60.0)
"""Seconds to wait before the next try after a fault of the machine, for example a full GPU. After the last, it ends."""
GIVEN_UP = 3
"""Exit code of a worker that leaves a checkpoint behind which was given up; all others are evaluated."""
UNPROVEN = 3
"""Checkpoints that may fail before a worker that has evaluated none takes the fault for its own."""


class WorkerError(SftgenError):
    """A worker that cannot evaluate; nothing is counted against the checkpoints."""


@dataclass(frozen=True)
class Backend:
    """What generates.

    Attributes:
        model: Name of an lm_eval model that takes `pretrained`.
        model_args: Further arguments of it.
        fresh: Whether vLLM starts a fresh engine for each checkpoint, also where its weights could be replaced.
    """

    model: str = "sftgen-hf"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False

    def never_kept(self, probes: Sequence[Diagnostic]) -> str:
        """Why no engine is kept from checkpoint to checkpoint; empty where one may be."""
        if self.fresh:
            return "fresh engines were asked for"
        return "diagnostics load the weights beside it" if probes else ""


@dataclass(frozen=True)
class Policy:
    """How a worker goes through a queue.

    Attributes:
        newest_first: Take the newest checkpoint first, else in order.
        behind: Skip the oldest while more than so many wait. The base model and the last step are never skipped.
        attempts: Tries before a checkpoint counts as failed.
        keep: Steps whose weights are kept after evaluation, or a rule for them; for other steps `leases/step-N` is
            removed. By the rule `verdict` that happens when the verdict is in.
        first: Steps to take before others, in this order.
        workers: How many workers empty the queue together, as far as that is known.
        wait: Whether to wait for more while the training runs, and for a training that has not begun.
        probes: Names of diagnostics of level `checkpoint` that run on each checkpoint once it is evaluated.
    """

    newest_first: bool = False
    behind: int | None = None
    attempts: int = 2
    keep: Collection[int] | Rule = ()
    wait: bool = True
    probes: Sequence[str] = ()
    first: Sequence[int] = ()
    workers: int = 1

    def keeps(self, step: int) -> bool | None:
        """Whether the weights of a step stay; None where a rule says so, when more is known."""
        return None if isinstance(self.keep, Rule) else step in self.keep


def work(
    folder: Path,
    backend: Backend = Backend(),
    policy: Policy = Policy(),
    trackers: Sequence[str] = (),
) -> list[int]:
    """Evaluate what waits, until the training has ended and nothing is left.

    Args:
        folder: Run directory.
        backend: What generates.
        policy: Which checkpoints, in which order.
        trackers: Names of trackers; they get the scores of all workers.

    Returns:
        The steps that this worker evaluated.

    Raises:
        ScheduleError: Not the run directory of a queue, and the worker is not to wait for one.
        RecordError: The run directory cannot be written.
        WorkerError: The worker or its machine is at fault, or an entry cannot be read; what else waited is done.
        UnknownNameError: A diagnostic that nobody registered.
        UnknownModelError: A model that lm_eval does not know, or whose engine is not installed.
        SftgenError: A task or its data cannot be loaded, or the model does not apply a setting of the suite.
    """
    require_model(backend.model)
    require_installed(backend.model)
    probes = require_probes(policy.probes)
    queue, run = Queue(folder), RunFolder(folder)
    if policy.wait:
        _wait_for_training(queue)
    suite = Suite.read(queue.suite)
    run.require_writable()
    check_settings(backend.model, suite.gen_kwargs)
    engine = KeptEngine(partial(_expected, queue, policy), backend.never_kept(probes))
    worker = _Worker(queue, Evaluator(suite), backend, policy, engine, probes)
    with closing(engine), closing(Trackers(run, trackers)) as open_trackers:
        while True:
            _release_finished(queue, policy)
            _skip_when_behind(queue, policy)
            entry = queue.claim(newest_first=policy.newest_first, without=worker.doubtful, first=policy.first)
            if entry is not None:
                worker.take(entry)
                gc.collect()  # frees the last weights before the next are loaded
            elif not queue.abandoned() and not (policy.wait and _more_to_come(queue, worker.doubtful)):
                if worker.doubtful or not (suite.adaptive and choose_next(queue, suite.adaptive)):
                    break
            else:
                time.sleep(POLL)
            open_trackers.log_new()
        open_trackers.log_new()
        _require_queue(queue)
        _release_finished(queue, policy)
        run.compact()
    worker.require_no_doubt()
    _require_readable(queue)
    return worker.done


# ------------------------------------------------------------------------------ one checkpoint


@dataclass
class _Worker:
    """A worker, and what it has seen so far.

    Attributes:
        queue: The queue.
        evaluator: The tasks, loaded once.
        backend: What generates.
        policy: Which checkpoints, in which order.
        engine: Loads the weights.
        probes: Diagnostics that run on each checkpoint.
        done: Steps that it evaluated. One of them proves that its arguments and its machine are right.
        doubtful: Steps that failed before that proof, with the reason: by their fault or the worker's.
        pauses: Faults of the machine in a row.
    """

    queue: Queue
    evaluator: Evaluator
    backend: Backend
    policy: Policy
    engine: KeptEngine
    probes: Sequence[Diagnostic] = ()
    done: list[int] = field(default_factory=list)
    doubtful: dict[int, str] = field(default_factory=dict)
    pauses: int = 0

    def take(self, entry: Entry) -> None:
        """Evaluate a claimed entry and move it on.

        Raises:
            WorkerError: The fault is the worker's own.
        """
        run, keep = RunFolder(self.queue.run), self.policy.keeps(entry.step)
        if _has_results(run, entry):  # a worker was killed between its results and the entry's move
            self._probe(run, entry)
            self.queue.finish(entry, "done", keep=keep)
            return
        logger.info("step %d: evaluating", entry.step)
        started, before = time.perf_counter(), tallied()
        try:
            with self.queue.alive(entry):
                results = self._results(entry)
        except KeyboardInterrupt:
            self.queue.finish(entry, "waiting", INTERRUPTED, "worker")
            raise
        except Exception as error:
            self.engine.close()  # it may be what is broken
            _require_queue(self.queue)
            self._failed(entry, error)
            return
        if not self.queue.holds(entry):
            logger.warning("step %d: it was saved again meanwhile, or taken over; this result is dropped", entry.step)
            return
        seconds = time.perf_counter() - started
        rows = add_results(run, entry.step, results, seconds, entry=entry.id, made=tallied() - before)
        self._probe(run, entry)
        if self.engine.how:
            _note_engine(run, entry.step, self.engine.how)
        self.queue.finish(entry, "done", keep=keep)
        self.done.append(entry.step)
        self.doubtful.clear()  # the worker is right: they are tried again, and their failures count
        self.pauses = 0
        logger.info("step %d: %s (%.1f s)", entry.step, in_one_line(rows), seconds)

    def _probe(self, run: RunFolder, entry: Entry) -> None:
        if self.probes:
            gc.collect()  # frees the weights that were evaluated
            with self.queue.alive(entry):
                probe_step(run, self.probes, entry.step, run.path / entry.path, self.backend.model_args)

    def _results(self, entry: Entry) -> list[TaskResult]:
        checkpoint = self.queue.run / entry.path
        try:
            content_id = verify_stable(checkpoint)
            if content_id != entry.model_id:
                raise CheckpointError(f"{str(checkpoint)!r} holds other weights than were enqueued")
        except CheckpointError as error:
            raise NotWholeError(str(error)) from error
        return evaluate_checkpoint(
            checkpoint, run_dir=self.queue.run, step=entry.step, evaluator=self.evaluator, last=entry.last,
            model=self.backend.model, model_args=self.backend.model_args, record=False, content_id=content_id,
            load=self.engine,
        )  # fmt: skip

    def _failed(self, entry: Entry, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:500]
        fault = fault_of(error)
        if fault == "worker":
            self.queue.finish(entry, "waiting", reason, fault)
            self._pause(entry, reason)
        elif self.done or isinstance(error, NotWholeError):
            self._count(entry, reason)
        else:
            self.queue.finish(entry, "waiting", reason, fault)
            self.doubtful[entry.step] = reason
            logger.warning(
                "step %d: evaluation failed. %s. This worker has evaluated nothing yet, so the fault may be its own: "
                "the step waits again, uncounted",
                entry.step, reason,
            )  # fmt: skip
            if len(self.doubtful) >= UNPROVEN:
                self.require_no_doubt()

    def _count(self, entry: Entry, reason: str) -> None:
        """Count a failure against the checkpoint, and give it up after enough of them."""
        logger.warning("step %d: evaluation failed. %s", entry.step, reason)
        if entry.failures + 1 < self.policy.attempts:
            self.queue.finish(entry, "waiting", reason)
            return
        if not self.queue.holds(entry):
            return
        logger.warning(
            "step %d: given up after %d failures; its weights stay in %s. `sftgen queue RUN --retry %d` lets it wait "
            "again",
            entry.step, entry.failures + 1, entry.path, entry.step,
        )  # fmt: skip
        RunFolder(self.queue.run).add_failure(entry.step, self.evaluator.suite.tasks, reason)
        self.queue.finish(entry, "failed", reason)

    def _pause(self, entry: Entry, reason: str) -> None:
        if self.pauses >= len(PAUSES):
            raise WorkerError(
                f"step {entry.step} cannot be evaluated here: {reason}. It waits again, and nothing is counted "
                "against it. Put that right and start the worker again"
            )
        pause = PAUSES[self.pauses]
        self.pauses += 1
        logger.warning("step %d: not evaluated yet, next try in %.0f s. %s", entry.step, pause, reason)
        time.sleep(pause)

    def require_no_doubt(self) -> None:
        """Check that no step failed without a proof of whose fault it was.

        Raises:
            WorkerError: Some did.
        """
        left = {entry.step for entry in self.queue.entries("waiting")}  # others may have evaluated some meanwhile
        failed = "; ".join(f"step {step}: {reason}" for step, reason in self.doubtful.items() if step in left)
        if failed:
            raise WorkerError(
                f"this worker could evaluate none of the checkpoints that it tried ({failed}). They wait again, and "
                "nothing is counted against them. Check --model, --model-args and the machine, then start it again; "
                "`sftgen queue RUN` shows what waits"
            )


class NotWholeError(CheckpointError):
    """A checkpoint whose files are not those that were enqueued: its own fault, whoever looks."""


def _has_results(run: RunFolder, entry: Entry) -> bool:
    return bool(entry.id) and any(
        row.get("entry") == entry.id and row.get("status") == "ok" for row in read_rows(run.evaluations)
    )


def _note_engine(run: RunFolder, step: int, how: str) -> None:
    """Tell the manifest which engine answered for a step, and how vLLM computed; other workers add to it too."""
    facts = {"engines": how, "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1"}
    with run.writing():
        told = manifest.read_manifest(run.path)
        known = {name: found if isinstance(found := told.get(name), dict) else {} for name in facts}
        added = {name: {**known[name], str(step): fact} for name, fact in facts.items()}
        manifest.write_manifest(run.path, told, **added)


# ------------------------------------------------------------------------------ the whole queue


def _wait_for_training(queue: Queue) -> None:
    said = False
    while not queue.suite.is_file():
        if not said:
            logger.info("%s: no training has begun here. Waiting for one; Ctrl-C ends", queue.run)
            said = True
        time.sleep(POLL)


def _require_queue(queue: Queue) -> None:
    if not queue.suite.is_file():
        raise WorkerError(
            f"run directory {str(queue.run)!r} is gone: no {queue.suite.name} in its queue any more. Was it moved, or "
            "its disk unmounted? Start the worker again when it is back; nothing is counted against its checkpoints"
        )


def _require_readable(queue: Queue) -> None:
    unreadable = queue.unreadable()
    if unreadable:
        named = "; ".join(f"{found.path}: {found.reason}" for found in unreadable)
        raise WorkerError(
            f"not evaluated, since their entries cannot be read: {named}. The files are kept. "
            "`sftgen queue RUN --retry STEP` makes an entry anew from its leased weights"
        )


def _release_finished(queue: Queue, policy: Policy) -> None:
    """Remove the leases of evaluated steps whose weights nobody asked to keep."""
    done = [entry for entry in queue.entries("done") if (queue.run / entry.path).exists()]
    unsaid = [entry for entry in done if entry.keep is None]
    kept = kept_steps(queue, policy.keep) if unsaid and isinstance(policy.keep, Rule) else None
    for entry in done:
        if entry.keep is False or (entry.keep is None and kept is not None and entry.step not in kept):
            release(queue.run / entry.path)


def _skip_when_behind(queue: Queue, policy: Policy) -> None:
    if policy.behind is None:
        return
    waiting = queue.entries("waiting")
    excess = len(waiting) - policy.behind
    for entry in [entry for entry in waiting if entry.step and not entry.last][: max(excess, 0)]:
        reason = f"{len(waiting)} checkpoints were waiting, more than {policy.behind}"
        if queue.skip(entry, reason):
            logger.warning("step %d: skipped, %s", entry.step, reason)
            release(queue.run / entry.path)


def _expected(queue: Queue, policy: Policy) -> tuple[list[Path], int]:
    """Checkpoints that wait, and how many others will at least, of those that fall to one worker."""
    waiting = queue.entries("waiting")
    not_yet = sum(queue.find(step) is None for step in policy.first)
    more = max(not_yet, WORTH if training_goes_on(queue) and not policy.first else 0)
    mine = -(-len(waiting) // policy.workers)
    return [queue.run / entry.path for entry in waiting[:mine]], more // policy.workers


def _more_to_come(queue: Queue, doubtful: Collection[int]) -> bool:
    _require_queue(queue)
    if any(entry.step not in doubtful for entry in queue.entries("running")):
        return True  # another worker has them, and may die
    return training_goes_on(queue)
