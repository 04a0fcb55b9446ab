"""What a run is trained on, for its manifest: the content hash of a set of sftgen, and the bytes of local files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import clean

SET = "set.json"
"""What `sftgen curate` and `sftgen data` write beside the rows of a set."""
_LARGEST = 64 << 20


def data_facts(name: str, rows: int | None) -> dict[str, Any]:
    """What the manifest says of training data.

    Args:
        name: The data, as the training names them.
        rows: How many rows of them are trained on, None for all.
    """
    path = Path(name)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    facts: dict[str, Any] = {"name": name, "first_rows": rows}
    if path.is_dir() and (found := _set(path / SET)):
        facts |= {"content_hash": found.get("content_hash"), "set": found.get("recipe")}
    if files:
        facts["files"] = {file.name: _digest(file) for file in files}
    return facts


def _set(path: Path) -> dict[str, Any]:
    try:
        found = clean(json.loads(path.read_text())) if path.stat().st_size <= _LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(path: Path) -> str:
    from blake3 import blake3

    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return hasher.hexdigest()[:32]
