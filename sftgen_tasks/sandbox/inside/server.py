"""The worker: takes programs with their inputs, forks a process for each, and sends back what it printed.

It runs no program itself and never sees an expected output. A process runs all tests of a sample unless it
ends or is used up before; then another one goes on.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sftgen_tasks.sandbox.inside import records, runner
from sftgen_tasks.sandbox.inside.children import Allowance, Child, Confinement, fork, limit_all
from sftgen_tasks.sandbox.inside.jobs import JOBS
from sftgen_tasks.sandbox.inside.messages import receive, send

_FIRST_LOOK, _LOOK, _HEARTBEAT = 0.02, 0.05, 1.0


def serve(channel: socket.socket, confinement: Confinement) -> None:
    """Serve requests until the other side is gone."""
    limit_all()
    # Programs must not import these modules.
    for name in [name for name in sys.modules if name.startswith("sftgen_tasks")]:
        del sys.modules[name]
    gc.freeze()
    while True:
        header, body = receive(channel)
        if header["do"] == "run":
            _run(channel, header, confinement)
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


def _run(channel: socket.socket, job: dict[str, Any], confinement: Confinement) -> None:
    inputs: Sequence[str] = job["inputs"]
    if "numpy" in job["source"]:
        _import_numpy()
    test, total, memory = job["limits"]
    allowance = Allowance(test, total, memory, largest_input=4 * max(map(len, inputs), default=0))
    done, last = 0, False
    while done < len(inputs) and not last:
        before = done

        def inside(files: runner.Files, first: int = done) -> None:
            runner.run_tests(job["source"], job["function"], inputs, first, files)

        child = fork(allowance, confinement, inside, channel.fileno())
        done, last = _follow(channel, child, done, len(inputs), printing=not job["function"])
        if done == before and not last:
            last = True
            result = ["crash", "ended before the test began", 0, True]
            send(channel, {"results": [result], "spent": allowance.spent})
    send(channel, {"end": True, "spent": allowance.spent})


def _import_numpy() -> None:
    """Load numpy without its threads; from now on every program can import it in no time."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    os.environ.update(dict.fromkeys(names, "1"))
    with suppress(ImportError):
        importlib.import_module("numpy")
    os.environ.clear()


def _follow(channel: socket.socket, child: Child, first: int, count: int, *, printing: bool) -> tuple[int, bool]:
    """Pass on the results of one process.

    Returns:
        The test to go on with, and whether it was the last process.
    """
    done, position, last_message, look = first, 0, time.monotonic(), _FIRST_LOOK
    left = failed = stopped = False
    while child.ended is None:
        stopped = child.wait(look, channel.fileno())
        look = _LOOK
        if stopped:
            receive(channel)
            child.kill("stopped")
        child.measure()
        start, results = position, []
        new_records = child.new_records()
        size = os.fstat(child.files.output).st_size  # read after the records: a record comes after its output
        for record in new_records:
            left = left or record.status == records.LEAVE
            if left or failed or done == count or record.index != done:
                continue
            fresh = done == first
            if record.status == records.OK and position <= record.end <= size:
                seen = record.detail if record.detail.isdecimal() else ""
                results.append(["", seen, record.end - position, fresh])
                position = record.end
            else:
                results.append([records.REASONS.get(record.status, "crash"), record.detail, 0, fresh])
                failed = True
            done += 1
        if results:
            child.begin_test()
        if child.ended is not None and not (left or failed or stopped or done == count):
            reason, detail = child.ending()
            if not reason and not printing:
                reason, detail = "crash", "ended before the function returned"
            end = position if reason else max(position, os.fstat(child.files.output).st_size)
            results.append([reason, detail, end - position, done == first])
            position, failed = end, bool(reason)
            done += 1
        if results or time.monotonic() - last_message > _HEARTBEAT:
            last_message = time.monotonic()
            body = _read(child.files.output, start, position)
            send(channel, {"results": results, "spent": child.spent()}, body)
    child.close()
    return done, failed or stopped


def _read(file: int, start: int, end: int) -> bytes:
    data = os.pread(file, end - start, start)
    return data.ljust(end - start, b"\0")  # a program may have shortened the file


def _decode(channel: socket.socket, job: dict[str, Any], data: bytes, confinement: Confinement) -> None:
    function = JOBS[job["job"]]
    test, _, memory = job["limits"]
    allowance = Allowance(test, 2 * test, memory, largest_input=memory)

    def inside(files: runner.Files) -> None:
        try:
            rest = memoryview(function(data))
            while rest:
                rest = rest[os.write(files.output, rest) :]
            records.write(files.report, records.OK, 0, 0)
        except BaseException as error:
            records.write(files.report, records.CRASH, 0, 0, f"{type(error).__name__}: {error}")

    child = fork(allowance, confinement, inside, channel.fileno())
    written = []
    while child.ended is None:
        if child.wait(_LOOK, channel.fileno()):
            receive(channel)  # raises EOFError: nothing is sent while a job runs, so the other side is gone
        child.measure()
        written += child.new_records()
        send(channel, {})
    reason, detail = child.ending()
    if written and written[0].status == records.OK:
        body = _read(child.files.output, 0, os.fstat(child.files.output).st_size)
        send(channel, {"end": True}, body)
    else:
        failed = (written[0].detail if written else detail or reason) or "it ended early"
        send(channel, {"end": True, "failed": failed})
    child.close()
