"""Linux system calls for which Python has no function."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38

# What a forked process calls is made before: each new object may cost it a page of memory, and that takes time.
_CAPABILITIES, _NONE, _capset = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(), _libc.capset
_prctl, _memory, _syscall = _libc.prctl, _libc.memfd_create, _libc.syscall
_fork = ctypes.PyDLL(None, use_errno=True).fork


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library.

    Raises:
        OSError: The function returned a negative number.
    """
    long = [ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(name, getattr(_libc, name)(*long))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prepared_prctl(option: int, argument: int, address: int) -> Callable[[], int]:
    """A call of `prctl` that a forked process makes at little cost."""
    arguments = [ctypes.c_ulong(number) for number in (option, argument, address, 0, 0)]
    return lambda: _checked("prctl", _prctl(*arguments))


def prctl(option: int, *arguments: Any) -> int:
    """Change a property of this process."""
    return call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system or a folder in this mount namespace."""
    call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode())


def drop_capabilities() -> None:
    """Give up every capability of this process; this has no effect if it has none."""
    _checked("capset", _capset(_CAPABILITIES, _NONE))


def fork_alone() -> int:
    """Fork this process, which must have one thread only.

    `os.fork` also calls what modules have registered: `random` takes a new seed, `threading` looks for lost threads.
    A program needs neither, and they change more pages of memory than a short program does itself.
    """
    return _checked("fork", _fork())


def open_process(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; some builds of Python lack `os.pidfd_open`."""
    return _checked("pidfd_open", _syscall(434, pid, 0))


def open_memory(name: str) -> int:
    """A file in memory; some builds of Python lack `os.memfd_create`."""
    return _checked("memfd_create", _memory(name.encode(), 0))


def machine() -> str:
    """Linux's name of the processor family."""
    return os.uname().machine
