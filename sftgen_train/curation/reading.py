"""Rows of a training set, one after the other, whatever its form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sftgen_tasks.data.tables import SUFFIXES, DataError, stream_table
from sftgen_train.training.rows import Row, leaves, read_row, read_rows, without_none

BATCH, BATCH_CHARACTERS = 1024, 64_000_000
"""Most rows, and about the most characters, that are handled together: enough for every core, few enough for memory."""
Numbered = tuple[int, Mapping[str, Any], Row]
"""A row's number from 0, the row as it is stored, and its conversation."""


def stream_rows(name: str, split: str = "train") -> Iterator[dict[str, Any]]:
    """The rows of a local file, a folder of sftgen, or a dataset of the hub.

    Raises:
        DataError: It cannot be read.
    """
    files = local_files(name)
    if not files:
        yield from read_rows(name, split)
    for path in files:
        for row in stream_table(path):
            yield {column: without_none(value) for column, value in row.items()}


def local_files(name: str) -> list[Path]:
    """The files that a name stands for: itself, or the Parquet files of a folder; none of a dataset of the hub."""
    folder = Path(name)
    shards = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    return shards or ([folder] if name.endswith(SUFFIXES) else [])


def batches(name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Numbered]]:
    """Rows with their conversations, so many as are handled together.

    Raises:
        DataError: A row cannot be trained on; the message names it.
    """
    batch: list[Numbered] = []
    characters = 0
    for number, row in enumerate(rows):
        batch.append((number, row, read_row(row, f"{name}, row {number + 1}")))
        characters += sum(map(len, leaves(row)))
        if len(batch) == BATCH or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def conversations(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[tuple[str, Row]]:
    """Each row's `id`, or nothing, and its conversation.

    Raises:
        DataError: A row cannot be trained on; the message names it.
    """
    number = -1
    for number, row in enumerate(rows):
        yield id_of(row), read_row(row, f"{name}, row {number + 1}")
    if number < 0:
        raise DataError(f"{name}: no rows")


def id_of(row: Mapping[str, Any]) -> str:
    """A row's `id`, `uuid` or `question_id`, the first that it has; or nothing."""
    return str(next((row[name] for name in ("id", "uuid", "question_id") if row.get(name) is not None), ""))
