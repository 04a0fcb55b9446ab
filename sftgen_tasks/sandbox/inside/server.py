"""The worker: forks a process for each program and tells how its tests ended.

It runs no program itself, and never holds a program, an input or an output: a later program could find them in its
memory. They are in files, between which the system copies: an input when its test begins, an output when its test has
ended. A process runs all tests of a sample unless it ends or is used up before; then another one goes on.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sftgen_tasks.sandbox.inside import records, runner
from sftgen_tasks.sandbox.inside.children import Allowance, Child, Confinement, fork, limit_all
from sftgen_tasks.sandbox.inside.jobs import DECODED_BYTES, JOBS
from sftgen_tasks.sandbox.inside.messages import receive, receive_files, send

_HEARTBEAT = 1.0


def serve(channel: socket.socket, confinement: Confinement) -> None:
    """Serve requests until the other side is gone."""
    limit_all()
    # Programs must not import these modules.
    for name in [name for name in sys.modules if name.startswith("sftgen_tasks")]:
        del sys.modules[name]
    random.seed(0)  # so that a program that uses random numbers has one verdict
    gc.freeze()
    while True:
        header, body = receive(channel)
        if header["do"] == "run":
            files = receive_files(channel, 3)
            _run(channel, header, files, confinement)
            for file in files:
                os.close(file)
        elif header["do"] == "decode":
            _decode(channel, header, body, confinement)
        else:  # a request to stop that came after the end
            continue
        # A program leaves traces only in its process, which has ended, and in the temporary folder.
        if confinement.kill_all:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass
        confinement.clean()


class _Tests:
    """The files of a job, which the worker never reads: it lets the system copy from one to another.

    Attributes:
        ends: Where each input ends in the file of all inputs.
        kept: How much there is in the file of all outputs. No program has that file, so what is in there stays.
    """

    def __init__(self, program: int, inputs: int, outputs: int, ends: Sequence[int]) -> None:
        self.program, self.inputs, self.outputs, self.ends = program, inputs, outputs, ends
        self.kept = 0

    def give(self, number: int, child: Child) -> None:
        """Give a process the input of its next test."""
        begin, end = self.ends[number - 1] if number else 0, self.ends[number]
        file = child.files.input
        os.lseek(file, 0, os.SEEK_SET)
        _copy(self.inputs, begin, end, file)
        if os.lseek(file, 0, os.SEEK_END) > end - begin:  # the one before was longer
            os.ftruncate(file, end - begin)
        os.lseek(file, 0, os.SEEK_SET)
        child.begin_test()

    def keep(self, child: Child) -> tuple[int, int]:
        """Take the output of a test; returns where it begins and ends in the file of all outputs."""
        begin, file = self.kept, child.files.output
        self.kept += _copy(file, 0, os.lseek(file, 0, os.SEEK_END), self.outputs)
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        return begin, self.kept


def _copy(source: int, begin: int, end: int, target: int) -> int:
    """Copy bytes from one file to where another one stands; returns how many, fewer if the file has been shortened."""
    position = begin
    while position < end and (copied := os.sendfile(target, source, position, end - position)):
        position += copied
    return position - begin


def _run(channel: socket.socket, about: dict[str, Any], files: Sequence[int], confinement: Confinement) -> None:
    if about["numpy"]:
        _import_numpy()
    program, inputs, outputs = files
    tests = _Tests(program, inputs, outputs, about["ends"])
    function, streams, allowance = about["function"], about["streams"], Allowance(*about["limits"])
    # What stands at descriptors 0 and 1 of a program that has its streams only: reading and writing raise an error.
    nothing = os.open(os.path.dirname(os.__file__), os.O_RDONLY | os.O_CLOEXEC)
    done, last = 0, False
    header: dict[str, Any] = {}

    def inside(files: runner.Files) -> None:
        source = os.pread(tests.program, os.fstat(tests.program).st_size, 0).decode("utf-8", "surrogatepass")
        os.close(tests.program)
        runner.run_tests(source, function, files, nothing if streams else None)

    while done < len(tests.ends) and not last:
        if header:
            send(channel, header)
        child = fork(allowance, confinement, inside, channel.fileno(), tests.program, nothing)
        done, last, results = _follow(channel, child, tests, done, may_end=not (function or streams))
        header = {"results": results, "spent": allowance.spent}
    os.close(nothing)
    send(channel, {**header, "end": True})


def _import_numpy() -> None:
    """Load numpy without its threads; from now on every program can import it in no time."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    os.environ.update(dict.fromkeys(names, "1"))
    with suppress(ImportError):
        importlib.import_module("numpy")
    os.environ.clear()


def _follow(
    channel: socket.socket, child: Child, tests: _Tests, first: int, *, may_end: bool
) -> tuple[int, bool, list[list[Any]]]:
    """Give a process its tests, one when the one before has ended, and pass on results while it runs.

    Args:
        channel: To sftgen.
        child: The process.
        tests: All tests of the sample.
        first: Its first test.
        may_end: Whether a test may end by the end of the process.

    Returns:
        The test to go on with, whether it was the last process, and the results that were not passed on.
    """
    done, last_message = first, time.monotonic()
    failed = stopped = over = False
    results: list[list[Any]] = []
    tests.give(first, child)
    while True:
        if child.wait():
            receive(channel)
            stopped = True
            child.kill("stopped")
        record = child.record()
        if record and not (over or stopped):
            fresh = done == first
            late = record.status == records.LATE
            if late or record.status in (records.OK, records.LAST):
                results.append(["", "", *tests.keep(child), fresh, late])
            else:
                results.append([records.REASONS.get(record.status, "crash"), record.detail, 0, 0, fresh, False])
                failed = True
            done += 1
            over = failed or record.status != records.OK or done == len(tests.ends)
            if over:
                child.kill("over")
            else:
                tests.give(done, child)
        elif not record and child.ended is not None:
            break
        if child.looked() and (results or time.monotonic() - last_message > _HEARTBEAT):
            send(channel, {"results": results, "spent": child.spent()})
            results, last_message = [], time.monotonic()
    if not child.confined:
        results, failed = [["sandbox error", "a program could not be confined", 0, 0, True, False]], True
    elif not (over or stopped):
        reason, detail = child.ending()
        if not reason and not may_end:
            reason, detail = "crash", "ended before the function returned"
        results.append([reason, detail, *((0, 0) if reason else tests.keep(child)), done == first, False])
        failed = bool(reason)
        done += 1
    child.close()
    return done, failed or stopped, results


def _decode(channel: socket.socket, job: dict[str, Any], data: bytes, confinement: Confinement) -> None:
    function = JOBS[job["job"]]
    test, _, memory = job["limits"]
    allowance = Allowance(test, 2 * test, memory, DECODED_BYTES)

    def inside(files: runner.Files) -> None:
        try:
            rest = memoryview(function(data))
            while rest:
                rest = rest[os.write(files.output, rest) :]
            records.write(files.report, records.OK)
        except BaseException as error:
            records.write(files.report, records.CRASH, f"{type(error).__name__}: {error}")

    child = fork(allowance, confinement, inside, channel.fileno())
    written = []
    while True:
        if child.wait():
            receive(channel)  # raises EOFError: nothing is sent while a job runs, so the other side is gone
        record = child.record()
        if record:
            written.append(record)
        elif child.ended is not None:
            break
        if child.looked():
            send(channel, {})
    reason, detail = child.ending() if child.confined else ("", "it could not be confined")
    if written and written[0].status == records.OK:
        body = os.pread(child.files.output, os.fstat(child.files.output).st_size, 0)
        send(channel, {"end": True}, body)
    else:
        failed = (written[0].detail if written else detail or reason) or "it ended early"
        send(channel, {"end": True, "failed": failed})
    child.close()
