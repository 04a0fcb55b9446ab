"""Journals turned into Parquet: the text table of a task, the narrow index of samples, and labels of diagnostics.

Whoever compacts holds the run's write lock. A kill between the new Parquet file and the removal of the journal leaves
rows in both: they are equal, and of equal keys one is kept.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from sftgen_judges.errors import first_line
from sftgen_judges.records.columns import LABELS, SAMPLES, TEXTS, Columns, Table, literal
from sftgen_judges.records.journal import append_rows, naming, parsed, placed_rows, whole_rows
from sftgen_judges.records.schema import sampling_id
from sftgen_judges.records.tables import ROW_GROUP, hash_ranges, table_rows, write_table

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

Row = dict[str, Any]
MEMORY = "128MB"
"""What sorting samples may hold in memory; the rest goes to disk."""
COMPACTING = ".compacting-"
_PART = 1 << 15
"""Rows of samples that are sorted at once."""


def compact_generations(journal: Path) -> None:
    """Turn the journal of one task into its text table, sorted by document, repeat and step.

    Raises:
        WriteError: The table cannot be written; the journal stands.
    """
    _compact(journal, journal.with_suffix(".parquet"), _merge_texts)


def compact_samples(journal: Path, index: Path) -> None:
    """Turn the journal of samples into the index, sorted by task, step, document and repeat.

    Raises:
        WriteError: The index cannot be written; the journal stands.
    """
    _compact(journal, index, partial(_merge_rows, SAMPLES))


def compact_labels(journal: Path) -> None:
    """Turn the journal of a diagnostic's labels of one task into a table, sorted by step, document and repeat.

    Raises:
        WriteError: The table cannot be written; the journal stands.
    """
    _compact(journal, journal.with_suffix(".parquet"), partial(_merge_rows, LABELS))


def generation_rows(journal: Path, model: str | None = None) -> Iterator[Row]:
    """The rows of a task's text table, as the journal held them.

    Args:
        journal: The journal that was compacted.
        model: Only those of this model.
    """
    return table_rows(journal.with_suffix(".parquet"), TEXTS, {"model": model} if model else {})


def sample_rows(index: Path, task: str | None) -> Iterator[Row]:
    """The rows of one task in the index, or of all, as the journal held them."""
    for row in table_rows(index, SAMPLES, {"task": task} if task else {}):
        yield {**row, "measures": row["measures"] or {}}


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers have left. The caller holds the write lock, so that none of them is at work."""
    for place in (folder, folder / "generations", *(folder / "labels").glob("*")):
        for path in place.glob(f"{COMPACTING}*"):
            rmtree(path, ignore_errors=True)
        for path in place.glob(".*.making"):  # an older version's
            path.unlink(missing_ok=True)
        # Before it is renamed a file has the name of what it becomes, and eight letters.
        for path in place.glob(".*.????????"):
            if path.name.startswith(_LOCKED) or (path.name.startswith(_UNLOCKED) and _is_old(path)):
                path.unlink(missing_ok=True)


_LOCKED = (".manifest.json.", ".metrics.jsonl.", ".samples.jsonl.")
_UNLOCKED = ("..owner.json.", ".report.html.")
"""Temporary files that are written without the lock; one of them may be at work."""


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > 3600
    except OSError:
        return False


Merge = Callable[[Path, Path, Path, list[str]], None]
"""Writes the rows of a journal and of a table into a new file; what is damaged of the table is added to a list."""


def _compact(journal: Path, table: Path, merge: Merge) -> None:
    """Merge a journal into a table, and remove the journal. A table that is damaged is set aside."""
    if not journal.exists():
        return
    with naming(table), TemporaryDirectory(dir=table.parent, prefix=COMPACTING) as made:
        merged, damaged = Path(made) / "merged.parquet", list[str]()
        merge(journal, table, merged, damaged)
        if damaged:
            aside = table.with_name(f"{table.name}.damaged")
            table.replace(aside)
            logger.warning("%s was damaged: it was set aside as %s, its sound rows are kept", table, aside.name)
        merged.replace(table)
    journal.unlink()


# ---------------------------------------------------------------------------------------- texts


class _UnsortedError(Exception):
    """A table of another program."""


def _merge_texts(journal: Path, table: Path, merged: Path, damaged: list[str]) -> None:
    """Texts are many times larger than memory: lines are sorted by their places, and read once more in order."""
    try:
        write_table(merged, _merged(journal, table, damaged), TEXTS)
    except _UnsortedError:
        all_rows = merged.with_name("rows.jsonl")
        append_rows(all_rows, table_rows(table, TEXTS))
        append_rows(all_rows, whole_rows(journal, TEXTS))
        write_table(merged, _merged(all_rows, merged.with_name("none.parquet"), []), TEXTS)


def _merged(journal: Path, table: Path, damaged: list[str]) -> Iterator[Row]:
    """The rows of both in order, of equal keys that of the journal, and of the journal the last."""
    last: dict[bytes, tuple[tuple[Any, ...], int, int]] = {}
    documents: dict[str, str] = {}
    settings: dict[str, str] = {}
    for place, length, row in placed_rows(journal, TEXTS):
        document = documents.setdefault(row["doc_hash"], row["doc_hash"])
        last[_key(row, settings)] = (_order({**row, "doc_hash": document}), place, length)

    def kept() -> Iterator[Row]:
        before: tuple[Any, ...] = ()
        for row in table_rows(table, TEXTS, damaged=damaged):
            if (order := _order(row)) < before:
                raise _UnsortedError
            before = order
            if _key(row, settings) not in last:
                yield row

    with journal.open("rb") as file:
        # Rows that are equal in all but their prompt stay in the order in which they came.
        live = (_row_at(file, place, length) for _, place, length in sorted(last.values()))
        yield from heapq.merge(kept(), live, key=_order)


def _key(row: Mapping[str, Any], settings: dict[str, str]) -> bytes:
    """What is equal for two rows of which the last counts."""
    sampling = repr(row["sampling"])
    if sampling not in settings:
        settings[sampling] = sampling_id(row["sampling"])
    key = [row.get(name) for name in TEXTS.key if name != "sampling"]
    return hashlib.blake2b(repr([*key, settings[sampling]]).encode("utf-8", "replace"), digest_size=16).digest()


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    step = row.get("step")
    return row["doc_hash"], row["repeat"], step is not None, step or 0


def _row_at(file: IO[bytes], place: int, length: int) -> Row:
    file.seek(place)
    row = parsed(file.read(length))
    if row is None:
        raise OSError(f"{file.name} changed while it was read")
    return row


# ---------------------------------------------------------------------------------------- samples and labels


def _merge_rows(of: Table, journal: Path, table: Path, merged: Path, damaged: list[str]) -> None:
    import duckdb

    fresh, sound = merged.with_name("fresh.parquet"), merged.with_name("sound.parquet")
    write_table(fresh, whole_rows(journal, of), of)
    try:
        _sort_rows(of, fresh, table, merged)
    except (duckdb.Error, OSError, ValueError) as error:
        rows = table_rows(table, of, damaged=damaged)
        write_table(sound, rows, of)
        if not damaged:
            raise OSError(first_line(error)) from error
        _sort_rows(of, fresh, sound, merged)


def _sort_rows(of: Table, fresh: Path, table: Path, merged: Path) -> None:
    """Write the rows of two tables in order, of equal keys the last.

    They are sorted part by part: to sort them all DuckDB may want more than it may hold, and then it fails.
    """
    import duckdb
    from pyarrow import parquet

    columns = ", ".join(of.columns)
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute("SET threads = 1")
        database.execute(f"SET temp_directory = {literal(merged.parent)}")
        scans = [f"SELECT {columns}, 1 AS later, file_row_number AS place FROM {_scan(fresh)}"]
        if table.exists():
            scans.append(
                f"SELECT {_select(table, of.columns)}, 0 AS later, file_row_number AS place FROM {_scan(table)}"
            )
        database.execute(f"CREATE VIEW found AS {' UNION ALL '.join(scans)}")
        schema = database.sql(f"SELECT {columns} FROM found LIMIT 0").to_arrow_table().schema
        with parquet.ParquetWriter(merged, schema, compression="zstd") as writer:
            for part in _parts(database, of.order[: of.order.index("doc_hash")]):
                rows = database.sql(
                    f"SELECT {columns} FROM ({part}) QUALIFY row_number() OVER (PARTITION BY {', '.join(of.key)} "
                    f"ORDER BY later DESC, place DESC) = 1 ORDER BY {_in_order(of.order)}"
                )
                writer.write_table(rows.to_arrow_table(), ROW_GROUP)


def _parts(database: duckdb.DuckDBPyConnection, coarse: Sequence[str]) -> Iterator[str]:
    """Queries that give all rows of `found`, some `_PART` each: those of one come before those of the next.

    Args:
        database: Holds `found`.
        coarse: What the rows are ordered by before their documents.
    """
    names, first = ", ".join(coarse), coarse[0]
    # A group that crosses a multiple of `_PART` is a part by itself, those between two such groups are one.
    database.execute(
        f"CREATE TABLE groups AS SELECT *, (until - n) // {_PART} + (until - 1) // {_PART} AS part FROM "
        f"(SELECT *, sum(n) OVER (ORDER BY {_in_order(coarse)}) AS until FROM "
        f"(SELECT {names}, count(*) AS n FROM found GROUP BY ALL))"
    )
    same = " AND ".join(f"found.{name} IS NOT DISTINCT FROM groups.{name}" for name in coarse)
    sizes = f"SELECT part, sum(n), count({first}) = count(*) FROM groups GROUP BY part ORDER BY part"
    for part, n, named in database.execute(sizes).fetchall():
        of = f"(SELECT * FROM groups WHERE part = {part}) AS groups"
        query = f"SELECT * FROM found SEMI JOIN {of} ON {same}"
        if named:  # so written, a reader passes over row groups of the table, which is in order
            query += f" WHERE {first} BETWEEN (SELECT min({first}) FROM {of}) AND (SELECT max({first}) FROM {of})"
        for low, high in hash_ranges(n / _PART):  # one group may be too large
            upper = f" AND doc_hash < '{high}'" if high else ""
            yield f"SELECT * FROM ({query}) WHERE doc_hash >= '{low}'{upper}"


def _in_order(names: Sequence[str]) -> str:
    return ", ".join(f"{name} NULLS FIRST" for name in names)


def _select(table: Path, columns: Columns) -> str:
    """Columns of a table that an older version may have written with fewer of them."""
    from pyarrow import parquet

    known = set(parquet.read_schema(table).names)
    return ", ".join(name if name in known else f"NULL AS {name}" for name in columns)


def _scan(path: Path) -> str:
    return f"read_parquet({literal(path)}, file_row_number = true)"
