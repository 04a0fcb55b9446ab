"""In place of `work`, in the processes of a test: entries are claimed and finished, and nothing is evaluated."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sftgen_train.queue.entries import Queue


@dataclass(frozen=True)
class Order:
    """What counts here of a worker's policy, whose module takes seconds to import."""

    first: tuple[int, ...] = ()
    workers: int = 1


def work(run: Path, backend: None, policy: Order, trackers: tuple[str, ...]) -> None:
    """Empty a queue; who sees GPU 0 dies with its first entry in its hands, when the others have one too."""
    queue, seen = Queue(run), os.environ["CUDA_VISIBLE_DEVICES"]
    while queue.entries("waiting") or queue.entries("running"):
        if (entry := queue.claim(first=policy.first)) is None:
            time.sleep(0.02)
            continue
        with (run / "log").open("a") as log:
            log.write(f"{seen} {entry.step}\n")
        while len((run / "log").read_text().splitlines()) < 2:
            time.sleep(0.02)
        if seen == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        queue.finish(entry, "done", keep=True)


def die(run: Path, backend: None, policy: Order, trackers: tuple[str, ...]) -> None:
    """Claim an entry and die."""
    Queue(run).claim()
    os.kill(os.getpid(), signal.SIGKILL)
