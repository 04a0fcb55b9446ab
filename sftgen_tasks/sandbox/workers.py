"""Workers seen from sftgen: processes at a level of isolation, which are kept and used again."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Setting
from sftgen_tasks.sandbox.inside.messages import receive, send, send_files
from sftgen_tasks.sandbox.inside.namespaces import TEMPORARY_BYTES, WRITABLE
from sftgen_tasks.sandbox.inside.view import PACKAGES_INSIDE, library_folders, site_folders

_INSIDE = Path(__file__).resolve().parent / "inside"

# Packages that contest programs use beside the standard library; no other installed package is visible.
PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "networkx", "sortedcontainers")
PLAIN = Setting()
PATIENCE = 30.0
"""Seconds without a message after which a worker counts as dead; a live worker sends one every second."""


class WorkerError(Exception):
    """A worker did not start, has ended, or does not answer."""


class Worker:
    """A worker process at one level.

    Raises:
        WorkerError: This machine does not offer the level; the message says what is missing.
    """

    def __init__(self, level: str, purpose: Setting | None) -> None:
        self.level, self.purpose = level, purpose
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                _command(level),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Hashes are the same in every run, and so is the order of sets.
                env={"PYTHONHASHSEED": "0"},
                cwd="/",
                start_new_session=True,
            )
        try:
            self.send({"level": level, "packages": _package_folders(), **asdict(purpose or PLAIN)})
            error = self.receive()[0].get("error")
        except WorkerError:
            error = "the worker ended while it started"
        if error:
            self.close()
            raise WorkerError(error)

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Send a message.

        Raises:
            WorkerError: The worker is gone.
        """
        self._try(send, self.channel, header, body)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next message.

        Raises:
            WorkerError: The worker is gone, or sent nothing for `PATIENCE` seconds.
        """
        message: tuple[dict[str, Any], bytes] = self._try(receive, self.channel)
        return message

    def send_files(self, *files: int) -> None:
        """Send open files.

        Raises:
            WorkerError: The worker is gone.
        """
        self._try(send_files, self.channel, *files)

    def _try(self, action: Any, *arguments: Any) -> Any:
        self.channel.settimeout(PATIENCE)
        try:
            return action(*arguments)
        except TimeoutError:
            raise WorkerError(f"the worker gave no sign of life for {PATIENCE:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise WorkerError("the worker died") from error

    def close(self) -> None:
        """End it, with all that runs in it."""
        self.channel.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _command(level: str) -> list[str]:
    interpreter = [sys.executable, "-S", "-s", "-X", "utf8", "-B", str(_INSIDE / "__main__.py")]
    if level != "bubblewrap":
        return interpreter
    program = shutil.which("bwrap")
    if not program:
        raise WorkerError("bwrap is not installed")
    command = [program, "--unshare-all", "--cap-drop", "ALL", "--as-pid-1", "--proc", "/proc", "--dev", "/dev"]
    for folder in WRITABLE:
        command += ["--size", str(TEMPORARY_BYTES), "--tmpfs", folder]
    # The executable of a virtual environment needs the environment; the real one does not.
    executable = os.path.realpath(sys.executable)
    for path in dict.fromkeys([*library_folders([f"{sys.base_prefix}/lib"]), executable, str(_INSIDE)]):
        command += ["--ro-bind-try", path, path]
    for path in _package_folders():
        command += ["--ro-bind", path, f"{PACKAGES_INSIDE}/{Path(path).name}"]
    # These folders are covered last: programs may only see the installed packages of `PACKAGES`.
    for path in filter(os.path.isdir, site_folders()):
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return [*command, executable, *interpreter[1:]]


@cache
def _package_folders() -> list[str]:
    """Folders of the installed `PACKAGES`, and of the shared libraries beside them."""
    found = []
    for name in PACKAGES:
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            for folder in (spec and spec.submodule_search_locations) or ():
                found += [path for path in (folder, f"{folder}.libs") if Path(path).is_dir()]
    return found


class _Idle:
    """Workers that wait for work. After a fork the child starts with none, because they belong to its parent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = os.getpid()
        self.workers: list[Worker] = []

    def take(self, level: str, purpose: Setting | None) -> Worker:
        with self.lock:
            if self.owner != os.getpid():
                self.owner, self.workers = os.getpid(), []
            for worker in list(self.workers):
                if (worker.level, worker.purpose) == (level, purpose):
                    self.workers.remove(worker)
                    if worker.process.poll() is None:
                        return worker
                    worker.close()  # killed while it waited
        return Worker(level, purpose)

    def put(self, worker: Worker) -> None:
        with self.lock:
            self.workers.append(worker)

    def close(self) -> None:
        with self.lock:
            if self.owner == os.getpid():
                for worker in self.workers:
                    worker.close()
                self.workers = []


_idle = _Idle()
atexit.register(_idle.close)


@contextmanager
def borrowed(level: str, purpose: Setting | None = PLAIN) -> Iterator[Worker]:
    """A worker; afterwards it is kept, or ended if an error was raised.

    Args:
        level: Its level.
        purpose: What it has ready for programs; None for one that decodes tests and never runs a program: what it
            decoded may be left in its memory.
    """
    worker = _idle.take(level, purpose)
    try:
        yield worker
    except BaseException as error:
        worker.close()
        if isinstance(error, WorkerError):
            _idle.close()  # the cause may have ended or stopped the waiting workers too
        raise
    _idle.put(worker)
