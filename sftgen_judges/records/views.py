"""The SQL of the reader of records: views over the Parquet files and journals of run directories.

A journal is parsed once: `internal.journal_*` holds its rows or, for texts, which may be many gigabytes, the numbers
of the lines that count. A Parquet file has each key once: a compaction leaves no other. Paths and names reach SQL as
escaped literals only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sftgen_judges.records.snapshot import Snapshot

SAMPLES: Mapping[str, str] = {
    "model": "VARCHAR", "sampling_id": "VARCHAR", "task": "VARCHAR", "step": "BIGINT", "doc_id": "VARCHAR",
    "doc_hash": "VARCHAR", "repeat": "BIGINT", "status": "VARCHAR", "answer": "VARCHAR", "score": "DOUBLE",
    "paper": "DOUBLE", "measures": "JSON", "truncated": "BOOLEAN", "think": "VARCHAR", "tokens": "BIGINT",
    "thinking_tokens": "BIGINT", "answer_tokens": "BIGINT", "finish_reason": "VARCHAR", "reason": "VARCHAR",
    "scorer": "VARCHAR", "evaluation_version": "BIGINT", "evaluated_at": "VARCHAR",
}  # fmt: skip
TEXTS: Mapping[str, str] = {
    "model": "VARCHAR", "sampling_id": "VARCHAR", "task": "VARCHAR", "step": "BIGINT", "doc_hash": "VARCHAR",
    "repeat": "BIGINT", "prompt_hash": "VARCHAR", "sampling": "JSON", "text": "VARCHAR", "reasoning": "VARCHAR",
    "finish_reason": "VARCHAR", "tokens": "BIGINT", "prompt_tokens": "BIGINT", "prefilled": "BOOLEAN",
    "exact": "BOOLEAN", "seed": "BIGINT", "template_hash": "VARCHAR", "markers": "VARCHAR",
}  # fmt: skip
METRICS: Mapping[str, str] = {
    "model": "VARCHAR", "sampling_id": "VARCHAR", "task": "VARCHAR", "step": "BIGINT", "status": "VARCHAR",
    "metric": "VARCHAR", "mean": "DOUBLE", "low": "DOUBLE", "high": "DOUBLE", "n": "DOUBLE", "docs": "BIGINT",
    "incomplete": "BOOLEAN", "reason": "VARCHAR", "evaluation_version": "BIGINT", "evaluated_at": "VARCHAR",
}  # fmt: skip
EVALUATIONS: Mapping[str, str] = {
    "step": "BIGINT", "status": "VARCHAR", "seconds": "DOUBLE", "at": "VARCHAR", "model": "VARCHAR",
    "reason": "VARCHAR",
}  # fmt: skip

SAMPLE_KEY = ("model", "sampling_id", "task", "step", "doc_hash", "repeat")
# A prompt that changed makes another text; records before schema 3 know their sampling settings as JSON only.
TEXT_KEY = (*SAMPLE_KEY, "prompt_hash", "CASE WHEN sampling_id IS NULL THEN sampling END")
METRIC_KEY = ("model", "sampling_id", "task", "step", "metric")
GROUP = ("folder", "task", "step", "model", "sampling_id")

MOST_LINE = 16 * 2**20
"""Bytes of a line that are read at least; a longer one may be an error, which names the file."""

RUNS = """CREATE TABLE runs (run VARCHAR, folder VARCHAR, "schema" BIGINT, created VARCHAR, model VARCHAR,
    model_id VARCHAR, command VARCHAR, manifest VARCHAR)"""


def literal(text: str | Path) -> str:
    """A string in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def load_samples(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `all_samples`, `samples` and `measures`."""
    yield from _load_journal(
        "samples", "samples.jsonl", snapshots, SAMPLES, SAMPLE_KEY, valid="task IS NOT NULL AND doc_hash IS NOT NULL"
    )

    def rows(number: int, snapshot: Snapshot) -> Iterator[str]:
        names = ", ".join(map(_quoted, SAMPLES))
        compacted = snapshot.paths("samples.parquet")
        if compacted:
            live = bool(snapshot.paths("samples.jsonl"))
            yield f"SELECT {names} FROM ({_parquet(compacted, SAMPLES)})" + (
                live * _unless_in_journal("samples", number, SAMPLE_KEY)
            )
        yield f"SELECT {names} FROM internal.journal_samples WHERE number = {number}"

    yield f"CREATE VIEW all_samples AS {_of_runs(snapshots, rows)}"
    yield from _groups("samples", "task IS NOT NULL")
    yield f"""CREATE VIEW samples AS
        SELECT * FROM all_samples AS a ANTI JOIN internal.superseded_samples AS s ON {_same(GROUP)}"""
    key = ", ".join(("run", "folder", "doc_id", *SAMPLE_KEY))
    # Twice as fast as a cast to a map. A JSON pointer writes ~ as ~0 and / as ~1.
    yield f"""CREATE VIEW measures AS
        SELECT {key}, measure, TRY_CAST(found AS DOUBLE) AS "value",
            CASE json_type(found) WHEN 'ARRAY' THEN TRY_CAST(found AS DOUBLE[]) END AS vals
        FROM (SELECT *, json_extract(measures, '/' || replace(replace(measure, '~', '~0'), '/', '~1')) AS found
            FROM (SELECT {key}, measures, unnest(json_keys(measures)) AS measure FROM samples))"""


def load_texts(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `all_texts` and `texts`, after those of samples."""
    key = f"hash({', '.join(TEXT_KEY)})"
    yield "CREATE TABLE internal.journal_texts (number BIGINT, line BIGINT, key UBIGINT)"
    for number, snapshot in enumerate(snapshots):
        journals = snapshot.paths("generations/*.jsonl")
        if journals:
            yield f"""INSERT INTO internal.journal_texts SELECT {number}, max(line), {key} AS key
                FROM ({_journal(journals, TEXTS)}) WHERE task IS NOT NULL AND doc_hash IS NOT NULL GROUP BY key"""

    def rows(number: int, snapshot: Snapshot) -> Iterator[str]:
        names = ", ".join(map(_quoted, TEXTS))
        compacted, journals = snapshot.paths("generations/*.parquet"), snapshot.paths("generations/*.jsonl")
        yield f"SELECT {names} FROM ({_parquet(compacted, TEXTS)})" + (
            bool(journals) * _unless_in_journal("texts", number, TEXT_KEY)
        )
        if journals:
            yield f"""SELECT {names} FROM ({_journal(journals, TEXTS)})
                SEMI JOIN (SELECT line FROM internal.journal_texts WHERE number = {number}) USING (line)"""

    yield f"CREATE VIEW all_texts AS {_of_runs(snapshots, rows)}"
    # What samples of before schema 3 do not say cannot tell texts apart.
    yield f"""CREATE VIEW texts AS SELECT a.* FROM all_texts AS a
        LEFT JOIN internal.current_samples AS s ON {_same(GROUP[:3])}
        WHERE s.folder IS NULL OR (coalesce(s.model = a.model, s.model IS NULL)
            AND coalesce(s.sampling_id = a.sampling_id, true))"""


def load_metrics(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `all_metrics` and `metrics`."""
    yield from _load_journal(
        "metrics", "metrics.jsonl", snapshots, METRICS, METRIC_KEY, valid="task IS NOT NULL AND status IS NOT NULL"
    )
    yield f"CREATE VIEW all_metrics AS {_of_runs(snapshots, _in_journal('metrics', METRICS))}"
    yield from _groups("metrics", "status = 'ok'")
    yield f"""CREATE VIEW metrics AS
        SELECT * FROM all_metrics AS a ANTI JOIN internal.superseded_metrics AS s ON {_same(GROUP)}
        WHERE a.status = 'ok'
        UNION ALL
        SELECT * FROM all_metrics AS a ANTI JOIN internal.current_metrics AS s ON {_same(GROUP[:3])}
        WHERE a.status <> 'ok'"""


def load_evaluations(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `evaluations`."""
    yield from _load_journal(
        "evaluations", "evaluations.jsonl", snapshots, EVALUATIONS, key=None, valid="status IS NOT NULL"
    )
    rows = _of_runs(snapshots, _in_journal("evaluations", EVALUATIONS))
    # "at" is a word of SQL.
    yield f'CREATE VIEW evaluations AS SELECT * RENAME ("at" AS evaluated_at) FROM ({rows})'


def _load_journal(
    kind: str,
    file: str,
    snapshots: Sequence[Snapshot],
    columns: Mapping[str, str],
    key: Sequence[str] | None,
    *,
    valid: str,
) -> Iterator[str]:
    """Read a journal of every run into a table: whole rows, and of equal keys the last."""
    types = ", ".join(f"{_quoted(name)} {_stored(of)}" for name, of in columns.items())
    table = f"internal.journal_{kind}"
    yield f"CREATE TABLE {table} (number BIGINT, key UBIGINT, line BIGINT, {types})"
    for number, snapshot in enumerate(snapshots):
        journals = snapshot.paths(file)
        if journals:
            hashed = f"hash({', '.join(key)})" if key else "line"
            yield f"INSERT INTO {table} SELECT {number}, {hashed}, * FROM ({_journal(journals, columns)}) WHERE {valid}"
    if key:
        yield f"""DELETE FROM {table} WHERE (number, line) NOT IN
            (SELECT (number, max(line)) FROM {table} GROUP BY number, key)"""


def _groups(kind: str, which: str) -> Iterator[str]:
    """Tables of the current and the superseded groups: of several models or settings at one step, the last evaluated.

    Without a date the group with a known model, then the larger one, is current.
    """
    yield f"""CREATE TABLE internal.groups_{kind} AS
        SELECT *, row_number() OVER (PARTITION BY folder, task, step
            ORDER BY seen DESC NULLS LAST, model IS NULL, size DESC, model, sampling_id) = 1 AS current
        FROM (SELECT {", ".join(GROUP)}, max(evaluated_at) AS seen, count(*) AS size
            FROM all_{kind} WHERE {which} GROUP BY ALL)"""
    yield f"CREATE VIEW internal.current_{kind} AS FROM internal.groups_{kind} WHERE current"
    yield f"CREATE VIEW internal.superseded_{kind} AS FROM internal.groups_{kind} WHERE NOT current"


def _of_runs(snapshots: Sequence[Snapshot], rows: Callable[[int, Snapshot], Iterable[str]]) -> str:
    """The rows of all runs, each with its run and folder."""
    return " UNION ALL ".join(
        f"SELECT {literal(snapshot.run)} AS run, {literal(snapshot.folder)} AS folder, * FROM ({part})"
        for number, snapshot in enumerate(snapshots)
        for part in rows(number, snapshot)
    )


def _in_journal(kind: str, columns: Mapping[str, str]) -> Callable[[int, Snapshot], Iterable[str]]:
    names = ", ".join(map(_quoted, columns))
    return lambda number, _: [f"SELECT {names} FROM internal.journal_{kind} WHERE number = {number}"]


def _unless_in_journal(kind: str, number: int, key: Sequence[str]) -> str:
    """Leave out rows that stand in the journal too: a compaction that was killed, or a later answer."""
    keys = f"SELECT key FROM internal.journal_{kind} WHERE number = {number}"
    return f" ANTI JOIN ({keys}) AS j ON j.key = hash({', '.join(key)})"


def _same(names: Sequence[str]) -> str:
    return " AND ".join(f"a.{name} IS NOT DISTINCT FROM s.{name}" for name in names)


def _journal(paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    """The lines of journals by their number; one that cannot be read has NULL in every column."""
    given = ", ".join(f"{literal(name)}: {literal(of)}" for name, of in columns.items())
    named = ", ".join(
        _quoted(name) + ("::VARCHAR AS " + _quoted(name)) * (of == "JSON") for name, of in columns.items()
    )
    return f"""SELECT row_number() OVER () AS line, {named} FROM read_json([{", ".join(map(literal, paths))}],
        format = 'newline_delimited', ignore_errors = true, maximum_object_size = {MOST_LINE}, columns = {{{given}}})"""


def _parquet(paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    """The rows of Parquet files; NULL in a column that one lacks, and where a value is not of the column's type."""
    none = ", ".join(f"NULL::{_stored(of)} AS {_quoted(name)}" for name, of in columns.items())
    rows = f"SELECT {none} WHERE false"
    if not paths:
        return rows
    read = f"SELECT * FROM read_parquet([{', '.join(map(literal, paths))}], union_by_name = true)"
    cast = ", ".join(f"{_cast(_quoted(name), of)} AS {_quoted(name)}" for name, of in columns.items())
    return f"SELECT {cast} FROM ({rows} UNION ALL BY NAME {read})"


def _cast(column: str, of: str) -> str:
    if of != "JSON":
        return f"TRY_CAST({column} AS {of})"
    return f"CASE WHEN json_valid({column}) THEN nullif(json({column})::VARCHAR, 'null') END"


def _stored(of: str) -> str:
    return "VARCHAR" if of == "JSON" else of


def _quoted(name: str) -> str:
    return f'"{name}"'
