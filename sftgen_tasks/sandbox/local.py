"""Our own sandbox: programs run in workers on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Sandbox
from sftgen_tasks.sandbox.levels import SandboxError, level, require_local
from sftgen_tasks.sandbox.workers import WorkerError, borrowed


def execute(program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Execution]:
    """Run a program on each input, until one run fails."""
    with borrowed(require_local().name) as worker:
        job = {"do": "run", "source": program.source, "function": program.function, "inputs": list(inputs)}
        worker.send(job | {"limits": astuple(limits)})
        ended = False
        try:
            while not ended:
                header, body = worker.receive()
                position = 0
                for reason, detail, length, fresh in header.get("results", ()):
                    output = body[position : position + length]
                    position += length
                    if detail and not reason:  # the run succeeded: `detail` is how many bytes of its output were seen
                        seen = _text(output[: int(detail)])
                        yield Execution(_text(output), spent=header["spent"], fresh=fresh, seen=seen)
                    else:
                        yield Execution(_text(output), reason, detail, header["spent"], fresh)
                ended = "end" in header
        except GeneratorExit:
            if not ended:
                worker.send({"do": "stop"})
                while "end" not in worker.receive()[0]:
                    pass


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
            with borrowed(name, "decode") as worker:
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
