"""Runs a command as a user who is not root: `python -m tests.tasks.sandbox.another_user COMMAND ARGUMENT...`, as root.

Folders on the way to the interpreter and to these files may be closed to others. So the command has a mount namespace
of its own, in which such a folder is covered by an open one that holds only what is needed.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import defaultdict
from pathlib import Path

from sftgen_tasks.sandbox.inside.system import call, mount
from tests import ROOT

USER = 65534
_NEW_MOUNTS, _BIND, _REC, _PRIVATE = 0x20000, 4096, 16384, 1 << 18


def open_ways(paths: list[Path]) -> None:
    """Let everybody reach these folders, in this process and those that it starts."""
    call("unshare", _NEW_MOUNTS)
    mount("none", "/", None, _REC | _PRIVATE)
    closed = defaultdict(list)
    for path in paths:
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                closed[folder].append((path, os.open(path, os.O_PATH)))
                break
    for folder, inside in closed.items():
        mount("open", str(folder), "tmpfs", 0, "mode=755")
        for path, file in inside:
            path.mkdir(parents=True)
            mount(f"/proc/self/fd/{file}", str(path), None, _BIND | _REC)
            os.close(file)


def main(command: list[str]) -> None:
    """Become that user and the command."""
    open_ways([Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT])
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.execve(command[0], command, os.environ | {"HOME": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"})


if __name__ == "__main__":
    main(sys.argv[1:])
