"""Hashes of large files, kept in sftgen's cache: bytes are read once, and nothing is written into a model's folder.

An entry holds for one file as it stood when it was read: real path, device, inode, size, and both times. The time of
the last change of the inode is among them, since the other one can be set back by any program.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import content_hash

FORM = 1
"""Raised when the hashes of a file are made in another way."""
SETTLED = 3.0
"""Seconds that a file must have stood unchanged: a change within the clock's tick leaves the same time behind."""
LARGEST_ENTRY = 64 << 20
MOST_ENTRIES = 4096

Leaves = list[list[str]]
"""The parts of a file: a name and a hash each."""


def cache_folder() -> Path:
    """The folder of sftgen among the user's caches. It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sftgen"


def cached_leaves(path: Path, make: Callable[[Path], Leaves], *, fresh: bool = False) -> Leaves:
    """The hashes of a file's parts, out of the cache where it knows this very file.

    Args:
        path: The file.
        make: Reads the whole file and hashes its parts.
        fresh: Whether the file is read in any case: the disk may have changed it without a word.

    Raises:
        OSError: The file cannot be read. A cache that cannot be read or written is passed over.
    """
    facts = _facts(path)
    entry = cache_folder() / "hashes" / f"{content_hash(facts['path'])[:32]}.json"
    if not fresh and (known := _read(entry, facts)) is not None:
        return known
    begun = time.time()
    made = make(path)
    if _facts(path) == facts and begun - facts["changed_ns"] / 1e9 > SETTLED:
        with suppress(OSError):
            _make_room(entry.parent)
            write_atomic(entry, json.dumps({**facts, "leaves": made, "sum": content_hash(facts, made)}))
    return made


def _facts(path: Path) -> dict[str, Any]:
    real = path.resolve()
    status = real.stat()
    return {
        "form": FORM,
        "path": os.fsdecode(real).encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
        "device": status.st_dev,
        "inode": status.st_ino,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "changed_ns": max(status.st_mtime_ns, status.st_ctime_ns),
    }


def _read(entry: Path, facts: dict[str, Any]) -> Leaves | None:
    try:
        if entry.stat().st_size > LARGEST_ENTRY:
            return None
        kept = json.loads(entry.read_text())
        leaves: Leaves = kept["leaves"]
        same = {name: kept[name] for name in facts} == facts
        return leaves if same and kept["sum"] == content_hash(facts, leaves) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _make_room(folder: Path) -> None:
    """Checkpoints come and go: of too many entries the older half is removed."""
    entries = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder)] if folder.is_dir() else []
    if len(entries) >= MOST_ENTRIES:
        for _, path in sorted(entries)[: len(entries) // 2]:
            Path(path).unlink(missing_ok=True)
