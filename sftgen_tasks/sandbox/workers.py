"""Workers as sftgen sees them: processes that were started at a level of isolation, kept for reuse."""

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
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_tasks.sandbox.inside.messages import receive, send
from sftgen_tasks.sandbox.inside.namespaces import TEMPORARY_BYTES
from sftgen_tasks.sandbox.inside.view import PACKAGES_INSIDE, library_folders, site_folders

_INSIDE = Path(__file__).resolve().parent / "inside"

# What contest programs use beside the standard library; nothing else that is installed can be seen.
PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "networkx", "sortedcontainers")
PATIENCE = 30.0
"""Seconds without a sign of life after which a worker is given up; it gives one a second."""


class WorkerError(Exception):
    """A worker did not start, ended, or does not answer."""


class Worker:
    """A worker process at one level.

    Raises:
        WorkerError: This machine does not offer the level; the message says what is missing.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                _command(level),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Hashes, and with them the order of sets, are the same in every run.
                env={"PYTHONHASHSEED": "0"},
                cwd="/",
                start_new_session=True,
            )
        try:
            self.send({"level": level, "packages": _package_folders()})
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
            WorkerError: The worker is gone, or gave no sign of life for `PATIENCE` seconds.
        """
        message: tuple[dict[str, Any], bytes] = self._try(receive, self.channel)
        return message

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
    interpreter = [sys.executable, "-S", "-s", "-X", "utf8", "-B", str(_INSIDE)]
    if level != "bubblewrap":
        return interpreter
    program = shutil.which("bwrap")
    if not program:
        raise WorkerError("bwrap is not installed")
    command = [program, "--unshare-all", "--cap-drop", "ALL", "--as-pid-1", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(TEMPORARY_BYTES), "--tmpfs", "/tmp"]
    # The executable of a virtual environment needs the environment; its own does not.
    executable = os.path.realpath(sys.executable)
    for path in dict.fromkeys([*library_folders([f"{sys.base_prefix}/lib"]), executable, str(_INSIDE)]):
        command += ["--ro-bind-try", path, path]
    for path in _package_folders():
        command += ["--ro-bind", path, f"{PACKAGES_INSIDE}/{Path(path).name}"]
    # Covered last: what is installed is for programs only where it stands in `PACKAGES`.
    for path in filter(os.path.isdir, site_folders()):
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return [*command, executable, *interpreter[1:]]


@cache
def _package_folders() -> list[str]:
    """Folders of `PACKAGES` that are installed, and of the libraries that stand beside them."""
    found = []
    for name in PACKAGES:
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            for folder in (spec and spec.submodule_search_locations) or ():
                found += [path for path in (folder, f"{folder}.libs") if Path(path).is_dir()]
    return found


class _Idle:
    """Workers that wait for work. A forked process has none: they are its parent's."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = os.getpid()
        self.workers: list[Worker] = []

    def take(self, level: str) -> Worker:
        with self.lock:
            if self.owner != os.getpid():
                self.owner, self.workers = os.getpid(), []
            for worker in list(self.workers):
                if worker.level == level:
                    self.workers.remove(worker)
                    if worker.process.poll() is None:
                        return worker
                    worker.close()  # killed while it waited
        return Worker(level)

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
def borrowed(level: str) -> Iterator[Worker]:
    """A worker, which is kept if nothing is raised and ended otherwise."""
    worker = _idle.take(level)
    try:
        yield worker
    except BaseException as error:
        worker.close()
        if isinstance(error, WorkerError):
            _idle.close()  # what ended or stopped this one may have come over those that wait as well
        raise
    _idle.put(worker)
