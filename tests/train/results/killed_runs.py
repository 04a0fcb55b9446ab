"""Starts one command again and again from a warm process; each start is killed just before it changes the run's disk.

What a killed process leaves is decided by what it had written: between two changes of the disk every moment is alike.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

# Imported once here, so that each start costs a fork and not ten seconds.
import torch  # noqa: F401
import transformers  # noqa: F401
from lm_eval._cli import HarnessCLI  # noqa: F401

from sftgen_tasks.harness import command_line  # noqa: F401
from sftgen_tasks.harness.backends import hf  # noqa: F401
from sftgen_train.cli import main as cli
from sftgen_train.report import html, terminal  # noqa: F401
from sftgen_train.results import rescoring  # noqa: F401

LONGEST = 100
"""Changes of the disk within one start; an undisturbed run makes more, and many starts are killed in its last part."""


def die_before_change(number: int, folder: str) -> None:
    """Kill this process when it is about to open a file for writing, to rename or to remove for the n-th time."""
    left = number

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in {"os.rename", "os.remove"}) and str(arguments[0]).startswith(folder):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def start(arguments: list[str], log: Path, folder: str, number: int) -> int:
    """Run the command in a child process that dies at a change of the disk; returns how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.argv = ["sftgen", *arguments]
        die_before_change(number, folder)
        try:
            cli.main()
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
        os._exit(0)


def main() -> None:
    """`killed_runs.py KILLS LOG FOLDER ARGUMENTS...`: prints the number of kills in each run that came to its end.

    `RUN` among the arguments stands for a folder in FOLDER, a fresh one after each run that came to its end.
    """
    kills, log, folder, arguments = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    rng = random.Random(7)
    runs = [0]
    while True:
        run = str(folder / str(len(runs) - 1))
        number = int(LONGEST ** rng.random()) if sum(runs) < kills else 0
        code = start([run if word == "RUN" else word for word in arguments], log, run, number)
        if code == -signal.SIGKILL:
            runs[-1] += 1
        elif code:
            sys.exit(f"exit code {code}")
        elif sum(runs) < kills:
            runs.append(0)
        else:
            break
    print(*runs)


if __name__ == "__main__":
    main()
