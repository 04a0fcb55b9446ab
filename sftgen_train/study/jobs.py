"""Jobs of a study in processes of their own: as many at once as there are devices, each after those it needs.

On a machine without a GPU a job is a fork of this process, which has imported the large libraries once. On one with
GPUs it is a new process that sees one GPU. A job ends with its study.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import printable
from sftgen_train.sweeps.devices import gpus_here

WARM = (
    "torch",
    "transformers.models.qwen3.modeling_qwen3",
    "sftgen_train.training.running",
    "lm_eval.models.huggingface",
)
"""What every job needs and what takes seconds to import."""
_POLL = 0.05
_SILENCE = 60.0
"""So many seconds after its last word a job is heard again."""
_TAIL = 2000
"""Bytes at the end of a log in which its last line is looked for."""
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


@dataclass(frozen=True)
class Job:
    """A function of a module, called in its own process.

    Attributes:
        label: What it does, for messages.
        target: `module:function`.
        arguments: Its arguments, as JSON knows them.
        log: Where its output goes.
        after: Labels of jobs that come first; if one fails, this one is not begun.
        alone: Whether it takes all devices.
        environment: Variables that are set for it.
    """

    label: str
    target: str
    arguments: Mapping[str, Any]
    log: Path
    after: tuple[str, ...] = ()
    alone: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> Path:
        """Where it says why it failed."""
        return self.log.with_suffix(".error")


class _Process(Protocol):
    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""

    def kill(self) -> None:
        """End it."""


@dataclass(frozen=True)
class Devices:
    """What jobs run on.

    Attributes:
        slots: How many at once.
        gpus: Numbers of the GPUs; empty on a machine without one.
        threads: Threads of a job on a CPU.
    """

    slots: int
    gpus: tuple[str, ...] = ()
    threads: int = 1

    @classmethod
    def here(cls, most: int | None = None) -> Devices:
        """What this machine has.

        Args:
            most: Jobs at once, at most.
        """
        gpus = gpus_here()
        if gpus:
            return cls(min(most or len(gpus), len(gpus)), gpus)
        cores = len(os.sched_getaffinity(0))
        slots = min(most or cores, cores)
        return cls(slots, (), max(1, cores // slots))


def run_jobs(jobs: Sequence[Job], devices: Devices, say: Callable[[str], None]) -> dict[str, str]:
    """Run jobs until none is left.

    Args:
        jobs: The jobs; those that others come after stand before them.
        devices: What they run on.
        say: Told when a job begins, ends or fails.

    Returns:
        Why jobs failed or were not begun, by label.
    """
    state = _State(devices, say, {job.label for job in jobs})
    waiting = list(jobs)
    try:
        while waiting or state.running:
            state.collect()
            state.tell()
            waiting = [job for job in waiting if not state.begin(job)]
            time.sleep(_POLL)
    finally:
        for _, process, _ in state.running.values():
            process.kill()
    return state.failed


@dataclass
class _State:
    """Jobs on their way.

    Attributes:
        devices: What they run on.
        say: Told when a job begins, ends or fails.
        known: Labels of all jobs.
        running: Job, process and start of each slot in use.
        ended: Labels of jobs that have ended, or will not begin.
        failed: Why jobs failed, by label.
        heard: When a job was last heard of, and what it said, by label.
    """

    devices: Devices
    say: Callable[[str], None]
    known: set[str]
    running: dict[int, tuple[Job, _Process, float]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    heard: dict[str, tuple[float, str]] = field(default_factory=dict)

    def collect(self) -> None:
        """Note which jobs have ended."""
        for slot, (job, process, began) in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[slot]
            self.ended.add(job.label)
            seconds = f"{time.monotonic() - began:.0f} s"
            if code:
                self.failed[job.label] = _why(job, code)
                self.say(f"{job.label}: failed after {seconds}. {self.failed[job.label]}")
            else:
                self.say(f"{job.label}: done in {seconds}")

    def tell(self) -> None:
        """Say how far jobs are that take long: what stands last in their logs, where that is new."""
        for job, _, began in self.running.values():
            when, before = self.heard.get(job.label, (began, ""))
            if time.monotonic() - when >= _SILENCE:
                line = _last_line(job.log)
                self.heard[job.label] = time.monotonic(), line
                if line not in ("", before):
                    self.say(f"{job.label}: {line}")

    def begin(self, job: Job) -> bool:
        """Begin a job if it can be begun; True too where it never will be."""
        blocked = next((name for name in job.after if name in self.failed), None)
        if blocked:
            self.ended.add(job.label)
            self.failed[job.label] = f"not begun: {blocked} failed"
            return True
        free = next((slot for slot in range(self.devices.slots) if slot not in self.running), None)
        ready = all(name in self.ended or name not in self.known for name in job.after)
        taken = any(other.alone for other, _, _ in self.running.values()) or (job.alone and self.running)
        if free is None or not ready or taken:
            return False
        self.running[free] = (job, _start(job, self.devices, free), time.monotonic())
        self.say(f"{job.label}: begins (log: {job.log})")
        return True


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        words = printable(file.read(_TAIL).decode(errors="replace").replace("\r", "\n")).split("\n")
        return next((line.strip()[:160] for line in reversed(words) if line.strip()), "")
    return ""


def _why(job: Job, code: int) -> str:
    with contextlib.suppress(OSError, ValueError):
        told = str(json.loads(job.told.read_text())["why"])
        return f"{told} (log: {job.log})" if told else f"see {job.log}"
    return f"it ended with code {code}; see {job.log}"


# ------------------------------------------------------------------------------ processes


class _Fork:
    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _start(job: Job, devices: Devices, slot: int) -> _Process:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.told.unlink(missing_ok=True)
    if not devices.gpus:
        for name in WARM:
            importlib.import_module(name)
        process = multiprocessing.get_context("fork").Process(target=_forked, args=(job, devices.threads, os.getpid()))
        process.start()
        return _Fork(process)
    visible = ",".join(devices.gpus) if job.alone else devices.gpus[slot]
    environment = {**os.environ, **job.environment, "CUDA_VISIBLE_DEVICES": visible}
    described = json.dumps({"target": job.target, "arguments": dict(job.arguments), "told": str(job.told)})
    with job.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sftgen_train.study.jobs", described, str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip


def _forked(job: Job, threads: int, parent: int) -> None:
    """In the fork: its output goes to the log."""
    _end_with(parent)
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(job.environment)
    import torch

    torch.set_num_threads(threads)
    sys.exit(_call(job.target, job.arguments, job.told))


def _end_with(parent: int) -> None:
    """Have this process killed when its study ends, in whatever way."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it ended meanwhile
            os._exit(1)


def _call(target: str, arguments: Mapping[str, Any], told: Path) -> int:
    """Call a job's function; what goes wrong is written down, a user's mistake without a traceback."""
    from datasets import disable_progress_bars

    from sftgen_train.evaluation.quiet import without_bars

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("sftgen_train").setLevel(logging.INFO)
    disable_progress_bars()
    module, _, name = target.partition(":")
    try:
        with _told(told), without_bars():
            getattr(importlib.import_module(module), name)(**arguments)
    except BaseException:
        sys.stdout.flush()
        sys.stderr.flush()
        return 1
    return 0


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except SftgenError as error:
        print(error, file=sys.stderr)
        path.write_text(json.dumps({"why": str(error)}))
        raise
    except BaseException as error:
        traceback.print_exc()
        path.write_text(json.dumps({"why": f"{type(error).__name__}: {error}"[:500]}))
        raise


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    _end_with(int(sys.argv[2]))
    sys.exit(_call(given["target"], given["arguments"], Path(given["told"])))
