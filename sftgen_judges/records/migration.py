"""Bringing the run directory of an older sftgen up to date, step by step.

Each file is replaced whole, and the manifest says so last: killed in between, the next try comes to the same end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sftgen_judges.records.columns import EVALUATIONS, TEXTS
from sftgen_judges.records.journal import read_rows, rewrite_rows, whole_rows
from sftgen_judges.records.manifest import RUN_SCHEMA, read_manifest, schema_of, write_manifest
from sftgen_judges.records.schema import Response, content_hash, sampling_id
from sftgen_judges.records.tables import table_rows

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Origin = tuple[str, str]
"""Content id of the model, and id of the sampling settings."""


def migrate(folder: Path) -> None:
    """Bring a run directory to today's layout. The caller holds the write lock.

    Raises:
        RecordError: It is newer than this sftgen.
        OSError: It cannot be written.
    """
    if schema_of(folder) == RUN_SCHEMA:
        return
    manifest = read_manifest(folder)
    _from_2(folder, run=content_hash(manifest)[:12])
    write_manifest(folder, {**manifest, "schema": RUN_SCHEMA, "run": content_hash(manifest)[:12]})
    logger.info("run directory %s was brought from schema 2 to %d", folder, RUN_SCHEMA)


def _from_2(folder: Path, run: str) -> None:
    """Samples and metrics get the columns that name their model and their sampling settings."""
    of_sample, of_task = _origins(folder)
    ended = {
        row.get("step"): row.get("at")
        for row in whole_rows(folder / "evaluations.jsonl", EVALUATIONS)
        if row.get("status") == "ok"
    }

    def named(row: Row, origin: Origin | None) -> Row:
        model, sampling = origin or (None, None)
        return {
            "run": run, "model": model, "sampling_id": sampling, **row, "evaluated_at": ended.get(row.get("step")),
        }  # fmt: skip

    def samples() -> Iterator[Row]:
        for row in read_rows(folder / "samples.jsonl", valid=_has_key):
            key = (row.get("task"), row.get("step"), row.get("doc_hash"), row.get("repeat"))
            read = Response("", think=row.get("think") or "none", finish_reason=row.get("finish_reason"))
            yield row if "run" in row else named({**row, "truncated": read.truncated}, of_sample.get(key))

    def metrics() -> Iterator[Row]:
        for row in read_rows(folder / "metrics.jsonl", valid=_has_key):
            known = "run" in row or row.get("status") != "ok"
            yield row if known else named(row, of_task.get((row.get("task"), row.get("step"))))

    for name, rows in (("samples.jsonl", samples()), ("metrics.jsonl", metrics())):
        if (folder / name).exists():
            rewrite_rows(folder / name, rows)


def _has_key(row: Mapping[str, Any]) -> bool:
    """Whether a row can be found again; a metric of one document may hold an infinity, which becomes null."""
    return all(isinstance(row.get(name), str | int | None) for name in ("task", "step", "doc_hash", "repeat"))


def _origins(folder: Path) -> tuple[dict[tuple[Any, ...], Origin], dict[tuple[Any, ...], Origin | None]]:
    """What generated each sample, and what generated for each task and step; None where several did."""
    of_sample: dict[tuple[Any, ...], Origin] = {}
    of_task: dict[tuple[Any, ...], Origin | None] = {}
    for task, row in _generations(folder):
        origin = (row["model"], sampling_id(row["sampling"]))
        of_sample[task, row["step"], row["doc_hash"], row["repeat"]] = origin
        same = of_task.get((task, row["step"]), origin) == origin
        of_task[task, row["step"]] = origin if same else None
    return of_sample, of_task


def _generations(folder: Path) -> Iterator[tuple[str, Row]]:
    for path in sorted((folder / "generations").glob("*.parquet")):
        for row in table_rows(path, TEXTS):
            yield path.stem, row
    for path in sorted((folder / "generations").glob("*.jsonl")):
        for row in whole_rows(path, TEXTS):
            yield path.stem, row
