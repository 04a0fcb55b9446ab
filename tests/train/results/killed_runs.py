"""Starts one command again and again from a warm process and kills it at random moments."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

# Imported once here, so that each start costs a fork and not ten seconds.
import torch  # noqa: F401
import transformers  # noqa: F401
from lm_eval._cli import HarnessCLI  # noqa: F401

from sftgen_tasks.harness import command_line  # noqa: F401
from sftgen_tasks.harness.backends import hf  # noqa: F401
from sftgen_train.cli import main as cli
from sftgen_train.report import html, terminal  # noqa: F401
from sftgen_train.results import rescoring  # noqa: F401


def start(arguments: list[str], log: Path) -> int:
    """Run the command in a child process; returns its process id."""
    child = os.fork()
    if child:
        return child
    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.argv = ["sftgen", *arguments]
        try:
            cli.main()
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
        os._exit(0)


def main() -> None:
    """`killed_runs.py KILLS LOG ARGUMENTS...`: prints how many starts were killed, then finishes the run."""
    kills, log, arguments = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    rng = random.Random(7)
    killed = 0
    for _ in range(kills):
        child = start(arguments, log)
        time.sleep(rng.uniform(0.3, 1.6))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
    child = start(arguments, log)
    _, status = os.waitpid(child, 0)
    print(killed, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
