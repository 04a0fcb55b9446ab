"""One process that runs a program, seen from the worker: it is confined and measured, and its end is explained."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from sftgen_tasks.sandbox.inside import records
from sftgen_tasks.sandbox.inside.runner import Files
from sftgen_tasks.sandbox.inside.system import drop_capabilities, fork_alone, open_memory, open_process

OUTPUT_BYTES = 64 << 20
"""The most that one program prints in one test."""
_FIRST_LOOK, _LOOK = 0.02, 0.05
"""Seconds between two looks at what it used."""
WALL_FACTOR = 10
"""Wall time that ends a program, as a multiple of the limit on what it used; waiting for a processor is left out."""
BUSY_FACTOR = 100
"""Wall time that ends a program however much of it was waiting, as a multiple of the same."""
MARGIN = 1.15
"""Other work on a machine adds to the CPU time of a program too, by what it costs to share caches and memory."""
_MUCH = 8
"""A killed process that held this part of its memory limit may have been killed for it."""
_MOST_THREADS = 512
_MOST_FILES = 256
_STACK_BYTES = 1 << 30
_AT_REST = frozenset("STtZXI")
"""States of a thread that neither runs nor waits for a processor or a disk: it sleeps, is stopped, or has ended."""
_SIGNALS: dict[int, tuple[str, str]] = {
    signal.SIGSYS: ("refused call", "a system call that no program here may make"),
    signal.SIGKILL: ("crash", "killed"),
    signal.SIGXCPU: ("time limit", "CPU time"),
}


class Confinement(NamedTuple):
    """How the level in force confines the process of a program, and how it cleans up afterwards."""

    apply: Callable[[], None]
    clean: Callable[[], None]
    kill_all: bool


class Allowance:
    """What is left of a sample's limits, in seconds and bytes.

    Attributes:
        file: The most bytes that it writes.
        waited: In which its processes waited for a processor.
    """

    def __init__(self, test: float, total: float, memory: int, file: int = OUTPUT_BYTES) -> None:
        self.test, self.total, self.memory, self.file = test, total, memory, file
        self.spent = self.waited = 0.0
        self.began = time.monotonic()


class Child:
    """A forked process and what is known of it; of `files` these are the worker's ends.

    Time a program is charged for: CPU time, and time in which all its threads slept. Time in which it
    waited for a processor is the machine's.

    Attributes:
        confined: Whether it was confined before it did anything else.
    """

    def __init__(self, pid: int, files: Files, allowance: Allowance, handle: int, channel: int) -> None:
        self.pid, self.files, self.allowance, self.handle, self.channel = pid, files, allowance, handle, channel
        self.confined = False
        self.ended: int | None = None
        self.killed = ""
        self._memory = 0
        self._cpu = self._idle = self._waited = 0.0
        self._seen = time.monotonic()
        # What had been used and waited when its test began, and when that was.
        self._test = 0.0, 0.0, self._seen
        self._next_look = self._seen + _FIRST_LOOK
        self._clock = (~pid << 3) | 2
        self._poll = select.poll()
        for file in (handle, channel, files.report):
            self._poll.register(file, select.POLLIN)

    def wait(self) -> bool:
        """Wait for a record, its end, time to look at it, or a message from sftgen; True if there is a message."""
        message = False
        for file, _ in self._poll.poll(max(0, 1000 * (self._next_look - time.monotonic()))):
            if file == self.handle:
                self._reap()
            message |= file == self.channel
        return message

    def record(self) -> records.Record | None:
        """The next record, None if there is none now."""
        try:
            record = records.read(self.files.report)
        except EOFError:
            with suppress(KeyError):
                self._poll.unregister(self.files.report)  # it would be ready for ever
            return None
        if record and record.status == records.CONFINED and not self.confined:
            self.confined = True
            return self.record()
        return record

    def looked(self) -> bool:
        """Look at it if it is time, or it has ended: charge what it used, and end it where that is too much."""
        if self.ended is None and time.monotonic() < self._next_look:
            return False
        self._measure()
        self._next_look = time.monotonic() + _LOOK
        return True

    def _measure(self) -> None:
        if self.ended is not None:
            return
        cpu = time.clock_gettime(self._clock)
        now = time.monotonic()
        passed = now - self._seen
        asleep, wants_processor, threads = _look(self.pid)
        unused = max(0.0, passed - (cpu - self._cpu))
        if asleep:
            self._idle += unused
        elif wants_processor:
            self._waited += unused
        if threads > _MOST_THREADS:
            self.kill("refused call", f"more than {_MOST_THREADS} threads")
        self._cpu, self._seen = cpu, now
        used = self._cpu + self._idle
        used_before, waited_before, began = self._test
        of_test = now - began, self._waited - waited_before
        of_sample = now - self.allowance.began, self._waited + self.allowance.waited
        if used - used_before > MARGIN * self.allowance.test:
            self.kill("time limit", f"a test took more than {self.allowance.test:g} s")
        elif self.allowance.spent + used > self.allowance.total:
            self.kill("time limit", "all tests together took more than their limit")
        elif _too_late(*of_test, self.allowance.test) or _too_late(*of_sample, self.allowance.total):
            self.kill("time limit", f"not ended after {WALL_FACTOR} times the limit in wall time")

    def begin_test(self) -> None:
        """A test has ended, and the next one begins."""
        if self.ended is None:
            self._test = (time.clock_gettime(self._clock) + self._idle, self._waited, time.monotonic())
            with suppress(BrokenPipeError):  # it is about to end
                os.write(self.files.go, b"g")

    def kill(self, reason: str, detail: str = "") -> None:
        """End it now."""
        if self.ended is None:
            self.killed = f"{reason}\n{detail}"
            os.kill(self.pid, signal.SIGKILL)
            select.select([self.handle], [], [])
            self._reap()

    def _reap(self) -> None:
        if self.ended is not None:
            return
        _, self.ended, used = os.wait4(self.pid, 0)
        self._cpu = used.ru_utime + used.ru_stime
        self._memory = used.ru_maxrss << 10

    def spent(self) -> float:
        """Seconds that the sample has used, with this process."""
        return self.allowance.spent + self._cpu + self._idle

    def close(self) -> None:
        """Charge all of it, and let go of its files."""
        self.allowance.spent = self.spent()
        self.allowance.waited += self._waited
        for file in (self.handle, self.files.input, self.files.output, self.files.go, self.files.report):
            os.close(file)

    def ending(self) -> tuple[str, str]:
        """Why the process ended, if no record says it; no reason if it exited with status 0."""
        status = self.ended or 0
        if self.killed:
            reason, _, detail = self.killed.partition("\n")
            return reason, detail
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            return ("crash", f"exit code {code}") if code else ("", "")
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and self._memory > self.allowance.memory // _MUCH:
            return "memory limit", "killed, as the system does when memory runs out"
        return _SIGNALS.get(number, ("crash", signal.strsignal(number) or f"signal {number}"))


def fork(
    allowance: Allowance, confinement: Confinement, inside: Callable[[Files], None], channel: int, *kept: int
) -> Child:
    """Fork a process that confines itself and calls `inside`.

    Args:
        allowance: Its limits.
        confinement: How it confines itself.
        inside: What it does then, with its ends of the files.
        channel: The worker waits for messages from here too.
        kept: Descriptors that `inside` needs; it has no others but these, its files and 0 to 2.
    """
    leave = os._exit  # a program may replace it
    (take, go), (report, tell) = os.pipe(), os.pipe()
    os.set_blocking(report, False)
    input_, output = open_memory("input"), open_memory("output")
    pid = fork_alone()
    if pid:
        os.close(take)
        os.close(tell)
        return Child(pid, Files(input_, output, go, report), allowance, open_process(pid), channel)
    try:
        _limit(resource.RLIMIT_AS, allowance.memory)
        _limit(resource.RLIMIT_FSIZE, allowance.file)
        _limit(resource.RLIMIT_CPU, int(allowance.total - allowance.spent) + 5)
        drop_capabilities()
        confinement.apply()
        _close_all_but(input_, output, take, tell, *kept)
        records.write(tell, records.CONFINED)
    except BaseException:
        leave(0)  # the worker sees that nothing was told
    try:
        inside(Files(input_, output, take, tell))
    finally:
        leave(0)


def _close_all_but(*kept: int) -> None:
    last = 2
    for file in (*sorted(kept), _MOST_FILES):
        if file > last + 1:  # an empty range would be taken for all
            os.closerange(last + 1, file)
        last = file


def limit_all() -> None:
    """Limits for the worker and all that it forks."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    # Deep recursion needs a large stack. The stacks of threads keep their size. Programs may raise the limit further.
    hardest = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = _STACK_BYTES if hardest == resource.RLIM_INFINITY else min(_STACK_BYTES, hardest)
    resource.setrlimit(resource.RLIMIT_STACK, (stack, hardest))


def _limit(what: int, value: int) -> None:
    hardest = resource.getrlimit(what)[1]
    value = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
    resource.setrlimit(what, (value, value))


def _too_late(wall: float, waited: float, limit: float) -> bool:
    return wall - waited > WALL_FACTOR * limit or wall > BUSY_FACTOR * limit


def _look(pid: int) -> tuple[bool, bool, int]:
    """Whether all its threads sleep, whether one runs or waits for a processor, and how many there are.

    Nothing is known where /proc cannot be read.
    """
    try:
        state, threads = _state(f"/proc/{pid}/stat")
        states = {state}
        if state in _AT_REST and threads > 1:
            tasks = os.listdir(f"/proc/{pid}/task")[:_MOST_THREADS]
            states = {_state(f"/proc/{pid}/task/{task}/stat")[0] for task in tasks}
        return states <= _AT_REST, "R" in states, threads
    except OSError:
        return False, False, 0


def _state(path: str) -> tuple[str, int]:
    with open(path, encoding="utf-8", errors="replace") as file:
        words = file.read().rpartition(")")[2].split()
    return words[0], int(words[17])
