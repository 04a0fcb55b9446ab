"""A worker of pytest-xdist as a fork of the process from which commands are forked: it imports what is large once.

`pytest --tx "4*popen//python=python tests/warm_worker.py"`; what follows are the arguments of the interpreter.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    # Workers of one session have one parent.
    os.environ.setdefault("PYTEST_XDIST_TESTRUNUID", f"workers-of-{os.getppid()}")
    from tests.commands import HERE

    worker = HERE.fork([sys.executable, *sys.argv[1:]], [1, 2, 0])
    code = worker.wait()
    # What it has forked holds its end of the pipe: pytest would wait for a worker that was killed for ever.
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    sys.exit(code)
