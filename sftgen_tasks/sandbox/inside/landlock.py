"""Landlock: a process may read in named folders and write nowhere. It needs no privilege and no namespace."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from sftgen_tasks.sandbox.inside.system import call

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 2, 4, 8, 1 << 14
# How many rights to files each version of the interface knows. Version 4 added the network, version 6 signals.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}


def version() -> int:
    """The kernel's version of the interface.

    Raises:
        OSError: The kernel has no Landlock, or it is switched off.
    """
    return call("syscall", _CREATE, 0, 0, 1)


def ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A descriptor of rules: read below `readable`, open `writable` files to write.

    Everything else is refused.
    """
    known = version()
    rights = (1 << _RIGHTS.get(known, 16)) - 1
    network, scope = (3 if known >= 4 else 0), (3 if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    attributes = struct.pack("<QQQ", rights, network, scope)[:size]
    rules = call("syscall", _CREATE, ctypes.c_char_p(attributes), size, 0)
    writes = _READ_FILE | _WRITE_FILE | (_TRUNCATE & rights)
    for paths, allowed in ((readable, _READ_FILE | _READ_DIR), (writable, writes)):
        for path in paths:
            if not os.path.exists(path):
                continue
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            right = allowed if os.path.isdir(path) else allowed & ~_READ_DIR
            call("syscall", _ADD, rules, 1, ctypes.c_char_p(struct.pack("<Qi", right, parent)), 0)
            os.close(parent)
    return rules


def restrict(rules: int) -> None:
    """Apply the rules to this process from now on; `no_new_privs` has to be set."""
    call("syscall", _RESTRICT, rules, 0)
