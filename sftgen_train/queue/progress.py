"""One line on the progress of a training and its evaluations, for somebody who watches a worker."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from sftgen_judges.records.journal import read_rows
from sftgen_train.queue.entries import Queue

TRAINING = "training.json"
"""In the queue's folder: what the trainer tells its workers."""


def read_training(queue: Queue) -> dict[str, Any] | None:
    """The trainer's last message to its workers, None when there is no message."""
    try:
        facts = json.loads((queue.folder / TRAINING).read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def describe(run: Path) -> str:
    """Training step, numbers of entries, which process evaluates what, and about how long it takes."""
    queue = Queue(run)
    training = read_training(queue) or {}
    parts = []
    if training.get("step") is not None:
        of = f" of {training['max_steps']}" if training.get("max_steps", 0) > 0 else ""
        parts.append(f"training {training['state']}, step {training['step']}{of}")
    elif training:
        parts.append(f"training {training['state']}")
    running = queue.entries("running")
    waiting, done = len(queue.entries("waiting")), len(queue.entries("done"))
    parts.append(f"{waiting} waiting, {done} done")
    parts += [f"{len(found)} {state}" for state in ("failed", "skipped") if (found := queue.entries(state))]
    for entry in running:
        owner = entry.owner or {}
        parts.append(f"step {entry.step} at {owner.get('host', '?')}:{owner.get('pid', '?')}")
    took = [row["seconds"] for row in read_rows(run / "evaluations.jsonl") if row.get("status") == "ok"]
    left = waiting + len(running)
    if took and left:
        parts.append(f"about {_duration(median(took) * left / max(len(running), 1))} left")
    return " | ".join(parts)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


@contextmanager
def shown(run: Path, console: Console) -> Iterator[None]:
    """Show the line at the bottom of the terminal until the end; where there is no terminal, show nothing."""
    if not console.is_terminal:
        yield
        return
    spinner = Spinner("dots", "")

    def line() -> Spinner:
        spinner.update(text=describe(run))
        return spinner

    handlers = [found for found in logging.getLogger().handlers if isinstance(found, logging.StreamHandler)]
    with Live(console=console, get_renderable=line, refresh_per_second=2, transient=True):
        streams = [handler.setStream(sys.stderr) for handler in handlers]  # Live's: messages appear above the line
        try:
            yield
        finally:
            for handler, stream in zip(handlers, streams, strict=True):
                if stream is not None:
                    handler.setStream(stream)
