"""What a worker does with the checkpoints that it has claimed: one is generated while the one before is graded."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Diagnostic
from sftgen_judges.records import manifest
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.provenance import tallied
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_tasks.harness.behind import Behind
from sftgen_train.checkpoints.leases import CheckpointError, verify_stable
from sftgen_train.diagnosing.running import probe_step
from sftgen_train.evaluation.evaluator import Evaluator, generate_checkpoint
from sftgen_train.evaluation.kept_engine import KeptEngine
from sftgen_train.queue.entries import INTERRUPTED, Entry, Queue
from sftgen_train.queue.faults import fault_of
from sftgen_train.queue.policy import BEHIND, Backend, Policy
from sftgen_train.results.run import Effort, add_results, in_one_line

logger = logging.getLogger(__name__)

PAUSES = (5.0, 20.0, 60.0)
"""Seconds to wait before the next try after a fault of the machine, for example a full GPU. After the last, it ends."""
UNPROVEN = 3
"""Checkpoints that may fail before a worker that has evaluated none takes the fault for its own."""


class WorkerError(SftgenError):
    """A worker that cannot evaluate; nothing is counted against the checkpoints."""


class NotWholeError(CheckpointError):
    """A checkpoint whose files are not those that were enqueued: its own fault, whoever looks."""


@dataclass
class _Generated:
    """A checkpoint whose responses stand, and that is graded.

    Attributes:
        entry: Its entry.
        evaluation: What goes on.
        begun: The time of day when that began.
        seconds: How long it kept the worker from others, until its responses stood.
        made: What the process made for it.
        how: Which engine answered.
        alive: Touches the entry until it is closed.
    """

    entry: Entry
    evaluation: Behind[list[TaskResult]]
    begun: str
    seconds: float
    made: Counter[str]
    how: str
    alive: ExitStack


@dataclass
class Evaluating:
    """What a worker has in its hands, and what it has seen so far.

    Attributes:
        queue: The queue.
        evaluator: The tasks, loaded once.
        backend: What generates.
        policy: Which checkpoints, in which order.
        engine: Loads the weights.
        probes: Diagnostics that run on each checkpoint.
        behind: Checkpoints that are graded, the oldest first.
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
    behind: list[_Generated] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    doubtful: dict[int, str] = field(default_factory=dict)
    pauses: int = 0

    def take(self, entry: Entry) -> None:
        """Generate what a claimed entry is asked for. It moves on once it is graded: with the next one, or `settle`.

        Raises:
            WorkerError: The fault is the worker's own.
        """
        if _has_results(RunFolder(self.queue.run), entry):  # a worker was killed between its results and its move
            self._probe(entry)
            self.queue.finish(entry, "done", keep=self.policy.keeps(entry.step))
            return
        # One in which a worker died is alone in its worker: if that dies again, it was not for another one.
        alone = entry.deaths > 0 or bool(self.probes) or not self.evaluator.may_be_graded_behind()
        if alone:
            self.settle()
        logger.info("step %d: evaluating", entry.step)
        begun, started, before = manifest.now(precisely=True), time.perf_counter(), tallied()
        with ExitStack() as alive:
            try:
                alive.enter_context(self.queue.alive(entry))
                evaluation = self._generated(entry)
            except KeyboardInterrupt:
                self.queue.finish(entry, "waiting", INTERRUPTED, "worker")
                raise
            except Exception as error:
                self.engine.close()  # it may be what is broken
                require_queue(self.queue)
                try:
                    self.settle()  # if that goes well, this worker is right
                finally:
                    self._failed(entry, error)
                return
            seconds, made = time.perf_counter() - started, tallied() - before
            self.behind.append(_Generated(entry, evaluation, begun, seconds, made, self.engine.how, alive.pop_all()))
        self.settle(leave=0 if alone or evaluation.world_size > 1 else BEHIND)

    def settle(self, leave: int = 0) -> bool:
        """Wait for the end of grading, and move the entries on.

        Args:
            leave: How many may go on being graded.

        Returns:
            Whether there were any.

        Raises:
            WorkerError: The fault is the worker's own.
        """
        settled = self.behind[: len(self.behind) - leave]
        for generated in settled:
            began = time.perf_counter()
            try:
                results = generated.evaluation.result()
            except Exception as error:
                self._let_go(generated)
                require_queue(self.queue)
                self._failed(generated.entry, error)
            else:
                self._graded(generated, results, time.perf_counter() - began)
                self._let_go(generated)
        return bool(settled)

    def close(self) -> None:
        """Let what is still graded wait again: the worker ends before it does. The verdicts that stand are kept."""
        for generated in list(self.behind):
            self._let_go(generated)
            self.queue.finish(generated.entry, "waiting", INTERRUPTED, "worker")

    def _let_go(self, generated: _Generated) -> None:
        generated.alive.close()
        self.behind.remove(generated)

    def _graded(self, generated: _Generated, results: list[TaskResult], waited: float) -> None:
        """Write down what was found, for which the worker has waited, and move the entry on."""
        run, entry = RunFolder(self.queue.run), generated.entry
        if not self.queue.holds(entry):
            logger.warning("step %d: it was saved again meanwhile, or taken over; this result is dropped", entry.step)
            return
        seconds = generated.seconds + waited
        effort = Effort(generated.begun, generated.made, waiting=waited, grading=generated.evaluation.seconds)
        rows = add_results(run, entry.step, results, seconds, entry=entry.id, effort=effort)
        self._probe(entry)
        if generated.how:
            _note_engine(run, entry.step, generated.how)
        self.queue.finish(entry, "done", keep=self.policy.keeps(entry.step))
        self.done.append(entry.step)
        self.doubtful.clear()  # the worker is right: they are tried again, and their failures count
        self.pauses = 0
        logger.info("step %d: %s (%.1f s)", entry.step, in_one_line(rows), seconds)

    def _probe(self, entry: Entry) -> None:
        if self.probes:
            gc.collect()  # frees the weights that were evaluated
            run = RunFolder(self.queue.run)
            with self.queue.alive(entry):
                probe_step(run, self.probes, entry.step, run.path / entry.path, self.backend.model_args)

    def _generated(self, entry: Entry) -> Behind[list[TaskResult]]:
        checkpoint = self.queue.run / entry.path
        try:
            content_id = verify_stable(checkpoint)
            if content_id != entry.model_id:
                raise CheckpointError(f"{str(checkpoint)!r} holds other weights than were enqueued")
        except CheckpointError as error:
            raise NotWholeError(str(error)) from error
        return generate_checkpoint(
            checkpoint, run_dir=self.queue.run, step=entry.step, evaluator=self.evaluator, last=entry.last,
            model=self.backend.model, model_args=self.backend.model_args, content_id=content_id, load=self.engine,
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


def require_queue(queue: Queue) -> None:
    """Check that the run directory is still there.

    Raises:
        WorkerError: It is not.
    """
    if not queue.suite.is_file():
        raise WorkerError(
            f"run directory {str(queue.run)!r} is gone: no {queue.suite.name} in its queue any more. Was it moved, or "
            "its disk unmounted? Start the worker again when it is back; nothing is counted against its checkpoints"
        )
