"""Runs programs in plain Python, for comparison: reads a JSON list of them, prints a list of what each printed.

Plain Python itself may hang at its end, in its threads: such a program has None in the list.

Each runs in a process of its own, in an empty folder. It is not confined: only programs that the tests made from
harmless calls come here.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile

SECONDS = 60


def printed(source: str, given: str) -> str | None:
    """What a program printed, up to the error that it ended with; None if it did not end."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as inp, tempfile.TemporaryFile() as out:
        inp.write(given.encode())
        inp.seek(0)
        pid = os.fork()
        if not pid:
            os.dup2(inp.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(os.open(os.devnull, os.O_RDWR), 2)
            os.chdir(folder)
            signal.alarm(SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
            os.execve(sys.executable, [sys.executable, "-s", "-X", "utf8", "-c", source], {"PYTHONHASHSEED": "0"})
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            return None
        out.seek(0)
        return out.read().decode("utf-8", "replace")


if __name__ == "__main__":
    json.dump([printed(source, given) for source, given in json.load(sys.stdin)], sys.stdout)
