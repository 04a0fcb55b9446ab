"""Looking for words in the memory of processes below this one."""

from __future__ import annotations

import os
import time
from pathlib import Path


def memory_holds(*words: bytes) -> list[bool]:
    """Whether each word stands in the memory of the sandbox's processes, once the first one does."""
    end = time.monotonic() + 20
    while True:
        memory = b"".join(map(_memory, _below(os.getpid())))
        found = [word in memory for word in words]
        if found[0] or time.monotonic() > end:
            return found


def _below(pid: int) -> list[int]:
    children = [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]
    return [*children, *(deeper for child in children for deeper in _below(child))]


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
