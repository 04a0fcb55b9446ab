"""Parquet files of a run, read row group by row group: what is damaged is named and passed over."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import ceil
from pathlib import Path
from typing import Any

from sftgen_judges.records.columns import LIST, NUMBER, OBJECT, Kind, Table
from sftgen_judges.records.journal import say_damaged, to_json
from sftgen_judges.records.schema import well_formed

Row = dict[str, Any]
AT_ONCE = 128
"""Rows that are read at once."""
ROW_GROUP = 2_048
"""Rows of a group: one document at all checkpoints lies in one or two of them."""
CHARACTERS = 2 << 20
"""Characters from which on a group of rows is closed before it has `ROW_GROUP` of them."""
LONG = ("text", "reasoning")


def table_rows(
    path: Path, table: Table, where: Mapping[str, str] = {}, damaged: list[str] | None = None
) -> Iterator[Row]:
    """The rows of a Parquet file, as the journal held them; one that is absent has no rows.

    Args:
        path: The file.
        table: What it holds.
        where: Column to value: only these rows.
        damaged: What cannot be read is added here, too.

    Raises:
        OSError: It cannot be read.
    """
    found: list[str] = []
    yield from _rows(path, table, where, found)
    if found:
        say_damaged(path, ", ".join(dict.fromkeys(found[:20])), table.then)
    if damaged is not None:
        damaged += found


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], table: Table) -> None:
    """Write rows into a Parquet file, a bounded number and size at a time.

    Raises:
        OSError: It cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.type_for_alias(of.arrow)) for name, of in table.columns.items()])
    few = [name for name in table.columns if name not in LONG]  # values that come again and again
    with parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=few) as writer:
        for batch in _groups(rows):
            plain = [{name: _storable(row.get(name), of) for name, of in table.columns.items()} for row in batch]
            writer.write_table(pa.Table.from_pylist(plain, schema))
    pa.default_memory_pool().release_unused()


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Rows in groups of bounded number and size."""
    group: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(row.get(name) or "") for name in LONG)
        if len(group) == ROW_GROUP or size >= CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _storable(value: Any, of: Kind) -> Any:
    """A value as its column takes it; half of a surrogate pair, which Parquet has no way to hold, is replaced."""
    if of is OBJECT:
        return to_json(value or {})
    if of is LIST:
        return to_json(value or [])
    if isinstance(value, str):
        return well_formed(value)
    return float(value) if of is NUMBER and value is not None else value


def _rows(path: Path, table: Table, where: Mapping[str, str], damaged: list[str]) -> Iterator[Row]:
    objects = _written_as_json(table)
    for rows in _batches(path, list(table.columns), where, damaged):
        for row in rows:
            if _read_objects(row, objects) and table.holds(row):
                yield row
            else:
                damaged.append(f"the row of document {str(row.get('doc_hash'))[:16]}")


def _written_as_json(table: Table) -> list[str]:
    return [name for name, of in table.columns.items() if of in (OBJECT, LIST)]


def hash_ranges(parts: float) -> Iterator[tuple[str, str]]:
    """At least so many ranges of documents' hashes, in order: `from <= hash < to`; the last has no end.

    Hashes are hexadecimal. Those of a stranger may be anything: they are in one of the ranges all the same.

    >>> list(hash_ranges(2.5))
    [('', '55555555'), ('55555555', 'aaaaaaaa'), ('aaaaaaaa', '')]
    """
    whole = max(1, ceil(parts))
    return pairwise(["", *(f"{(place << 32) // whole:08x}" for place in range(1, whole)), ""])


class PlacedRows:
    """The rows of a Parquet file by their number, a few groups of them in memory."""

    def __init__(self, path: Path, table: Table) -> None:
        """Open the file; one that is absent or damaged has no rows.

        Args:
            path: The file.
            table: What it holds.
        """
        import pyarrow as pa
        from pyarrow import parquet

        self._path, self._table = path, table
        self._file: Any = None
        self._starts: list[int] = []
        self._group = lru_cache(maxsize=16)(self._read_group)
        try:
            self._file = parquet.ParquetFile(path)
        except FileNotFoundError:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            _require_damage(error)
            say_damaged(path, "the whole file", table.then)
            return
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = [0, *accumulate(sizes)][: len(sizes)]

    def every(self, names: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """Number and some columns of each row; a group that is damaged is named and passed over."""
        import pyarrow as pa

        for group, start in enumerate(self._starts):
            try:
                rows = self._file.read_row_group(group, columns=list(names)).to_pylist()
            except (pa.ArrowException, OSError, ValueError) as error:
                _require_damage(error)
                say_damaged(self._path, f"row group {group + 1}", self._table.then)
                continue
            yield from enumerate(rows, start)

    def row(self, number: int) -> Row:
        """A row, as the journal held it.

        Raises:
            ValueError: It is damaged.
        """
        group = bisect_right(self._starts, number) - 1
        [row] = self._group(group).slice(number - self._starts[group], 1).to_pylist()
        if not (_read_objects(row, _written_as_json(self._table)) and self._table.holds(row)):
            raise ValueError(f"{self._path}: row {number} is damaged")
        return dict(row)

    def _read_group(self, group: int) -> Any:
        return self._file.read_row_group(group)


def _batches(path: Path, columns: Sequence[str], where: Mapping[str, str], damaged: list[str]) -> Iterator[list[Row]]:
    import pyarrow as pa
    from pyarrow import compute, parquet

    unreadable = (pa.ArrowException, OSError, ValueError)
    try:
        file = parquet.ParquetFile(path)
    except FileNotFoundError:
        return
    except unreadable as error:
        _require_damage(error)
        damaged.append("the whole file")
        return
    with file:
        known = set(file.schema_arrow.names)
        read = [name for name in columns if name in known]
        for group in range(file.num_row_groups):
            try:
                if not _may_hold(file.metadata.row_group(group), where):
                    continue
                for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=read):
                    chosen = batch
                    for name, value in where.items():
                        chosen = chosen.filter(compute.equal(chosen.column(name), value)) if name in known else chosen
                    yield chosen.to_pylist()
            except unreadable as error:
                _require_damage(error)
                damaged.append(f"row group {group + 1}")


def _may_hold(group: Any, where: Mapping[str, str]) -> bool:
    """Whether a group can hold such rows, by the smallest and largest value that the file tells of its columns."""
    for column in map(group.column, range(group.num_columns) if where else ()):
        value, told = where.get(column.path_in_schema), column.statistics
        known = value is not None and told is not None and told.has_min_max and isinstance(told.min, str)
        if known and not told.min <= value <= told.max:
            return False
    return True


def _require_damage(error: BaseException) -> None:
    """Raise an error of the system: the file may be whole. Arrow's own have no number."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _read_objects(row: Row, names: Sequence[str]) -> bool:
    """Turn the JSON text of columns into objects; whether that was possible."""
    for name in names:
        held = row.get(name)
        if held is None:
            continue
        try:
            row[name] = json.loads(held)
        except (ValueError, TypeError, RecursionError):
            return False
    return True
