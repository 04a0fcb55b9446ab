"""Our own sandbox: programs run in workers on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Sandbox
from sftgen_tasks.sandbox.inside.system import open_memory
from sftgen_tasks.sandbox.levels import SandboxError, level, require_local
from sftgen_tasks.sandbox.workers import WorkerError, borrowed


def execute(program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Execution]:
    """Run a program on each input, until one run fails."""
    about = {
        "do": "run", "tests": len(inputs), "largest": 4 * max(map(len, inputs), default=0), "limits": astuple(limits),
        "prints": not program.function, "numpy": "numpy" in program.source,
    }  # fmt: skip
    job = {"source": program.source, "function": program.function, "inputs": list(inputs)}
    with borrowed(require_local().name, program.setting) as worker, closing(_Files()) as files:
        # The worker never reads the job: what it held once, a later program could find in its memory.
        worker.send(about)
        worker.send_file(files.holding(json.dumps(job).encode()))
        ended = False
        try:
            while not ended:
                header, _ = worker.receive()
                if "output" in header:
                    output = files.keep(worker.receive_file())
                for reason, detail, begin, end, fresh in header.get("results", ()):
                    if reason == "sandbox error":
                        raise WorkerError(detail)
                    # A program may have shortened the file.
                    data = os.pread(output, end - begin, begin).ljust(end - begin, b"\0") if end > begin else b""
                    if detail and not reason:  # the run succeeded: `detail` is how many bytes of its output were seen
                        seen = _text(data[: int(detail)])
                        yield Execution(_text(data), spent=header["spent"], fresh=fresh, seen=seen)
                    else:
                        yield Execution(_text(data), reason, detail, header["spent"], fresh)
                ended = "end" in header
        except GeneratorExit:
            if not ended:
                worker.send({"do": "stop"})
                while "end" not in (header := worker.receive()[0]):
                    if "output" in header:
                        files.keep(worker.receive_file())


class _Files:
    """Open files of one job, closed together."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def keep(self, file: int) -> int:
        self._open.append(file)
        return file

    def holding(self, data: bytes) -> int:
        """A file in memory that holds these bytes."""
        file = self.keep(open_memory("job"))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        return file

    def close(self) -> None:
        for file in self._open:
            os.close(file)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


SANDBOX = Sandbox("local", lambda: level().description, execute)


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
