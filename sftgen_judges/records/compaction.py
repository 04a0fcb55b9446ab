"""Journals turned into Parquet: the text table of a task, and the narrow index of samples.

Whoever compacts holds the run's write lock. A kill between the new Parquet file and the removal of the journal leaves
rows in both: they are equal, and of equal keys one is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.schema import well_formed

ROW_GROUP = 2_048
"""Rows of a group: one document at all checkpoints lies in one or two of them."""
MEMORY = "300MB"
"""What sorting may hold in memory; the rest goes to disk."""

TEXT_COLUMNS = {
    "task": "string", "step": "int64", "model": "string", "doc_hash": "string", "repeat": "int64",
    "prompt_hash": "string", "sampling": "string", "text": "string", "finish_reason": "string", "tokens": "int64",
    "prompt_tokens": "int64", "prefilled": "bool", "exact": "bool", "seed": "int64", "reasoning": "string",
    "template_hash": "string", "markers": "string", "schema": "int64", "sampling_id": "string",
}  # fmt: skip
TEXT_KEY = ("step", "model", "doc_hash", "repeat", "prompt_hash", "sampling")
SAMPLE_COLUMNS = {
    "run": "string", "model": "string", "sampling_id": "string", "task": "string", "step": "int64", "doc_id": "string",
    "doc_hash": "string", "repeat": "int64", "status": "string", "answer": "string", "score": "double",
    "paper": "double", "measures": "string", "truncated": "bool", "think": "string", "tokens": "int64",
    "thinking_tokens": "int64", "answer_tokens": "int64", "finish_reason": "string", "reason": "string",
    "scorer": "string", "evaluation_version": "int64", "evaluated_at": "string",
}  # fmt: skip
SAMPLE_KEY = ("model", "sampling_id", "task", "step", "doc_hash", "repeat")


def compact_generations(journal: Path) -> None:
    """Turn the journal of one task into its text table, sorted by document, repeat and step."""
    rows = ({**row, "sampling": json.dumps(row.get("sampling"), ensure_ascii=False)} for row in read_rows(journal))
    _compact(
        journal, journal.with_suffix(".parquet"), rows, TEXT_COLUMNS, key=TEXT_KEY, order=("doc_hash", "repeat", "step")
    )


def compact_samples(journal: Path, index: Path) -> None:
    """Turn the journal of samples into the index, sorted by task, step, document and repeat."""
    rows = (
        {**row, "measures": json.dumps(row.get("measures") or {}, ensure_ascii=False)} for row in read_rows(journal)
    )
    _compact(journal, index, rows, SAMPLE_COLUMNS, key=SAMPLE_KEY, order=("task", "step", "doc_hash", "repeat"))


def generation_rows(journal: Path, model: str | None = None) -> list[dict[str, Any]]:
    """The rows of a task's text table, as the journal held them.

    Args:
        journal: The journal that was compacted.
        model: Only those of this model.
    """
    compacted = journal.with_suffix(".parquet")
    if not compacted.exists():
        return []
    from pyarrow import parquet

    wanted = [("model", "==", model)] if model else None
    rows: list[dict[str, Any]] = parquet.read_table(compacted, filters=wanted).to_pylist()
    return [{**row, "sampling": json.loads(row["sampling"])} for row in rows]


def sample_rows(index: Path, task: str | None) -> list[dict[str, Any]]:
    """The rows of one task in the index, or of all, as the journal held them."""
    if not index.exists():
        return []
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(index, filters=[("task", "==", task)] if task else None).to_pylist()
    return [{**row, "measures": json.loads(row["measures"] or "{}")} for row in rows]


def _compact(
    journal: Path,
    table: Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    key: tuple[str, ...],
    order: tuple[str, ...],
) -> None:
    """Merge rows into a Parquet table, of equal keys the last, and remove their journal."""
    if not journal.exists():
        return
    import duckdb

    temporary = table.with_name(f".{table.name}.making")
    with TemporaryDirectory(dir=table.parent, prefix=".compacting-") as made, duckdb.connect() as database:
        fresh = Path(made) / "fresh.parquet"
        _write_in_batches(fresh, rows, columns)
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute("SET threads = 2")
        database.execute(f"SET temp_directory = {_quoted(made)}")
        parts = [f"SELECT {', '.join(columns)}, 1 AS part, file_row_number AS place FROM {_scan(fresh)}"]
        if table.exists():
            parts.insert(
                0, f"SELECT {_select(table, columns)}, 0 AS part, file_row_number AS place FROM {_scan(table)}"
            )
        database.execute(f"CREATE VIEW found AS {' UNION ALL '.join(parts)}")
        # The last of equal keys is found without their texts.
        database.execute(
            "CREATE TABLE kept AS SELECT part, place FROM ("
            f"SELECT part, place, row_number() OVER (PARTITION BY {', '.join(key)} ORDER BY part DESC, place DESC) "
            "AS n FROM found) WHERE n = 1"
        )
        database.execute(
            f"COPY (SELECT {', '.join(columns)} FROM found SEMI JOIN kept USING (part, place) "
            f"ORDER BY {', '.join(f'{name} NULLS FIRST' for name in order)}) "
            f"TO {_quoted(temporary)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        )
        temporary.replace(table)
    journal.unlink()


def _write_in_batches(path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            plain = [{name: _storable(row.get(name), columns[name]) for name in columns} for row in batch]
            writer.write_table(pa.Table.from_pylist(plain, schema))


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    left = iter(rows)
    while batch := list(islice(left, ROW_GROUP)):
        yield batch


def _storable(value: Any, kind: str) -> Any:
    """A value as its column takes it; half of a surrogate pair, which Parquet has no way to hold, is replaced."""
    if isinstance(value, str) and kind == "string":
        return well_formed(value)
    return float(value) if kind == "double" and value is not None else value


def _select(table: Path, columns: Mapping[str, str]) -> str:
    """Columns of a table that an older version may have written with fewer of them."""
    from pyarrow import parquet

    known = set(parquet.read_schema(table).names)
    return ", ".join(name if name in known else f"NULL AS {name}" for name in columns)


def _scan(path: Path) -> str:
    return f"read_parquet({_quoted(path)}, file_row_number = true)"


def _quoted(path: Path | str) -> str:
    return "'" + str(path).replace("'", "''") + "'"
