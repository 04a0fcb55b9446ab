"""One line on the progress of a training and its evaluations, for somebody who watches a worker."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from sftgen_judges.progress import duration, told_elsewhere
from sftgen_judges.records.columns import EVALUATIONS
from sftgen_judges.records.journal import whole_rows
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.liveness import is_dead
from sftgen_train.results.training_file import TRAINING, read_training

logger = logging.getLogger(__name__)

GIVEN_UP = 600.0
"""Seconds without a sign of life after which a trainer on another machine is taken for dead."""


def training_goes_on(queue: Queue) -> bool:
    """Whether the trainer may enqueue more: it has not finished, and nothing says that it is dead."""
    training = read_training(queue.folder)
    if not training or training.get("state") == "finished":
        return False
    if is_dead(training):
        logger.warning("the training process died before its end; start it again, then this worker")
        return False
    try:
        silent = queue.signs.silent(queue.folder / TRAINING)
    except OSError:
        return False
    if silent > GIVEN_UP:
        logger.warning(
            "the training on %s gave no sign of life for %s and is taken for dead; if it runs, start this worker again",
            training.get("host", "an unknown machine"), duration(silent),
        )  # fmt: skip
        return False
    return True


def describe(run: Path) -> str:
    """Training step, numbers of entries, which process evaluates what, and about how long it takes."""
    queue = Queue(run)
    training = read_training(queue.folder)
    parts = []
    if training.get("step") is not None:
        most = training.get("max_steps")
        of = f" of {most}" if isinstance(most, int) and most > 0 else ""
        parts.append(f"training {training.get('state')}, step {training['step']}{of}")
    elif training:
        parts.append(f"training {training.get('state')}")
    running = queue.entries("running")
    waiting, done = len(queue.entries("waiting")), len(queue.entries("done"))
    parts.append(f"{waiting} waiting, {done} done")
    parts += [f"{len(found)} {state}" for state in ("failed", "skipped") if (found := queue.entries(state))]
    if unreadable := queue.unreadable():
        parts.append(f"{len(unreadable)} cannot be read")
    parts += [f"step {entry.step} at {entry.worker or '?:?'}" for entry in running]
    workers = {entry.worker for entry in running}  # one may grade a checkpoint and generate another
    evaluations = whole_rows(run / "evaluations.jsonl", EVALUATIONS)
    took = [row["seconds"] for row in evaluations if row.get("status") == "ok" and row.get("seconds") is not None]
    left = waiting + len(running)
    if took and left:
        parts.append(f"about {duration(median(took) * left / max(len(workers), 1))} left")
    return " | ".join(parts)


@contextmanager
def shown(run: Path, console: Console) -> Iterator[None]:
    """Show the line at the bottom of the terminal until the end; where there is no terminal, show nothing."""
    spinner = Spinner("dots", "")

    def line() -> Spinner:
        spinner.update(text=describe(run))
        return spinner

    with shown_live(line, console):
        yield


@contextmanager
def shown_live(what: Callable[[], RenderableType], console: Console) -> Iterator[None]:
    """Show something at the bottom of the terminal until the end; where there is no terminal, show nothing."""
    if not console.is_terminal:
        yield
        return
    handlers = [found for found in logging.getLogger().handlers if isinstance(found, logging.StreamHandler)]
    with told_elsewhere(), Live(console=console, get_renderable=what, refresh_per_second=2, transient=True):
        streams = [handler.setStream(sys.stderr) for handler in handlers]  # Live's: messages appear above the line
        try:
            yield
        finally:
            for handler, stream in zip(handlers, streams, strict=True):
                if stream is not None:
                    handler.setStream(stream)
