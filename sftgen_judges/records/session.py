"""The DuckDB session behind `query`: in memory, closed to everything but the files of the runs that are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sftgen_judges.errors import first_line
from sftgen_judges.records import views
from sftgen_judges.records.columns import literal
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.snapshot import Snapshot

if TYPE_CHECKING:
    import duckdb

MEMORY = "256MB"
"""What DuckDB may hold; beyond that it uses a temporary folder."""
_MOST_THREADS = 4  # a thread that reads a journal takes 32 MB
_TABLE = re.compile(r"'([^']+\.parquet)'")


def closed_database(snapshots: Sequence[Snapshot], spill: str) -> duckdb.DuckDBPyConnection:
    """A database in memory that can read the files of these runs, and nothing else for as long as it lives."""
    import duckdb

    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "threads": min(_MOST_THREADS, len(os.sched_getaffinity(0))),
            "temp_directory": spill,
            "enable_external_file_cache": False,  # the system keeps what it has read of a file anyway
            "allow_community_extensions": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    database.execute("CREATE SCHEMA internal")
    database.execute(views.RUNS)
    for snapshot in snapshots:
        facts = snapshot.manifest
        texts = (facts.get(name) for name in ("created", "model", "model_id", "command"))
        values = (value if isinstance(value, str | None) else json.dumps(value) for value in texts)
        row = (snapshot.run, snapshot.folder, snapshot.schema, *values, json.dumps(facts) if facts else None)
        database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    paths = (literal(file.path) for snapshot in snapshots for file in snapshot.files.values())
    database.execute(f"SET allowed_paths = [{', '.join(paths)}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


@contextmanager
def as_record_error() -> Iterator[None]:
    """What DuckDB says of a query or a file, as an error of records."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        said = first_line(error, longest=5_000)  # with the path of a table
        if table := _TABLE.search(said):
            again = "`sftgen rescore`" if table[1].endswith("samples.parquet") else "the command that evaluated"
            raise RecordError(
                f"records cannot be read: {said}; delete {table[1]}, then {again} makes it again"
            ) from error
        if isinstance(error, duckdb.IOException):
            raise RecordError(f"records cannot be read: {error}") from error
        raise RecordError(f"the query cannot be answered: {error}") from error
