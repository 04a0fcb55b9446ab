"""The formats that `sftgen export` knows itself: tables as CSV and Parquet, and the hub's evaluation results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Export, Exporter
from sftgen_judges.records.query import Table

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 5_000
"""Rows that are in memory at once."""


class ExportError(SftgenError):
    """Runs that cannot be exported."""


def _tables(asked: Export) -> dict[str, Table]:
    """The tables of a run by name; texts only of the tasks whose texts may go along."""
    tables = {
        "samples": asked.records.sql("SELECT * FROM samples ORDER BY run, task, step, doc_id, repeat"),
        "metrics": asked.records.sql("SELECT * FROM metrics ORDER BY run, task, step, metric"),
    }
    if asked.texts:
        tables["texts"] = asked.records.sql(
            "SELECT * FROM texts WHERE list_contains(?, task) ORDER BY run, task, doc_hash, repeat, step",
            [sorted(asked.tasks)],
        )
    return tables


def _write_parquet(asked: Export) -> Sequence[Path]:
    import pyarrow.parquet as pq

    def writer(path: Path, schema: pa.Schema) -> Any:
        return pq.ParquetWriter(path, schema, compression="zstd")

    return _written(asked, ".parquet", writer)


def _write_csv(asked: Export) -> Sequence[Path]:
    from pyarrow import csv

    return _written(asked, ".csv", csv.CSVWriter)


def _written(asked: Export, suffix: str, writer: Any) -> list[Path]:
    """Every table as a file, batch by batch."""
    files = []
    for name, table in _tables(asked).items():
        path = asked.folder / f"{name}{suffix}"
        batches = table.batches(ROWS)
        first = next(batches, None)
        if first is None:
            continue
        with writer(path, first.schema) as file:
            file.write_batch(first)
            for batch in batches:
                file.write_batch(batch)
        files.append(path)
    return files


def _write_hf(asked: Export) -> Sequence[Path]:
    """One YAML file a benchmark of the hub, as a model's repository takes them in `.eval_results/`.

    Format: huggingface.co/docs/hub/eval-results. A value is the score in per cent. Only benchmarks of the hub whose
    score is a share are written; a result that is incomplete is not.

    Raises:
        ExportError: There is no such result, or the records are of several runs.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    from sftgen_judges.records.journal import write_atomic
    from sftgen_judges.records.shares import is_share
    from sftgen_tasks.harness.catalogue import source_of

    if len(asked.records.runs.rows()) > 1:
        raise ExportError("format hf holds the results of one model: name one run")
    rows = asked.records.sql(
        """SELECT m.*, s.scorer FROM metrics AS m
        LEFT JOIN (SELECT DISTINCT task, step, scorer FROM samples) AS s
            ON s.task = m.task AND s.step IS NOT DISTINCT FROM m.step
        WHERE m.metric = 'score' AND m.status = 'ok' AND NOT coalesce(m.incomplete, false) ORDER BY m.task, m.step"""
    ).rows()
    last = {row["task"]: row for row in rows if asked.step is None or row["step"] == asked.step}
    files = []
    for task, row in last.items():
        source = source_of(task)
        if source is None or not is_share("score", row["scorer"]):
            continue
        entry = EvalResultEntry(
            dataset_id=source.repo,
            task_id=task.removeprefix("sftgen_"),
            value=round(100 * row["mean"], 2),
            dataset_revision=source.revision,
            date=row["evaluated_at"],
            notes=f"sftgen, rule strict, {row['docs']} documents"
            + (f", training step {row['step']}" if row["step"] is not None else ""),
        )
        path = asked.folder / f"{task.removeprefix('sftgen_')}.yaml"
        write_atomic(path, yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False))
        files.append(path)
    if not files:
        at = "" if asked.step is None else f" at step {asked.step}"
        raise ExportError(f"the run has no complete score of a benchmark of the hub{at}")
    return files


CSV = Exporter("csv", _write_csv)
PARQUET = Exporter("parquet", _write_parquet)
HF = Exporter("hf", _write_hf)
