"""Looking at the processes below this one: how deep they go, and what stands in their memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests import PATIENCE


def memory_holds(*words: bytes) -> list[bool]:
    """Whether each word stands in the memory of the sandbox's processes, once the first one does."""
    end = time.monotonic() + PATIENCE
    while True:
        memory = b"".join(map(_memory, _below(os.getpid())))
        found = [word in memory for word in words]
        if found[0] or time.monotonic() > end:
            return found


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:  # it ended
        return []


def depth(pid: int) -> int:
    """Generations of processes, this one included."""
    return 1 + max(map(depth, children(pid)), default=0)


def _below(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(deeper for child in found for deeper in _below(child))]


def _memory(pid: int) -> bytes:
    parts = []
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                if line.split()[1].startswith("rw"):
                    memory.seek(start)
                    try:
                        parts.append(memory.read(end - start))
                    except OSError:
                        continue
    except OSError:
        pass
    return b"".join(parts)
