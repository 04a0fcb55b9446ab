"""Runs commands, each in a fork of this process, which has imported vLLM: that saves ten seconds a command.

Started by the Python of `.venv-vllm`. One command a line of standard input, as JSON; its exit code a line of output.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import vllm.entrypoints.llm
import vllm.v1.engine.llm_engine
import vllm.v1.worker.cpu_worker  # noqa: F401

from tests.commands import become


def main() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            files = {name: Path(job[name]) for name in ("folder", "out", "err")}
            become(job["line"], job["environment"], before=None, **files)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
