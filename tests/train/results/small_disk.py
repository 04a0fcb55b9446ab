"""A small disk of its own for a command, where the machine lets a user mount one; it can be given more room."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

# The disk is there as long as this shell runs; each line that it reads is the sign to go on.
_SHELL = """
set -e
mount -t tmpfs -o size=32k tmpfs "$1"; echo small; read -r _
cp -r "$1/run" "$2/kept"
mount -o remount,size=64m tmpfs "$1"; echo large; read -r _
cp -r "$1/run" "$2/run"
"""


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a disk in a namespace of their own."""
    line = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return bool(shutil.which("unshare")) and subprocess.run(line, capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(disk: Path, copy: Path) -> Iterator[Iterator[partial[None]]]:
    """For each size of the disk, small and then large, what a process calls to see it.

    Args:
        disk: The folder where it is mounted.
        copy: After each size what is in `disk/run` is copied there, as `kept` and as `run`.
    """
    line = ["unshare", "-Urm", "sh", "-c", _SHELL, "sh", str(disk), str(copy)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        assert shell.stdout

        def sizes() -> Iterator[partial[None]]:
            for size in ("small", "large"):
                assert shell.stdout.readline() == f"{size}\n"
                yield partial(enter, shell.pid)
                print(file=shell.stdin, flush=True)

        yield sizes()
    assert shell.returncode == 0


def enter(pid: int) -> None:
    """See the disks that another process sees; for a process with one thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("user", "mnt"):
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        if libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), f"setns {kind}: {os.strerror(ctypes.get_errno())}")
        os.close(descriptor)
