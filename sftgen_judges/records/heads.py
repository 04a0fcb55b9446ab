"""What the generations of a run are of, read without their texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# The beginning of each line that sftgen writes. A line that begins otherwise is parsed.
_TO_MODEL = rb'\{"task": "(?:[^"\\]|\\.)*", "step": (?:\d+|null), "model": ("(?:[^"\\]|\\.)*")'
_MODEL = re.compile(_TO_MODEL)
_HEAD = re.compile(_TO_MODEL + rb', "doc_hash": "([0-9a-f]{64})"')
BATCH = 65_536


def models_of(run: Path) -> set[str]:
    """The ids of all models that a run directory holds generations of."""
    tasks = {path.stem for path in (run / "generations").glob("*.*") if path.suffix in {".jsonl", ".parquet"}}
    return {model for task in tasks for model, _ in _heads(run, task)}


def documents_of(run: Path, task: str) -> set[str]:
    """The hashes of the documents of a task that a run directory holds generations of."""
    return {document for _, document in _heads(run, task)}


def other_model(model: str) -> Callable[[bytes], bool]:
    """What says of a line of a journal whether it is another model's, without parsing its text."""
    ours = json.dumps(model, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def other(line: bytes) -> bool:
        head = _MODEL.match(line)
        return head is not None and head[1] != ours

    return other


def _heads(run: Path, task: str) -> Iterator[tuple[str, str]]:
    journal = run / "generations" / f"{task}.jsonl"
    compacted = journal.with_suffix(".parquet")
    if compacted.is_file():
        from pyarrow import parquet

        for batch in parquet.ParquetFile(compacted).iter_batches(BATCH, columns=["model", "doc_hash"]):
            columns = batch.to_pydict()
            yield from zip(map(str, columns["model"]), map(str, columns["doc_hash"]), strict=True)
    if journal.is_file():
        with journal.open("rb") as file:
            for line in file:
                if head := _HEAD.match(line):
                    yield json.loads(head[1]), head[2].decode()
                elif (row := _parsed(line)) is not None:
                    yield str(row.get("model")), str(row.get("doc_hash"))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and "model" in row and "doc_hash" in row else None
