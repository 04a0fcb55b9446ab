"""How a worker goes to its level of isolation: `namespaces`, `bubblewrap`, `landlock` or `limits`."""

from __future__ import annotations

import os
import select
import signal
import site
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from sftgen_tasks.sandbox.inside import landlock, namespaces, runner, seccomp, substitutes, system
from sftgen_tasks.sandbox.inside.children import Confinement
from sftgen_tasks.sandbox.inside.messages import receive, send
from sftgen_tasks.sandbox.inside.server import serve
from sftgen_tasks.sandbox.inside.view import PACKAGES_INSIDE, library_folders, site_folders

_DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]


def main() -> None:
    """Read the requested level, go there or report why it is impossible, and serve requests until sftgen is gone."""
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    with suppress(EOFError, ConnectionError):
        header, _ = receive(channel)
        if header["level"] in ("landlock", "limits"):
            substitutes.locks()
        _prepare(header["modules"], header["recursion_limit"])
        try:
            confinement = _LEVELS[header["level"]](channel, header["packages"])
        except OSError as error:
            send(channel, {"error": str(error)})
            return
        send(channel, {"ready": True})
        serve(channel, confinement)


def _prepare(modules: Sequence[str], recursion_limit: int) -> None:
    """Prepare the interpreter for programs, without the environment of this process."""
    site.setquit()
    site.setcopyright()
    site.sethelper()
    runner.prepare(modules, recursion_limit)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # when memory runs out, the system kills these processes first
    os.environ.clear()
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)


def _namespaces(channel: socket.socket, packages: Sequence[str]) -> Confinement:
    install = seccomp.prepare(seccomp.build(writable=True))
    starter = os.getppid()
    namespaces.separate()
    pid = os.fork()
    if pid:
        channel.close()
        _outlast(pid, starter)
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    readable = [(path, path) for path in library_folders(_mapped())]
    readable += [(path, f"{PACKAGES_INSIDE}/{os.path.basename(path)}") for path in packages]
    namespaces.build_root([*readable, *((path, path) for path in _DEVICES)], site_folders())
    # Nobody in here attaches to this process or reads its memory.
    system.prctl(system.PR_SET_DUMPABLE, 0)
    sys.path.append(PACKAGES_INSIDE)

    def apply() -> None:
        os.chdir("/tmp")
        install()

    return Confinement(apply, namespaces.clean, kill_all=True)


def _outlast(pid: int, starter: int) -> NoReturn:
    """Outside of the new process namespace: end when the worker ends, and end the worker when sftgen is gone."""
    system.prctl(system.PR_SET_DUMPABLE, 0)
    handle = system.open_process(pid)
    while not select.select([handle], [], [], 1.0)[0] and os.getppid() == starter:
        pass
    os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _bubblewrap(_: socket.socket, __: Sequence[str]) -> Confinement:
    install = seccomp.prepare(seccomp.build(writable=True))
    system.prctl(system.PR_SET_DUMPABLE, 0)
    sys.path.append(PACKAGES_INSIDE)

    def apply() -> None:
        os.chdir("/tmp")
        install()

    def clean() -> None:
        for folder in namespaces.WRITABLE:
            _empty(folder)

    clean()  # the first program finds the rights that later ones find
    return Confinement(apply, clean, kill_all=True)


def _empty(folder: str) -> None:
    """Remove all that is in a folder, however deep it is and whatever rights it has left.

    A folder inside one of its folders is first moved up to it, so that no path gets long.

    Raises:
        OSError: Something stays; the worker must not run another program.
    """
    os.chmod(folder, 0o700)
    moved = 0
    while names := os.listdir(folder):
        for name in names:
            path = f"{folder}/{name}"
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for entry in os.scandir(path):
                if entry.is_dir(follow_symlinks=False):
                    os.rename(entry.path, f"{folder}/.moved-{os.getpid()}-{moved}")
                    moved += 1
                else:
                    os.unlink(entry.path)
            os.rmdir(path)


def _landlock(_: socket.socket, packages: Sequence[str]) -> Confinement:
    install = seccomp.prepare(
        seccomp.build(writable=False, opens=True)
    )  # the rules tell which files may be opened to write
    rules = landlock.ruleset([*library_folders(_mapped()), *packages, *_DEVICES], _DEVICES)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    substitutes.packages(packages)

    def apply() -> None:
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
        landlock.restrict(rules)
        os.close(rules)
        install()

    os.chdir("/")
    return Confinement(apply, lambda: None, kill_all=False)


def _limits(_: socket.socket, packages: Sequence[str]) -> Confinement:
    install: Callable[[], None] = lambda: None  # noqa: E731
    with suppress(OSError):
        install = seccomp.prepare(seccomp.build(writable=False))
    substitutes.packages(packages)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    substitutes.null_device()

    def apply() -> None:
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            install()

    os.chdir("/")
    return Confinement(apply, lambda: None, kill_all=False)


_LEVELS: dict[str, Callable[[socket.socket, Sequence[str]], Confinement]] = {
    "namespaces": _namespaces,
    "bubblewrap": _bubblewrap,
    "landlock": _landlock,
    "limits": _limits,
}


def _mapped() -> set[str]:
    """Folders of the shared libraries that this process uses."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        paths = [line.split()[-1] for line in file if ".so" in line]
    return {os.path.dirname(path) for path in paths if path[0] == "/"}
