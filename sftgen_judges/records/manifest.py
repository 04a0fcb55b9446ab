"""`manifest.json` of a run directory: what was run, with versions, seeds, documents and their hashes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import clean, to_json, write_atomic
from sftgen_judges.records.provenance import scrub

MANIFEST = "manifest.json"
RUN_SCHEMA = 3
"""Version of a run directory's layout (docs/records.md). A manifest without a version is of version 2."""
LARGEST = 64 << 20
"""Bytes of a manifest that is read: a larger one is not ours."""


def now(*, precisely: bool = False) -> str:
    """The time, in UTC, to the second; or to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds" if precisely else "seconds")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run directory, empty where it is absent or damaged."""
    path = folder / MANIFEST
    try:
        manifest = clean(json.loads(path.read_text())) if path.stat().st_size <= LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(manifest, dict):
        return {}
    return {name: held for name, held in manifest.items() if isinstance(held, _SHAPES.get(name, object))}


_SHAPES: Mapping[str, Any] = {
    "run": str, "documents": dict, "sessions": list, "versions": dict, "model": str, "model_id": str, "in_domain": list,
    "tasks": list, "delta": dict, "schedule": list, "max_steps": int,
}  # fmt: skip
"""What a manifest holds under the names that are read: a fact of another shape is damaged and passed over."""


def schema_of(folder: Path) -> int:
    """The layout of a run directory; that of a new one is today's.

    Raises:
        RecordError: It is newer than this sftgen, or is no number.
    """
    manifest = read_manifest(folder)
    found = manifest.get("schema", 2 if manifest or any(folder.glob("*.jsonl")) else RUN_SCHEMA)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 < found <= RUN_SCHEMA:
        by = (manifest.get("versions") or {}).get("sftgen", "unknown") if isinstance(manifest, dict) else "unknown"
        raise RecordError(
            f"run directory {str(folder)!r} is of schema {found!r}, written by sftgen {by}; this sftgen reads schemas "
            f"2 to {RUN_SCHEMA}. Use the version that wrote it, or a newer one"
        )
    return found


def write_manifest(folder: Path, known: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Write the manifest whole: what is known, and facts over it. The caller holds the write lock.

    Returns:
        What was written.
    """
    begun = {"schema": RUN_SCHEMA, "run": uuid.uuid4().hex[:12], "created": now()}
    manifest: dict[str, Any] = plain({**begun, **known, **facts})
    write_atomic(folder / MANIFEST, to_json(manifest, indent=2) + "\n")
    return manifest


def plain(facts: Mapping[str, Any]) -> Any:
    """As JSON gives it back, without secrets and home paths."""
    return scrub(json.loads(to_json(facts)))
