"""Messages from a program's process to the worker, through a pipe: how one test ended.

A program can write any of them too. It can only claim that a test failed, or that all of its output is there, and the
output is compared with one that the program does not know. Which test that was, where its output is and what it used
is the worker's to say.
"""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import NamedTuple

OK, LAST, CONFINED, COMPILE, MEMORY, REFUSED, CRASH, WRONG, LATE = range(9)
"""LAST: as OK, and the process cannot take another test. LATE: as LAST, and more was printed after the main thread had
ended. CONFINED: the first of all; no program has run before it."""

REASONS = {
    COMPILE: "compile error",
    MEMORY: "memory limit",
    REFUSED: "refused call",
    CRASH: "crash",
    WRONG: "wrong answer",
}
_RECORD = struct.Struct("<B127s")


class Record(NamedTuple):
    """How a test ended, and a detail for a person if it failed."""

    status: int
    detail: str


def write(file: int, status: int, detail: str = "") -> None:
    """Send a record, at once."""
    os.write(file, _packed(status, detail))


@cache
def _packed(status: int, detail: str) -> bytes:
    return _RECORD.pack(status, detail.encode("utf-8", "replace")[:127])


_PASSED, _NOTHING_MORE = _packed(OK, ""), Record(OK, "")


def read(file: int) -> Record | None:
    """The next record of a pipe that does not block; None if there is none now.

    Raises:
        EOFError: There will be no more.
    """
    try:
        data = os.read(file, _RECORD.size)
    except BlockingIOError:
        return None
    if not data:
        raise EOFError
    if data == _PASSED:
        return _NOTHING_MORE
    return Record(data[0], data[1:].rstrip(b"\0").decode("utf-8", "replace"))
