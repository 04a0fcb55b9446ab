"""`sftgen worker RUN`: evaluates the checkpoints that a training run has enqueued, until there are no more."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import CheckpointError, release, verify_stable
from sftgen_train.evaluation.evaluator import Evaluator, evaluate_checkpoint
from sftgen_train.evaluation.schedule import ScheduleError, Suite
from sftgen_train.queue.entries import Entry, Queue, is_dead
from sftgen_train.queue.progress import read_training
from sftgen_train.results.run import add_results, in_one_line
from sftgen_train.results.trackers import Trackers

logger = logging.getLogger(__name__)

POLL = 1.0


@dataclass(frozen=True)
class Backend:
    """What generates.

    Attributes:
        model: Name of an lm_eval model that takes `pretrained`.
        model_args: Further arguments of it.
    """

    model: str = "sftgen-hf"
    model_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """How a worker goes through a queue.

    Attributes:
        newest_first: Take the newest checkpoint first, else in order.
        behind: Skip the oldest while more than so many wait. The base model and the last step are never skipped.
        attempts: Tries before a checkpoint counts as failed.
        keep: Steps whose weights are kept after evaluation; for other steps `leases/step-N` is removed.
        wait: Whether to wait for more while the training runs.
    """

    newest_first: bool = False
    behind: int | None = None
    attempts: int = 2
    keep: Collection[int] = ()
    wait: bool = True


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
        ScheduleError: Not the run directory of a queue.
        SftgenError: A task or its data cannot be loaded.
    """
    queue = Queue(folder)
    evaluator = Evaluator(Suite.read(queue.suite))
    run = RunFolder(folder)
    with closing(Trackers(run, trackers)) as open_trackers:
        done = []
        while True:
            _skip_when_behind(queue, policy)
            entry = queue.claim(newest_first=policy.newest_first)
            if entry is not None:
                if _evaluate(queue, entry, evaluator, backend, policy):
                    done.append(entry.step)
                gc.collect()  # frees the last weights before the next are loaded
            elif not policy.wait or not _more_to_come(queue):
                open_trackers.log_new()
                run.compact()
                return done
            else:
                time.sleep(POLL)
            open_trackers.log_new()


class AllSteps(frozenset[int]):
    """Contains every step."""

    def __contains__(self, step: object) -> bool:
        return True


def parse_steps(text: str) -> Collection[int]:
    """`10,20` or `all`.

    Raises:
        ScheduleError: The text has another form.
    """
    if text == "all":
        return AllSteps()
    try:
        return frozenset(int(step) for step in text.split(",") if step)
    except ValueError as error:
        raise ScheduleError(f"steps {text!r}: expected whole numbers with commas between, or all") from error


def _evaluate(queue: Queue, entry: Entry, evaluator: Evaluator, backend: Backend, policy: Policy) -> bool:
    run, checkpoint = RunFolder(queue.run), queue.run / entry.path
    if len(entry.attempts) > policy.attempts:
        reasons = "; ".join(str(attempt.get("failed", "")) for attempt in entry.attempts[:-1])
        return _give_up(queue, entry, evaluator, reasons)
    logger.info("step %d: evaluating", entry.step)
    started = time.perf_counter()
    try:
        with queue.alive(entry):
            content_id = verify_stable(checkpoint)
            if content_id != entry.model_id:
                raise CheckpointError(f"{str(checkpoint)!r} holds other weights than were enqueued")
            results = evaluate_checkpoint(
                checkpoint, run_dir=run.path, step=entry.step, evaluator=evaluator, last=entry.last,
                model=backend.model, model_args=backend.model_args, record=False, content_id=content_id,
            )  # fmt: skip
    except KeyboardInterrupt:
        queue.finish(entry, "waiting", "interrupted")
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        logger.warning("step %d: evaluation failed. %s", entry.step, reason)
        if len(entry.attempts) >= policy.attempts:
            return _give_up(queue, entry, evaluator, reason)
        queue.finish(entry, "waiting", reason)
        return False
    if not queue.holds(entry):
        logger.warning("step %d: it was saved again meanwhile, or taken over; this result is dropped", entry.step)
        return False
    seconds = time.perf_counter() - started
    rows = add_results(run, entry.step, results, seconds)
    queue.finish(entry, "done")
    if entry.step not in policy.keep:
        release(checkpoint)
    logger.info("step %d: %s (%.1f s)", entry.step, in_one_line(rows), seconds)
    return True


def _give_up(queue: Queue, entry: Entry, evaluator: Evaluator, reason: str) -> bool:
    logger.warning(
        "step %d: given up after %d attempts; its weights stay in %s", entry.step, len(entry.attempts), entry.path
    )
    RunFolder(queue.run).add_failure(entry.step, evaluator.suite.tasks, reason)
    queue.finish(entry, "failed", reason)
    return False


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


def _more_to_come(queue: Queue) -> bool:
    if queue.entries("running"):
        return True  # another worker has them, and may die
    training = read_training(queue)
    if training is None:
        return False
    if is_dead(training) and training.get("state") != "finished":
        logger.warning("the training process died before its end; start it again, then this worker")
        return False
    return bool(training.get("state") != "finished")
