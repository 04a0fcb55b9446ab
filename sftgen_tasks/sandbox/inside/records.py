"""Messages from a program's process to the worker: records of a fixed size in a memory file that both have open.

The program can write any record to that file. But a record can only claim a failure or an output, and the
output is compared with one that the program does not know.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

OK, LEAVE, COMPILE, MEMORY, REFUSED, CRASH, WRONG = range(7)
"""LEAVE: the process cannot take another test; the others end a test."""

REASONS = {
    COMPILE: "compile error",
    MEMORY: "memory limit",
    REFUSED: "refused call",
    CRASH: "crash",
    WRONG: "wrong answer",
}
_RECORD = struct.Struct("<BIQ115s")


@dataclass(frozen=True)
class Record:
    """How one test ended, and where its output ends in the file of all outputs.

    The detail of a test that succeeded is empty or a number: the bytes of output that a checker in the same process
    would have seen.
    """

    status: int
    index: int
    end: int
    detail: str


def write(file: int, status: int, index: int, end: int, detail: str = "") -> None:
    """Add a record, at once."""
    os.write(file, _RECORD.pack(status, index, end, detail.encode("utf-8", "replace")[:115]))


def read(file: int, position: int) -> list[Record]:
    """The records from the `position`-th on."""
    data = os.pread(file, 1 << 20, position * _RECORD.size)
    whole = len(data) - len(data) % _RECORD.size
    return [
        Record(status, index, end, detail.rstrip(b"\0").decode("utf-8", "replace"))
        for status, index, end, detail in _RECORD.iter_unpack(data[:whole])
    ]
