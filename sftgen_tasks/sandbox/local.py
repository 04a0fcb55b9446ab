"""Our own sandbox: programs run in workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple
from itertools import accumulate

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Sandbox
from sftgen_tasks.sandbox.inside.system import open_memory
from sftgen_tasks.sandbox.levels import SandboxError, level, require_local
from sftgen_tasks.sandbox.workers import WorkerError, borrowed


def execute(
    program: Program, inputs: Sequence[str], limits: Limits, *, wanted: Callable[[], bool] = lambda: True
) -> Iterator[Execution]:
    """Run a program on each input, until one run fails.

    Args:
        program: The program.
        inputs: Its inputs.
        limits: What it may use.
        wanted: Asked about once a second; when it says no, the program is stopped.
    """
    given = [text.encode("utf-8", "surrogatepass") for text in inputs]
    about = {
        "do": "run", "ends": list(accumulate(map(len, given))), "limits": astuple(limits),
        "function": program.function, "streams": program.streams_only, "numpy": "numpy" in program.source,
    }  # fmt: skip
    with borrowed(require_local().name, program.setting) as worker, ExitStack() as open_files:
        # The worker reads none of them: what it held once, a later program could find in its memory.
        source = program.source.encode("utf-8", "surrogatepass")
        files = [_file(open_files, data) for data in ([source], given, [])]
        worker.send(about)
        worker.send_files(*files)
        ended = False
        with suppress(GeneratorExit):
            while not ended and wanted():
                header, _ = worker.receive()
                ended = "end" in header
                for reason, detail, begin, end, fresh, late in header.get("results", ()):
                    if reason == "sandbox error":
                        raise WorkerError(detail)
                    output = os.pread(files[-1], end - begin, begin) if end > begin else b""
                    yield Execution(output.decode("utf-8", "replace"), reason, detail, header["spent"], fresh, late)
        if not ended:
            worker.send({"do": "stop"})
            while "end" not in worker.receive()[0]:
                pass


def _file(open_files: ExitStack, parts: Iterable[bytes]) -> int:
    """A file in memory that holds these bytes."""
    file = open_memory("job")
    open_files.callback(os.close, file)
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(file, rest) :]
    return file


SANDBOX = Sandbox("local", lambda: level().description, execute, streams=True)


def decode(job: str, data: bytes, limits: Limits = Limits()) -> bytes:
    """Run a job of `inside/jobs.py` on bytes that cannot be trusted, inside the sandbox.

    Args:
        job: Its name there, for instance `pickled_json`.
        data: The bytes.
        limits: What the job may use; `test_seconds` is its time limit.

    Raises:
        SandboxError: There is no sandbox, or the job raised an error, took too long or died.
    """
    name = require_local().name
    for attempt in range(2):  # a worker may have died while it waited for work
        try:
            with borrowed(name, None) as worker:
                worker.send({"do": "decode", "job": job, "limits": astuple(limits)}, data)
                while "end" not in (answer := worker.receive())[0]:
                    pass
            break
        except WorkerError as error:
            if attempt:
                raise SandboxError(f"{job}: {error}") from error
    if "failed" in answer[0]:
        raise SandboxError(f"{job} cannot decode this: {answer[0]['failed']}")
    return answer[1]
