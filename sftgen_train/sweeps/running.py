"""Doing what was planned: one queue a training, which a thread fills and this process and those that join it empty."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Workers
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.locks import sole_writer
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.preflight import is_local
from sftgen_train.checkpoints.leases import CheckpointError, check_complete
from sftgen_train.checkpoints.planned import last_step_of
from sftgen_train.checkpoints.retention import delete_checkpoint
from sftgen_train.evaluation.evaluator import require_tasks
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.queue.entries import STATES, Queue
from sftgen_train.queue.keeping import steps_of_verdict
from sftgen_train.queue.policy import Backend, Policy
from sftgen_train.queue.progress import training_goes_on
from sftgen_train.queue.watch import fetch_model, looks_of
from sftgen_train.sweeps.executing import Engine, empty_queue
from sftgen_train.sweeps.planning import (
    AHEAD,
    Job,
    Planned,
    Training,
    free_memory,
    require_memory,
    require_space,
)
from sftgen_train.sweeps.schema import SweepError

logger = logging.getLogger(__name__)

LOCK = "sweep"
_LOOK = 0.2


@dataclass
class Outcome:
    """What became of a sweep.

    Attributes:
        problems: Why a checkpoint, or a whole training at step None, was not evaluated.
    """

    problems: dict[tuple[str, int | None], str] = field(default_factory=dict)


def require_possible(planned: Planned, engine: Engine) -> None:
    """Check everything that can be checked before a model is loaded.

    Args:
        planned: The plan.
        engine: What is to evaluate.

    Raises:
        SftgenError: A task, a setting, the disk or the device is not as it has to be.
    """
    from sftgen_tasks.harness.registry import require_installed, require_model
    from sftgen_tasks.harness.sampling import check_settings

    sweep = planned.sweep
    engine.require(sweep.model_args)
    require_model(sweep.model)
    if engine.here:
        require_installed(sweep.model)
    check_settings(sweep.model, planned.suite.gen_kwargs)
    require_tasks(planned.suite)
    require_space(planned, engine.count(sweep.model_args))
    groups = engine.groups(sweep.model_args)
    require_memory(planned, free_memory(sweep.model, sweep.model_args, groups) if engine.here else None)


@contextmanager
def sole_sweep(out: Path) -> Iterator[None]:
    """Hold a sweep's folder for as long as the sweep runs; the lock goes with the process.

    Raises:
        SweepError: Another sweep holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_writer(out, LOCK))
        except RecordError as error:
            raise SweepError(f"{error}. One more process for the same sweep: sftgen sweep FILE --join") from error
        yield


def run_sweep(planned: Planned, outcome: Outcome, engine: Engine, *, join: bool = False) -> None:
    """Evaluate what is left of every training, then delete what the rule does not keep.

    Args:
        planned: The plan.
        outcome: Is told what goes wrong, while it runs: other threads may show it.
        engine: What evaluates.
        join: Whether another process fills the queues, and this one only evaluates.

    Raises:
        SftgenError: The engine cannot be used.
    """
    with engine.open(planned.sweep.model_args, planned.out) as workers:
        for training in planned.trainings:
            left = sum(job.left for job in training.jobs)
            logger.info("%s: %d of %d checkpoints to evaluate", training.name, left, len(training.jobs))
            try:
                if join:
                    _work(planned, training, workers)
                else:
                    _evaluate(planned, training, outcome, workers)
            except SftgenError as error:
                outcome.problems[training.name, None] = str(error)
                logger.warning("%s: %s", training.name, error)


def _evaluate(planned: Planned, training: Training, outcome: Outcome, workers: Workers | None) -> None:
    enqueuer = Enqueuer(training.run, planned.suite)
    folder = RunFolder(training.run)
    folder.require_writable()
    enqueuer.open(resumed=True)
    last = max(job.step for job in training.jobs)
    folder.update_manifest(
        model=training.base or training.name, tasks=planned.suite.tasks, evaluation="watch",
        max_steps=_end(training) or last,
        **({"in_domain": list(planned.sweep.in_domain)} if planned.sweep.in_domain else {}),
    )  # fmt: skip
    feeder = _Feeder(training, enqueuer, planned.suite, outcome)
    stop = threading.Event()
    thread = threading.Thread(target=feeder.until_stopped, args=(stop,), daemon=True)
    thread.start()
    try:
        if any(job.left for job in training.jobs):  # else no task needs to be loaded
            _work(planned, training, workers)
    finally:
        stop.set()
        thread.join()
        enqueuer.tell("finished")
    for entry in enqueuer.queue.entries("failed"):
        outcome.problems[training.name, entry.step] = entry.reason
    delete_the_rest(training)


def _work(planned: Planned, training: Training, workers: Workers | None) -> None:
    sweep = planned.sweep
    rule = training.rule
    policy = Policy(
        attempts=sweep.attempts,
        # Copies of the user's own checkpoints are not kept: the checkpoints themselves stay or go by the rule.
        keep=rule if rule.word != "all" and _fetched(training) else (),
        probes=list(sweep.probes),
        first=[job.step for job in training.jobs],
    )
    left = sum(job.left for job in training.jobs)
    empty_queue(
        workers, training.run, Backend(sweep.model, sweep.model_args, sweep.fresh_engines), policy, max(left, 1)
    )


def _fetched(training: Training) -> bool:
    return any(job.found.folder is None and job.found.copied != 0 for job in training.jobs)


def _end(training: Training) -> int | None:
    """Where the training is to end, as far as its last checkpoint tells."""
    for job in training.jobs:
        if job.found.folder and job.step == max(one.step for one in training.jobs):
            return last_step_of(job.found.checkpoint.path, job.found.folder[0])
    return None


@dataclass
class _Feeder:
    """Fills a queue; where weights have to be copied, only as fast as it is emptied.

    Attributes:
        training: The training.
        enqueuer: Its queue.
        suite: What is evaluated.
        outcome: Is told what cannot be enqueued.
    """

    training: Training
    enqueuer: Enqueuer
    suite: Suite
    outcome: Outcome

    def until_stopped(self, stop: threading.Event) -> None:
        """Enqueue every job, and tell the workers when no more will come."""
        try:
            known = {entry.step: entry.source for state in STATES for entry in self.enqueuer.queue.entries(state)}
            for job in self.training.jobs:
                while job.found.copied != 0 and self.enqueuer.waiting() >= AHEAD and not stop.is_set():
                    stop.wait(_LOOK)
                if stop.is_set():
                    return
                self._enqueue(job, known.get(job.step))
        except Exception as error:  # the thread must say so: nobody else would know
            self.outcome.problems[self.training.name, None] = f"{type(error).__name__}: {error}"
            logger.warning("%s: %s: %s", self.training.name, type(error).__name__, error)
        finally:
            self.enqueuer.tell("finished")

    def _enqueue(self, job: Job, known: str | None) -> None:
        source, checkpoint = job.found.source, job.found.checkpoint
        base, looks = self.training.base, looks_of(checkpoint)
        if known == looks:
            return
        try:
            if job.step == 0 and str(checkpoint.path) == base and not is_local(base):
                checkpoint = type(checkpoint)(0, fetch_model(base))
            if not source.materialise:
                check_complete(checkpoint.path, tokenizer=not base)
            self.enqueuer.adopt(source, checkpoint, base, looks)
        except (CheckpointError, OSError, ValueError) as error:
            self._broken(job, str(error))

    def _broken(self, job: Job, problem: str) -> None:
        """A checkpoint that cannot be enqueued: the others go on, and the run knows why this one is missing."""
        logger.warning("%s, step %d: left out. %s", self.training.name, job.step, problem)
        self.outcome.problems[self.training.name, job.step] = problem
        run = RunFolder(self.training.run)
        told = {(row.get("step"), row.get("reason")) for row in run.metric_rows() if row.get("status") == "failed"}
        if (job.step, problem) not in told:
            run.add_failure(job.step, self.suite.tasks, problem)


# ------------------------------------------------------------------------------ what does not stay


def delete_the_rest(training: Training) -> list[str]:
    """Delete a training's evaluated checkpoints that its rule does not keep.

    Only checkpoints in a folder that the user has named, beside this rule, are deleted. Nothing is deleted while a
    checkpoint of the training is not evaluated, while its trainer runs, or where a queue of another run waits for it.

    Args:
        training: The training.

    Returns:
        The folders that were deleted.
    """
    queue = Queue(training.run)
    evaluated = {entry.step for entry in queue.entries("done")} & RunFolder(training.run).evaluated_steps()
    if training.rule.word == "all" or queue.entries("waiting") or queue.entries("running"):
        return []
    # What could not be evaluated stays, and stands for no other.
    measured = [job for job in training.jobs if job.step in evaluated]
    kept = training.rule.kept([job.step for job in measured], lambda: steps_of_verdict(training.run))
    deleted = []
    for job in sorted(measured, key=lambda job: job.step):
        if job.step in kept or job.found.folder is None:
            continue
        folder, name = job.found.folder
        if why := _wanted_elsewhere(folder, job.step, training.run):
            logger.warning("%s, step %d: not deleted, %s", training.name, job.step, why)
            continue
        try:
            delete_checkpoint(folder, name)
        except (CheckpointError, OSError) as error:
            logger.warning("%s, step %d: not deleted. %s", training.name, job.step, error)
            continue
        logger.info("%s, step %d: %s is deleted, as the rule says", training.name, job.step, folder / name)
        deleted.append(str(folder / name))
    return deleted


def _wanted_elsewhere(folder: Path, step: int, own: Path) -> str:
    """Why a checkpoint is still wanted by its own trainer, or by a queue beside it; empty where it is not."""
    for run in (folder, folder / "sftgen"):
        queue = Queue(run)
        if run.resolve() == own.resolve() or not queue.suite.is_file():
            continue
        if training_goes_on(queue):
            return f"its training goes on ({run})"
        known = queue.find(step)
        if known and known[0] in {"waiting", "running"}:
            return f"it waits for an evaluation in {run}"
    return ""
