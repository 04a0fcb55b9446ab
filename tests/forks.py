"""A process that has imported large libraries, and forks: `python -m tests.forks DESCRIPTOR MODULE...`.

It runs in any environment, imports nothing of sftgen by itself, and listens on the socket DESCRIPTOR. A connection is
either a hold, and the process ends with the last of them, or a command, which starts in a fork: with its own
environment, folder and arguments, as an installed one does. A command whose connection is closed is killed: of a test
that was given up nothing runs on.
"""

from __future__ import annotations

import atexit
import base64
import gc
import importlib
import json
import os
import pickle
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

FORKED_FROM = "TESTS_FORKED_FROM"
"""The variable that tells a command the address of the process that it was forked from, without the first byte, 0."""
PATIENCE = 60
"""Seconds to wait for the words of who asks: one who never says them must not hold up all others."""


def main(descriptor: int, modules: list[str]) -> None:
    """Fork until nobody holds this process any more."""
    listener = socket.socket(fileno=descriptor)
    started_with = json.dumps(dict(os.environ)).encode() + b"\n"
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy the pages of all that was imported
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    holds: set[socket.socket] = set()
    running: dict[int, socket.socket] = {}
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                asked = listener.accept()[0]
                asked.settimeout(PATIENCE)
                try:
                    kind, descriptors, _, _ = socket.recv_fds(asked, 1, 3)
                except (ConnectionError, TimeoutError):  # who asked was killed
                    continue
                if kind == b"c" and (pid := _fork(asked, descriptors, listener)):
                    running[pid] = asked
                    waiting.register(asked, selectors.EVENT_READ, pid)
                elif kind == b"h" and _tell(asked, started_with):
                    holds.add(asked)
                    waiting.register(asked, selectors.EVENT_READ)
            elif key.fileobj in holds:  # it can be read where the other end is closed
                waiting.unregister(key.fileobj)
                holds.discard(key.fileobj)  # type: ignore[arg-type]
                if not holds:
                    return
            elif key.data:  # who asked for this command waits for it no more
                waiting.unregister(key.fileobj)
                with suppress(ProcessLookupError):
                    os.killpg(key.data, signal.SIGKILL)
            else:
                os.read(woken, 4096)
        _reap(running, waiting)


def _tell(connection: socket.socket, what: bytes) -> bool:
    """Whether there was somebody to tell it to."""
    with suppress(OSError):
        connection.sendall(what)
        return True
    return False


def _fork(asked: socket.socket, descriptors: list[int], listener: socket.socket) -> int:
    """Start the command that is asked for; 0 where who asked was gone before all was said."""
    said = b""
    with asked.makefile("rb") as lines, suppress(ConnectionError, TimeoutError):
        said = lines.readline()
    whole = said.endswith(b"\n")
    pid = os.fork() if whole else 0
    if whole and not pid:
        job = json.loads(said)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor, number in zip(descriptors, (1, 2, 0), strict=False):
            os.dup2(descriptor, number)
        job["environment"][FORKED_FROM] = listener.getsockname()[1:].decode()
        listener.close()
        become(**job)
    for descriptor in descriptors:
        os.close(descriptor)
    if pid:
        _set_group(pid)
        _tell(asked, f"{pid}\n".encode())
    return pid


def _set_group(pid: int) -> None:
    """A process group of its own; parent and child both do it, so that it is so before either goes on."""
    with suppress(OSError):  # it has ended
        os.setpgid(pid, 0)


def _reap(running: dict[int, socket.socket], waiting: selectors.BaseSelector) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as asked:
            with suppress(KeyError):  # who asked for it has gone
                waiting.unregister(asked)
            _tell(asked, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def become(line: list[str], environment: dict[str, str], folder: str, before: str) -> NoReturn:
    """Turn this forked process into a command.

    Args:
        line: An installed command, a script, or the Python interpreter with a script, with `-m` and a module, or with
            `-c` and code.
        environment: All of its environment.
        folder: Folder to run in.
        before: A pickled function to call first, in base 64; empty for none.
    """
    _set_group(0)
    code: Any = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if before:
            pickle.loads(base64.b64decode(before))()
        _run(line)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    # What Python does at its end, but for taking apart all that was imported.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


def _run(line: list[str]) -> None:
    if line[0] == sys.executable:
        line = [word for word in line[1:] if word != "-u"]
        if line[0] == "-m":
            sys.argv = line[1:]
            runpy.run_module(line[1], run_name="__main__", alter_sys=True)
            return
        if line[0] == "-c":
            sys.argv = ["-c", *line[2:]]
            sys.modules["__main__"] = ModuleType("__main__")
            exec(line[1], sys.modules["__main__"].__dict__)
            return
    sys.argv = line
    if line[0].endswith(".py"):
        runpy.run_path(line[0], run_name="__main__")
        return
    [entry] = metadata.entry_points(group="console_scripts", name=Path(line[0]).name)
    sys.exit(entry.load()())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
