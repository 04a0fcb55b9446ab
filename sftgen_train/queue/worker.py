"""`sftgen worker RUN`: evaluates the checkpoints that a training run has enqueued, until there are no more."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.registry import require_installed, require_model
from sftgen_tasks.harness.sampling import check_settings
from sftgen_train.checkpoints.leases import release
from sftgen_train.checkpoints.retention import Rule
from sftgen_train.diagnosing.running import require_probes
from sftgen_train.evaluation.evaluator import Evaluator
from sftgen_train.evaluation.kept_engine import WORTH, KeptEngine
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.adaptive import choose_next
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.evaluating import Evaluating, WorkerError, require_queue
from sftgen_train.queue.keeping import kept_steps
from sftgen_train.queue.policy import Backend, Policy
from sftgen_train.queue.progress import training_goes_on
from sftgen_train.results.trackers import Trackers

logger = logging.getLogger(__name__)

POLL = 1.0
GIVEN_UP = 3
"""Exit code of a worker that leaves a checkpoint behind which was given up; all others are evaluated."""


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
    worker = Evaluating(queue, Evaluator(suite), backend, policy, engine, probes)
    with _quick_collections(), closing(engine), closing(Trackers(run, trackers)) as open_trackers, closing(worker):
        while True:
            _release_finished(queue, policy)
            _skip_when_behind(queue, policy)
            entry = queue.claim(newest_first=policy.newest_first, without=worker.doubtful, first=policy.first)
            if entry is not None:
                worker.take(entry)
                gc.collect()  # frees the last weights before the next are loaded
            elif worker.settle():
                pass  # what waits may have changed meanwhile
            elif not queue.abandoned() and not (policy.wait and _more_to_come(queue, worker.doubtful)):
                if worker.doubtful or not (suite.adaptive and choose_next(queue, suite.adaptive)):
                    break
            else:
                time.sleep(POLL)
            open_trackers.log_new()
        open_trackers.log_new()
        require_queue(queue)
        _release_finished(queue, policy)
        run.compact()
    worker.require_no_doubt()
    _require_readable(queue)
    return worker.done


@contextmanager
def _quick_collections() -> Iterator[None]:
    """Inside, garbage collection skips what was imported before: to look through that takes half a second."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _wait_for_training(queue: Queue) -> None:
    said = False
    while not queue.suite.is_file():
        if not said:
            logger.info("%s: no training has begun here. Waiting for one; Ctrl-C ends", queue.run)
            said = True
        time.sleep(POLL)


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
    require_queue(queue)
    if any(entry.step not in doubtful for entry in queue.entries("running")):
        return True  # another worker has them, and may die
    return training_goes_on(queue)
