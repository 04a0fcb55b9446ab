"""Reading local data files: jsonl, json, csv and parquet, each also with `.gz`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sftgen_judges.errors import SftgenError

_AT_ONCE = 128
"""Rows of a Parquet file that are in memory at once."""
UNPACKED_BYTES = 512 << 20
"""The most that a compressed file may take, or one row where rows are read one by one: little can stand for much."""
SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".jsonl.gz", ".json.gz", ".csv.gz")


class DataError(SftgenError, ValueError):
    """Data are missing or malformed; the message names the file and the next step."""


def read_table(path: Path, *, single: bool = False) -> list[dict[str, Any]]:
    """Read the rows of a file by its suffix.

    Args:
        path: File with one of `SUFFIXES`.
        single: Whether the file is one JSON object; it is returned as the only row.

    Raises:
        DataError: The file is absent or malformed; the error names file and row.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    try:
        if kind == "parquet":
            from pyarrow import parquet

            return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]
        data = path.read_bytes()
        text = (_unpacked(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if kind == "csv":
        return _csv_rows(path, text)
    return _json_rows(path, text, lines=kind == "jsonl", single=single)


def stream_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file one after the other, as `read_table` reads them; of a JSON array or a CSV all at once.

    Raises:
        DataError: As `read_table`.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind not in {"jsonl", "parquet"}:
        yield from read_table(path)
        return
    try:
        if kind == "parquet":
            from pyarrow import parquet

            with parquet.ParquetFile(path) as table:
                for batch in table.iter_batches(_AT_ONCE):
                    yield from batch.to_pylist()
            return
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, line in enumerate(rows_of(file), 1):
                if line.strip():
                    yield _row(path, number, _json_line(path, number, _decoded(path, number, line)))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {error}") from error


def rows_of(file: IO[Any] | io.BufferedIOBase) -> Iterator[Any]:
    """The lines of an open file.

    Raises:
        ValueError: A line is longer than `UNPACKED_BYTES`.
    """
    while line := file.readline(UNPACKED_BYTES):
        if len(line) == UNPACKED_BYTES:
            raise ValueError(f"a row has more than {UNPACKED_BYTES >> 20} MiB")
        yield line


def _unpacked(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as file:
        found = file.read(UNPACKED_BYTES + 1)
    if len(found) > UNPACKED_BYTES:
        raise ValueError(f"more than {UNPACKED_BYTES >> 20} MiB when unpacked: store it without .gz if that is right")
    return found


def _csv_rows(path: Path, text: str) -> list[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows = []
    try:
        names = reader.fieldnames or []
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"{path}: the header names column {twice!r} twice; give each column a name of its own")
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, row {number}: {len(names)} columns expected by the header, "
                    f"found {'more' if None in row else 'fewer'}"
                )
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}, row {len(rows) + 1}: {error}") from error
    return rows


def _json_rows(path: Path, text: str, *, lines: bool, single: bool) -> list[dict[str, Any]]:
    rows: list[Any] = []
    if lines:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                rows.append(_json_line(path, number, line))
    else:
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise _unusual(f"{path}", error) from error
        rows = [value] if single else value
        if not isinstance(rows, list):
            raise DataError(f"{path}: expected a list of rows, found {type(value).__name__}")
    return [_row(path, number, row) for number, row in enumerate(rows, 1)]


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, row {number}: not UTF-8 at byte {error.start + 1} of the row ({line[error.start]:#04x}); write "
            "the file as UTF-8, or leave the row out"
        ) from error


def _json_line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, row {number}, column {error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _unusual(f"{path}, row {number}", error) from error


def _unusual(place: str, error: Exception) -> DataError:
    """JSON that Python does not read, although it may be right."""
    deep = isinstance(error, RecursionError)
    what = "lists or objects within each other, hundreds of them" if deep else "a number of thousands of digits"
    return DataError(f"{place}: {what}; write it as text, or leave it out")


def _row(path: Path, number: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{path}, row {number}: expected an object with columns, found {type(row).__name__}")
    return row
