"""The worker: forks a process for each program and tells how its tests ended.

It runs no program itself, and never holds a program, an input or an output: a later program could find them in its
memory. The forked process reads the job from a file, and sftgen reads the output from another. A process runs all tests
of a sample unless it ends or is used up before; then another one goes on.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from sftgen_tasks.sandbox.inside import records, runner
from sftgen_tasks.sandbox.inside.children import Allowance, Child, Confinement, fork, limit_all
from sftgen_tasks.sandbox.inside.jobs import DECODED_BYTES, JOBS
from sftgen_tasks.sandbox.inside.messages import receive, receive_file, send, send_file

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
            job = receive_file(channel)
            _run(channel, header, job, confinement)
            os.close(job)
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


def _run(channel: socket.socket, about: dict[str, Any], job: int, confinement: Confinement) -> None:
    if about["numpy"]:
        _import_numpy()
    count: int = about["tests"]
    test, total, memory = about["limits"]
    allowance = Allowance(test, total, memory, largest_input=about["largest"])
    done, last = 0, False
    while done < count and not last:
        before = done

        def inside(files: runner.Files, first: int = done) -> None:
            given = json.loads(os.pread(job, os.fstat(job).st_size, 0))
            os.close(job)
            runner.run_tests(given["source"], given["function"], given["inputs"], first, files)

        child = fork(allowance, confinement, inside, channel.fileno())
        send(channel, {"output": True})
        send_file(channel, child.files.output)
        done, last = _follow(channel, child, done, count, printing=about["prints"])
        if done == before and not last:
            last = True
            result = ["crash", "ended before the test began", 0, 0, True]
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
    left = failed = stopped = over = False
    while child.ended is None:
        stopped = child.wait(look, channel.fileno())
        look = _LOOK
        if stopped:
            receive(channel)
            child.kill("stopped")
        if over:  # it said that it ends
            child.kill("over")
        child.measure()
        results = []
        new_records = child.new_records()
        size = os.fstat(child.files.output).st_size  # read after the records: a record comes after its output
        for record in new_records:
            left = left or record.status == records.LEAVE
            if left or failed or done == count or record.index != done:
                continue
            fresh = done == first
            if record.status == records.OK and position <= record.end <= size:
                seen = record.detail if record.detail.isdecimal() else ""
                results.append(["", seen, position, record.end, fresh])
                position = record.end
            else:
                results.append([records.REASONS.get(record.status, "crash"), record.detail, 0, 0, fresh])
                failed = True
            done += 1
        over = left or failed or done == count
        if results:
            child.begin_test()
        if child.ended is not None and not child.was_confined():
            results, failed = [["sandbox error", "a program could not be confined", 0, 0, True]], True
        elif child.ended is not None and not (over or stopped):
            reason, detail = child.ending()
            if not reason and not printing:
                reason, detail = "crash", "ended before the function returned"
            end = position if reason else max(position, os.fstat(child.files.output).st_size)
            results.append([reason, detail, position, end, done == first])
            position, failed = end, bool(reason)
            done += 1
        if results or time.monotonic() - last_message > _HEARTBEAT:
            last_message = time.monotonic()
            send(channel, {"results": results, "spent": child.spent()})
    child.close()
    return done, failed or stopped


def _decode(channel: socket.socket, job: dict[str, Any], data: bytes, confinement: Confinement) -> None:
    function = JOBS[job["job"]]
    test, _, memory = job["limits"]
    allowance = Allowance(test, 2 * test, memory, largest_input=DECODED_BYTES)

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
    reason, detail = child.ending() if child.was_confined() else ("", "it could not be confined")
    if written and written[0].status == records.OK:
        body = os.pread(child.files.output, os.fstat(child.files.output).st_size, 0)
        send(channel, {"end": True}, body)
    else:
        failed = (written[0].detail if written else detail or reason) or "it ended early"
        send(channel, {"end": True, "failed": failed})
    child.close()
