"""The files of a run directory at one moment, for readers: found, checked, never followed out of the folder."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.manifest import LARGEST, MANIFEST, RUN_SCHEMA

logger = logging.getLogger(__name__)

TABLES = (
    "samples.jsonl", "samples.parquet", "metrics.jsonl", "evaluations.jsonl", "findings.jsonl", "training_tokens.jsonl",
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of a run.

    Attributes:
        path: Its real path, inside the run directory.
        identity: Equal as long as it is the same file: lines may be appended to a journal; a Parquet file is written
            once.
    """

    path: Path
    identity: tuple[int, ...]


@dataclass(frozen=True)
class Snapshot:
    """A run directory as it stood.

    Attributes:
        folder: The path as it was given.
        run: The run's id; without an id, the folder's name.
        schema: Schema of the run directory.
        manifest: The manifest; empty where the folder has no manifest.
        files: What there is to read, by its path in the folder: `samples.jsonl`, `generations/TASK.parquet`.
    """

    folder: str
    run: str
    schema: int
    manifest: Mapping[str, Any]
    files: Mapping[str, File]

    def paths(self, name: str) -> list[Path]:
        """The real paths of a file, or of all files `*.SUFFIX` of a folder, in order of their names."""
        start, _, end = name.partition("*")
        return [
            self.files[found].path for found in sorted(self.files) if found.startswith(start) and found.endswith(end)
        ]

    def still_stands(self, kinds: Collection[str]) -> bool:
        """Whether no file was removed or replaced since; rows may have been added.

        Args:
            kinds: Of which files: `samples`, `generations`, `prompts`, `metrics`, `evaluations`, `labels`, `probes`,
                `findings`, `training_tokens`.
        """
        now = list_files(Path(self.folder))
        read = {name: file for name, file in self.files.items() if name.startswith(tuple(kinds))}
        # A new Parquet file took rows out of a journal, and the next journal may get the old one's inode.
        made = {name for name in now.keys() - self.files.keys() if name.startswith(tuple(kinds))}
        return not any(name.endswith(".parquet") for name in made) and all(
            now.get(name) == file for name, file in read.items()
        )


def take_snapshot(folder: Path) -> Snapshot:
    """List what a run directory holds.

    Raises:
        RecordError: Not a run directory, or one of a newer schema, or one that cannot be read.
    """
    try:
        files = list_files(folder)
        manifest = _read_manifest(folder)
    except OSError as error:
        raise RecordError(
            f"run directory {str(folder)!r} cannot be read: {error.filename}: {error.strerror}; "
            "give this user the right to read it"
        ) from error
    if not manifest and not files:
        raise RecordError(
            f"{str(folder)!r} is not a run directory: expected {MANIFEST}, {TABLES[0]} or generations/*.jsonl in it; "
            "name the folder that was given to --run, or a training's output_dir"
        )
    schema = manifest.get("schema", 2)
    if not isinstance(schema, int) or schema > RUN_SCHEMA:
        raise RecordError(
            f"run directory {str(folder)!r} has schema {schema!r}; this sftgen reads schemas up to {RUN_SCHEMA}: "
            "read it with the version of sftgen that wrote it (`versions` in its manifest), or install a newer one"
        )
    run = manifest.get("run")
    return Snapshot(
        folder=str(folder),
        run=run if isinstance(run, str) and run else folder.resolve().name,
        schema=schema,
        manifest=manifest,
        files=files,
    )


def list_files(folder: Path) -> dict[str, File]:
    """The tables and journals of a run directory, by their path in it.

    Raises:
        OSError: It cannot be listed.
    """
    root = folder.resolve()
    # A journal before the Parquet file that takes its place: a compaction meanwhile hides neither.
    found = {name: _file(root, root / name) for name in TABLES}
    for inner in ("generations", "prompts"):
        of_tasks = _inside(root, root / inner)
        if of_tasks is not None and of_tasks.is_dir():
            names = _names(of_tasks)
            while (again := _names(of_tasks)) != names:
                names = again
            found |= {f"{inner}/{name}": _file(root, of_tasks / name) for name in names}
    for pattern in ("labels/*/*.jsonl", "labels/*/*.parquet", "probes/*.jsonl"):
        found |= {str(path.relative_to(root)): _file(root, path) for path in root.glob(pattern)}
    return {name: file for name, file in found.items() if file is not None}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in {".jsonl", ".parquet"} and path.name[0] != "."}


def _file(root: Path, path: Path) -> File | None:
    """A regular file, or None."""
    real = _inside(root, path)
    if real is None:
        return None
    try:
        facts = real.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    written = () if path.suffix == ".jsonl" else (facts.st_mtime_ns, facts.st_size)
    return File(real, (facts.st_dev, facts.st_ino, *written))


def _inside(root: Path, path: Path) -> Path | None:
    """The real path; None where a link leads out of the run directory, which may come from a stranger."""
    if not path.is_symlink():
        return path
    real = Path(os.path.realpath(path))  # which stops at a link to itself, where `resolve` raises
    if real.is_relative_to(root):
        return real
    logger.warning("%s is a link that leads out of the run directory: it is not read", path)
    return None


def _read_manifest(folder: Path) -> dict[str, Any]:
    root = folder.resolve()
    path = _inside(root, root / MANIFEST)
    if path is None or not path.is_file():
        return {}
    if path.stat().st_size > LARGEST:
        raise RecordError(f"{path} has more than {LARGEST:,} bytes; expected the manifest of a run")
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        logger.warning("%s cannot be read as JSON: the run is read without it", path)
        return {}
    return manifest
