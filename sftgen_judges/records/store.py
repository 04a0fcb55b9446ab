"""Where the samples of this process are written: the run directory and the checkpoint at hand."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.journal import append_rows, read_rows, write_atomic
from sftgen_judges.records.provenance import provenance, scrub, tally
from sftgen_judges.records.schema import READABLE, GenerationRecord

MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


class RecordError(SftgenError):
    """Records that cannot be used."""


@dataclass(frozen=True)
class Recording:
    """A run directory, with the step and model that responses are recorded under.

    Attributes:
        folder: The run directory; `generations/` and `verdicts/` go below it.
        step: Training step of the model, None outside training.
        model: Content id of the model (`sftgen_judges.records.model_id`).
        seed: Base seed of sampled responses, where the model takes one a sample.
        samples: Graded samples are added to this list, if there is one.
    """

    folder: Path
    step: int | None = None
    model: str | None = None
    seed: int | str | None = None
    samples: list[Any] | None = None

    def generations(self, task: str) -> Path:
        """The JSONL file of responses of a task."""
        return self.folder / "generations" / f"{task}.jsonl"

    def verdicts(self, task: str) -> Path:
        """The JSONL file of verdicts of a task."""
        return self.folder / "verdicts" / f"{task}.jsonl"


_current: ContextVar[Recording | None] = ContextVar("recording", default=None)


def managed() -> bool:
    """Whether somebody said where to record; otherwise it is this process's default."""
    return _current.get() is not None


def current() -> Recording:
    """The recording in force: of `recording(...)`, or this process's default."""
    return _current.get() or _default()


@contextmanager
def recording(run: Recording) -> Iterator[Recording]:
    """Record everything graded inside the block under `run`."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


@cache
def _default() -> Recording:
    """`SFTGEN_RUN_DIR`, or a new folder in the cache: plain lm_eval has no run directory to offer."""
    named = os.environ.get("SFTGEN_RUN_DIR")
    if named:
        return Recording(Path(named))
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Recording(cache_home / "sftgen" / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")


def record_generations(run: Recording, records: Sequence[GenerationRecord]) -> None:
    """Write down generations before anything is done with them.

    Raises:
        RecordError: They cannot be written; what was written before stands.
    """
    by_task: dict[str, list[GenerationRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    for task, rows in by_task.items():
        path = run.generations(task)
        try:
            append_rows(path, (record.to_dict() for record in rows))
        except OSError as error:
            raise RecordError(
                f"{path} cannot be written: {error.strerror}. What was generated before is kept; "
                "put that right and start the same command again"
            ) from error
    tally(records)


def read_generations(run: Recording, task: str, model: str | None = None) -> list[GenerationRecord]:
    """The generations of a task, in the order they were made.

    Args:
        run: Where they are.
        task: The task.
        model: Only those of this model; the others are passed over unread.

    Raises:
        RecordError: They were written by another version of sftgen, or cannot be read.
    """
    path = run.generations(task)
    damaged: list[int] = []
    records = []
    try:
        for row in (*_compacted_rows(path, model), *read_rows(path, damaged, _other_model(model) if model else None)):
            if row.get("schema") not in READABLE:
                raise RecordError(
                    f"{path}: schema {row.get('schema')!r}, this sftgen reads {' and '.join(map(str, READABLE))}; "
                    "use the version that wrote it, or another run directory"
                )
            records.append(GenerationRecord(**row))
    except OSError as error:
        raise _unreadable(path, error) from error
    if damaged:
        logger.warning("%s: line %s cannot be read and is made again", path, ", ".join(map(str, damaged)))
    return records


def compact_generations(run: Recording) -> None:
    """Turn the JSONL files of a finished run into Parquet files of the same rows, each record once."""
    import pyarrow as pa
    from pyarrow import parquet

    for path in sorted((run.folder / "generations").glob("*.jsonl")):
        records = {(record.key, record.step): record for record in read_generations(run, path.stem)}
        # Settings differ between tasks: as text they do not change the schema.
        rows = [{**record.to_dict(), "sampling": json.dumps(record.sampling)} for record in records.values()]
        temporary = path.with_suffix(".parquet.tmp")
        parquet.write_table(pa.Table.from_pylist(rows, _parquet_schema()), temporary, compression="zstd")
        temporary.replace(path.with_suffix(".parquet"))
        path.unlink()


def _compacted_rows(path: Path, model: str | None) -> list[dict[str, Any]]:
    compacted = path.with_suffix(".parquet")
    if not compacted.exists():
        return []
    from pyarrow import parquet

    wanted = [("model", "==", model)] if model else None
    rows: list[dict[str, Any]] = parquet.read_table(compacted, filters=wanted).to_pylist()
    return [{**row, "sampling": json.loads(row["sampling"])} for row in rows]


# How each line of ours begins, as far as the model. A damaged one that does not is parsed and reported.
_HEAD = re.compile(rb'\{"task": "(?:[^"\\]|\\.)*", "step": (?:\d+|null), "model": ("(?:[^"\\]|\\.)*")')


def _other_model(model: str) -> Callable[[bytes], bool]:
    """Whether a line is another model's, without parsing its text."""
    ours = json.dumps(model, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def other(line: bytes) -> bool:
        head = _HEAD.match(line)
        return head is not None and head[1] != ours

    return other


def require_usable(folder: Path) -> None:
    """Check that everything a run directory holds can be read and added to, before anything is generated.

    Raises:
        RecordError: A file that cannot.
    """
    found = [folder / MANIFEST, *folder.glob("*.jsonl"), *folder.glob("generations/*"), *folder.glob("verdicts/*")]
    for path in found:
        try:
            path.open("rb+" if path.suffix == ".jsonl" else "rb").close()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{error.filename or path} cannot be read or added to: {error.strerror or error}. It was left as it is; "
        "give this user the right to read and write it, or use another run directory"
    )


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a run directory; the lock goes with the process, however that ends.

    Raises:
        RecordError: Another process holds it.
    """
    owner = folder / ".owner.json"
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        try:
            told = json.loads(owner.read_text())
        except (OSError, ValueError):
            told = {}
        raise RecordError(
            f"run directory {str(folder)!r} is being written by process {told.get('pid', 'unknown')} on host "
            f"{told.get('host', 'unknown')} since {told.get('since', 'unknown')}; wait for it, or use another one"
        ) from None
    try:
        write_atomic(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}))
        yield
        owner.unlink(missing_ok=True)
    finally:
        lock.release()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run directory, empty where there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def update_manifest(folder: Path, **facts: Any) -> None:
    """Add facts to a run's manifest, with what runs now: command, versions, revisions, hardware."""
    write_manifest(folder, read_manifest(folder) | provenance(), **facts)


def write_manifest(folder: Path, known: Mapping[str, Any], **facts: Any) -> None:
    """Write the manifest whole: what is known, and facts over it."""
    manifest = plain({"created": now(), **known, **facts})
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def plain(facts: Mapping[str, Any]) -> Any:
    """As JSON gives it back, without secrets and home paths."""
    return scrub(json.loads(json.dumps(facts, default=str)))


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _parquet_schema() -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return pa.schema(
        [
            ("task", text), ("step", number), ("model", text), ("doc_hash", text), ("repeat", number),
            ("prompt_hash", text), ("sampling", text), ("text", text), ("finish_reason", text), ("tokens", number),
            ("prompt_tokens", number), ("prefilled", pa.bool_()), ("exact", pa.bool_()), ("seed", number),
            ("reasoning", text), ("template_hash", text), ("schema", number),
        ]
    )  # fmt: skip
