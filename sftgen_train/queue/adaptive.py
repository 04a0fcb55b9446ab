"""Steps that are chosen after looking: between two evaluated ones, where a score or a length moved most.

The trainer keeps candidates as leases. Once it has ended and the steps that were fixed beforehand are evaluated, a
worker chooses one candidate after the other, until so many steps are evaluated as the suite allows. What that does to
the test of a dip is in docs/training.md.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p
from typing import Any

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import release
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.results.training_file import read_training

logger = logging.getLogger(__name__)

LENGTH = "response_tokens"
CHOSEN = "chosen_steps"
"""In the manifest: why each step was chosen."""
Means = Mapping[int, Mapping[tuple[str, str], float]]
"""Mean score and length, by step and by task and metric."""


@dataclass(frozen=True)
class Choice:
    """A step between two evaluated ones, and why it is chosen.

    Attributes:
        step: The step.
        low: The evaluated step before it.
        high: The one after it.
        task: The task that moved most between them.
        metric: Its score, or its length.
        before: The mean at the step before.
        after: The mean at the step after.
        moved: By how much: in points of the score, or as a share of the longer length.
    """

    step: int
    low: int
    high: int
    task: str
    metric: str
    before: float
    after: float
    moved: float

    def told(self) -> str:
        """Why, in words."""
        what = "length" if self.metric == LENGTH else self.metric
        digits = 0 if self.metric == LENGTH else 2
        return (
            f"{self.task.removeprefix('sftgen_')} {what} {self.before:.{digits}f} at step {self.low}, "
            f"{self.after:.{digits}f} at step {self.high}"
        )


def choose(means: Means, candidates: Sequence[int]) -> Choice | None:
    """The candidate to evaluate next; None where nothing moved around any.

    Args:
        means: What is known of the evaluated steps.
        candidates: Steps whose weights are kept.
    """
    steps = sorted(means)
    found: list[Choice] = []
    for low, high in pairwise(steps):
        between = [step for step in candidates if low < step < high]
        both = means[low].keys() & means[high].keys()
        if not between or not both:
            continue
        moved, (task, metric) = max((_moved(key, means[low][key], means[high][key]), key) for key in both)
        middle = (log1p(low) + log1p(high)) / 2
        step = min(between, key=lambda step: (abs(log1p(step) - middle), step))
        before, after = means[low][task, metric], means[high][task, metric]
        found.append(Choice(step, low, high, task, metric, before, after, moved))
    best = max(found, key=lambda choice: (choice.moved, choice.high - choice.low, -choice.low), default=None)
    return best if best and best.moved > 0 else None


def _moved(key: tuple[str, str], before: float, after: float) -> float:
    change = abs(after - before)
    return change / max(before, after) if key[1] == LENGTH and change else change


def means_of(rows: Sequence[Mapping[str, Any]]) -> dict[int, dict[tuple[str, str], float]]:
    """Mean scores and lengths out of a run's metric rows."""
    found: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for row in rows:
        step, mean, metric = row.get("step"), row.get("mean"), str(row.get("metric"))
        if row.get("status") == "ok" and isinstance(step, int) and mean is not None and metric in ("score", LENGTH):
            found[step][str(row["task"]), metric] = float(mean)
    return found


def choose_next(queue: Queue, most: int) -> bool:
    """Let the next candidate wait; the others are released where no more are to be evaluated.

    Nothing is chosen while the training goes on, or while a worker evaluates: all choose from the same scores.

    Args:
        queue: The queue.
        most: Most steps to evaluate, those that were fixed beforehand among them.

    Returns:
        Whether a step waits now.
    """
    candidates = queue.entries("candidate")
    ended = read_training(queue.folder).get("state") == "finished"
    if not candidates or not ended or queue.entries("running") or queue.entries("waiting"):
        return bool(queue.entries("waiting"))
    run = RunFolder(queue.run)
    evaluated = len(queue.entries("done")) + len(queue.entries("failed"))
    choice = choose(means_of(run.metric_rows()), [entry.step for entry in candidates]) if evaluated < most else None
    if choice is None:
        why = f"{evaluated} steps are evaluated, of at most {most}" if evaluated >= most else "nothing moved around it"
        _release(queue, candidates, why)
        return False
    entry = next(entry for entry in candidates if entry.step == choice.step)
    known = run.manifest().get(CHOSEN)
    run.update_manifest(**{CHOSEN: {**(known if isinstance(known, dict) else {}), str(choice.step): choice.told()}})
    if queue.choose(entry):
        logger.info("step %d: chosen (%d of at most %d): %s", choice.step, evaluated + 1, most, choice.told())
    return True


def _release(queue: Queue, candidates: Sequence[Entry], why: str) -> None:
    for entry in candidates:
        if queue.leave(entry, f"not chosen: {why}"):
            release(queue.run / entry.path)
    logger.info("%d candidates are not evaluated: %s", len(candidates), why)
