"""Run directories of schema 3 as their writers leave them, file by file, for tests of readers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from sftgen_judges.records.columns import SAMPLES
from sftgen_judges.records.journal import append_rows, read_rows
from sftgen_judges.records.schema import doc_hash

JSON_COLUMNS = ("measures", "sampling")


def start(folder: Path, **facts: Any) -> Path:
    """A run directory with its manifest; `schema=None` leaves that out, as before schema 3."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"schema": 3, "run": "0123456789ab", "created": "2026-01-01T00:00:00+00:00", **facts}
    known = {name: value for name, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(known), encoding="utf-8")
    return folder


def sample(document: int = 0, **facts: Any) -> dict[str, Any]:
    """A row of `samples.jsonl`."""
    row = {
        "run": "0123456789ab", "model": "model-a", "sampling_id": "greedy", "task": "sftgen_parity", "step": 0,
        "doc_id": str(document), "doc_hash": doc_hash({"id": document}), "repeat": 0, "status": "ok", "answer": "7",
        "score": 1.0, "paper": 0.0, "measures": {"answered": 1.0, "levels": [1.0, 0.5]}, "truncated": False,
        "think": "closed", "tokens": 30, "thinking_tokens": 20, "answer_tokens": 10, "finish_reason": "stop",
        "reason": "right", "scorer": "parity 1", "evaluation_version": 1, "evaluated_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert facts.keys() <= row.keys()
    return {**row, **facts}


def generation(document: int = 0, **facts: Any) -> dict[str, Any]:
    """A row of `generations/TASK.jsonl`."""
    row = {
        "task": "sftgen_parity", "step": 0, "model": "model-a", "doc_hash": doc_hash({"id": document}), "repeat": 0,
        "prompt_hash": "p", "sampling": {"temperature": 0.0, "until": []}, "text": f"<think>of {document}</think>7",
        "finish_reason": "stop", "tokens": 30, "prompt_tokens": 9, "prefilled": False, "exact": True, "seed": None,
        "reasoning": None, "template_hash": None, "schema": 3, "sampling_id": "greedy",
    }  # fmt: skip
    assert facts.keys() <= row.keys()
    return {**row, **facts}


def metric(**facts: Any) -> dict[str, Any]:
    """A row of `metrics.jsonl`."""
    row = {
        "run": "0123456789ab", "model": "model-a", "sampling_id": "greedy", "task": "sftgen_parity", "step": 0,
        "status": "ok", "metric": "score", "mean": 0.5, "low": 0.25, "high": 0.75, "n": 4, "docs": 4,
        "evaluation_version": 1, "evaluated_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert facts.keys() <= row.keys() | {"reason"}
    return {**row, **facts}


def of_schema_2(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as sftgen wrote it before schema 3."""
    newer = {
        "run", "model", "sampling_id", "doc_id", "measures", "truncated", "thinking_tokens", "answer_tokens", "reason",
        "scorer", "evaluation_version", "evaluated_at",
    }  # fmt: skip
    if "text" in row:
        return {**{name: value for name, value in row.items() if name != "sampling_id"}, "schema": 2}
    return {name: value for name, value in row.items() if name not in newer}


def add(folder: Path, *, samples: Iterable[Any] = (), texts: Iterable[Any] = (), metrics: Iterable[Any] = ()) -> None:
    """Append rows to the journals of a run."""
    append_rows(folder / "samples.jsonl", samples)
    append_rows(folder / "metrics.jsonl", metrics)
    for row in texts:
        append_rows(folder / "generations" / f"{row['task']}.jsonl", [row])


def compact(folder: Path, *, keep_journals: bool = False) -> None:
    """Turn the journals of samples and texts into Parquet; `keep_journals` is a kill before they are removed."""
    order = {"samples.jsonl": ("task", "step", "doc_hash", "repeat")}
    for journal in (folder / "samples.jsonl", *(folder / "generations").glob("*.jsonl")):
        if not journal.exists():
            continue
        target = journal.with_suffix(".parquet")
        before = parquet.read_table(target).to_pylist() if target.exists() else []
        rows = [*before, *map(_flat, read_rows(journal))]
        kept = list({tuple(row.get(name) for name in (*SAMPLES.key, "prompt_hash")): row for row in rows}.values())
        names = order.get(journal.name, ("doc_hash", "repeat", "step"))
        kept.sort(key=lambda row: tuple(-1 if row[name] is None else row[name] for name in names))
        temporary = target.with_suffix(".parquet.tmp")
        parquet.write_table(pa.Table.from_pylist(kept), temporary, compression="zstd", row_group_size=2048)
        temporary.replace(target)
        if not keep_journals:
            journal.unlink()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a run with size and time, to see that nothing was written."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
        if not os.path.islink(path)  # noqa: PTH114 -- one that leads nowhere
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if name in JSON_COLUMNS else value for name, value in row.items()}
