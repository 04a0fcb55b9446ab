"""Runs programs in plain Python, for comparison: reads a JSON list of them, prints a list of what each printed.

Each runs in a process of its own, in an empty folder. It is not confined: only programs that the tests made from
harmless calls come here.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile


def printed(source: str, given: str) -> str:
    """What a program printed, up to the error that it ended with."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as inp, tempfile.TemporaryFile() as out:
        inp.write(given.encode())
        inp.seek(0)
        pid = os.fork()
        if not pid:
            os.dup2(inp.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(os.open(os.devnull, os.O_RDWR), 2)
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
            os.execve(sys.executable, [sys.executable, "-s", "-X", "utf8", "-c", source], {"PYTHONHASHSEED": "0"})
        os.waitpid(pid, 0)
        out.seek(0)
        return out.read().decode("utf-8", "replace")


if __name__ == "__main__":
    json.dump([printed(source, given) for source, given in json.load(sys.stdin)], sys.stdout)
