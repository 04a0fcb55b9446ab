"""The SQL of the reader of records: views over the Parquet files and journals of run directories.

A journal is parsed once: `internal.journal_*` holds its rows or, for texts, which may be many gigabytes, the numbers
of the lines that count. A Parquet file has each key once: a compaction leaves no other. Paths and names reach SQL as
escaped literals only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sftgen_judges.records import columns
from sftgen_judges.records.columns import LIST, NUMBER, OBJECT, Columns, Kind, literal
from sftgen_judges.records.snapshot import Snapshot

# Which run a row is of, the folder says.
SAMPLES, TEXTS, PROMPTS, METRICS, EVALUATIONS, LABELS, PROBES, FINDINGS, TOKENS = (
    {name: of for name, of in table.columns.items() if name not in {"run", "schema"}}
    for table in (
        columns.SAMPLES,
        columns.TEXTS,
        columns.PROMPTS,
        columns.METRICS,
        columns.EVALUATIONS,
        columns.LABELS,
        columns.PROBES,
        columns.FINDINGS,
        columns.TRAINING_TOKENS,
    )
)
SAMPLE_KEY, METRIC_KEY = columns.SAMPLES.key, columns.METRICS.key
# A prompt that changed makes another text; records before schema 3 know their sampling settings as JSON only.
TEXT_KEY = (*SAMPLE_KEY, "prompt_hash", "CASE WHEN sampling_id IS NULL THEN sampling END")
GROUP = ("folder", "task", "step", "model", "sampling_id", "evaluated_at")
"""What the answers of one evaluation have in common."""

MOST_LINE = 16 * 2**20
"""Bytes of a line that are read at least; a longer one may be an error, which names the file."""

RUNS = """CREATE TABLE runs (run VARCHAR, folder VARCHAR, "schema" BIGINT, created VARCHAR, model VARCHAR,
    model_id VARCHAR, command VARCHAR, manifest VARCHAR)"""


def load_samples(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `all_samples`, `samples` and `measures`."""
    yield from _load_journal(
        "samples", "samples.jsonl", snapshots, SAMPLES, SAMPLE_KEY, valid="task IS NOT NULL AND doc_hash IS NOT NULL"
    )

    rows = _compacted_or_live("samples", "samples.parquet", SAMPLES, SAMPLE_KEY)
    yield f"CREATE VIEW all_samples AS {_of_runs(snapshots, rows)}"
    yield from _groups("samples", "task IS NOT NULL")
    yield f"""CREATE VIEW samples AS
        SELECT * FROM all_samples AS a ANTI JOIN internal.superseded_samples AS s ON {same_in(GROUP)}"""
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
        LEFT JOIN internal.current_samples AS s ON {same_in(GROUP[:3])}
        WHERE s.folder IS NULL OR (coalesce(s.model = a.model, s.model IS NULL)
            AND coalesce(s.sampling_id = a.sampling_id, true))"""


def load_prompts(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `prompts`."""
    valid = "task IS NOT NULL AND doc_hash IS NOT NULL AND prompt_hash IS NOT NULL AND prompt IS NOT NULL"
    yield from _load_journal("prompts", "prompts/*.jsonl", snapshots, PROMPTS, columns.PROMPTS.key, valid=valid)
    yield f"CREATE VIEW prompts AS {_of_runs(snapshots, _in_journal('prompts', PROMPTS))}"


def load_metrics(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `all_metrics` and `metrics`."""
    yield from _load_journal(
        "metrics", "metrics.jsonl", snapshots, METRICS, METRIC_KEY, valid="task IS NOT NULL AND status IS NOT NULL"
    )
    yield f"CREATE VIEW all_metrics AS {_of_runs(snapshots, _in_journal('metrics', METRICS))}"
    yield from _groups("metrics", "status = 'ok'")
    yield f"""CREATE VIEW metrics AS
        SELECT * FROM all_metrics AS a ANTI JOIN internal.superseded_metrics AS s ON {same_in(GROUP)}
        WHERE a.status = 'ok'
        UNION ALL
        SELECT * FROM all_metrics AS a ANTI JOIN internal.current_metrics AS s ON {same_in(GROUP[:3])}
        WHERE a.status <> 'ok'"""


def load_evaluations(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `evaluations`."""
    yield from _load_journal(
        "evaluations", "evaluations.jsonl", snapshots, EVALUATIONS, key=None, valid="status IS NOT NULL"
    )
    rows = _of_runs(snapshots, _in_journal("evaluations", EVALUATIONS))
    # "at" is a word of SQL.
    yield f'CREATE VIEW evaluations AS SELECT * RENAME ("at" AS evaluated_at) FROM ({rows})'


def load_labels(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `labels`, after those of samples: those of the answers in force."""
    valid = "diagnostic IS NOT NULL AND task IS NOT NULL AND doc_hash IS NOT NULL"
    yield from _load_journal("labels", "labels/*.jsonl", snapshots, LABELS, columns.LABELS.key, valid=valid)
    rows = _of_runs(snapshots, _compacted_or_live("labels", "labels/*.parquet", LABELS, columns.LABELS.key))
    beside = ("doc_id", "cluster", "status", "score", "paper", "truncated", "tokens", "thinking_tokens")
    yield f"""CREATE VIEW labels AS SELECT a.*, {", ".join(f's."{name}"' for name in beside)}
        FROM ({rows}) AS a JOIN samples AS s ON {same_in(("folder", *SAMPLE_KEY))}"""


def load_probes(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `probes`."""
    valid = "diagnostic IS NOT NULL AND kept IS NOT NULL"
    yield from _load_journal("probes", "probes/*.jsonl", snapshots, PROBES, columns.PROBES.key, valid=valid)
    yield f"CREATE VIEW probes AS {_of_runs(snapshots, _in_journal('probes', PROBES))}"


def load_findings(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `findings`."""
    valid = "diagnostic IS NOT NULL AND found IS NOT NULL"
    yield from _load_journal("findings", "findings.jsonl", snapshots, FINDINGS, columns.FINDINGS.key, valid=valid)
    rows = _of_runs(snapshots, _in_journal("findings", FINDINGS))
    yield f'CREATE VIEW findings AS SELECT * RENAME ("at" AS found_at) FROM ({rows})'


def load_training_tokens(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Statements that make `training_tokens`."""
    name, valid = "training_tokens", "kind IS NOT NULL AND step IS NOT NULL"
    yield from _load_journal(name, f"{name}.jsonl", snapshots, TOKENS, columns.TRAINING_TOKENS.key, valid=valid)
    rows = _of_runs(snapshots, _in_journal(name, TOKENS))
    yield f'CREATE VIEW {name} AS SELECT * RENAME ("at" AS measured_at) FROM ({rows})'


def _load_journal(
    kind: str,
    file: str,
    snapshots: Sequence[Snapshot],
    fields: Columns,
    key: Sequence[str] | None,
    *,
    valid: str,
) -> Iterator[str]:
    """Read a journal of every run into a table: whole rows, and of equal keys the last."""
    types = ", ".join(f"{_quoted(name)} {_stored(of)}" for name, of in fields.items())
    table = f"internal.journal_{kind}"
    # DuckDB reads Infinity and NaN as numbers.
    finite = "".join(f" AND isfinite({_quoted(name)}) IS NOT FALSE" for name, of in fields.items() if of is NUMBER)
    yield f"CREATE TABLE {table} (number BIGINT, key UBIGINT, line BIGINT, {types})"
    for number, snapshot in enumerate(snapshots):
        journals = snapshot.paths(file)
        if journals:
            hashed = f"hash({', '.join(key)})" if key else "line"
            insert = f"INSERT INTO {table} SELECT {number}, {hashed}, * FROM ({_journal(journals, fields)}) WHERE "
            yield f"{insert}{valid}{finite}"
    if key:
        yield f"""DELETE FROM {table} WHERE (number, line) NOT IN
            (SELECT (number, max(line)) FROM {table} GROUP BY number, key)"""


def _groups(kind: str, which: str) -> Iterator[str]:
    """Tables of the current and the superseded groups: of several evaluations at one step, the last.

    Without a date the group with a known model, then the larger one, is current.
    """
    yield f"""CREATE TABLE internal.groups_{kind} AS
        SELECT *, row_number() OVER (PARTITION BY folder, task, step
            ORDER BY evaluated_at DESC NULLS LAST, model IS NULL, size DESC, model, sampling_id) = 1 AS current
        FROM (SELECT {", ".join(GROUP)}, count(*) AS size
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


def _in_journal(kind: str, fields: Columns) -> Callable[[int, Snapshot], Iterable[str]]:
    names = ", ".join(map(_quoted, fields))
    return lambda number, _: [f"SELECT {names} FROM internal.journal_{kind} WHERE number = {number}"]


def _compacted_or_live(
    kind: str, compacted: str, fields: Columns, key: Sequence[str]
) -> Callable[[int, Snapshot], Iterable[str]]:
    """The rows of Parquet files and of the journal, which goes before."""
    names = ", ".join(map(_quoted, fields))

    def rows(number: int, snapshot: Snapshot) -> Iterator[str]:
        paths = snapshot.paths(compacted)
        if paths:
            yield f"SELECT {names} FROM ({_parquet(paths, fields)})" + (
                bool(snapshot.paths(compacted.replace(".parquet", ".jsonl"))) * _unless_in_journal(kind, number, key)
            )
        yield f"SELECT {names} FROM internal.journal_{kind} WHERE number = {number}"

    return rows


def _unless_in_journal(kind: str, number: int, key: Sequence[str]) -> str:
    """Leave out rows that stand in the journal too: a compaction that was killed, or a later answer."""
    keys = f"SELECT key FROM internal.journal_{kind} WHERE number = {number}"
    return f" ANTI JOIN ({keys}) AS j ON j.key = hash({', '.join(key)})"


def same_in(names: Sequence[str]) -> str:
    """Whether two rows are equal in these columns; what is asked of one that is never NULL is asked of both."""
    return " AND ".join(f"a.{name} {'=' if name in _THERE else 'IS NOT DISTINCT FROM'} s.{name}" for name in names)


_THERE = frozenset({"folder", "task", "doc_hash"})


def _journal(paths: Sequence[Path], fields: Columns) -> str:
    """The lines of journals by their number; one that cannot be read has NULL in every column."""
    given = ", ".join(f"{literal(name)}: {literal(of.sql)}" for name, of in fields.items())
    named = ", ".join(
        _quoted(name) + ("::VARCHAR AS " + _quoted(name)) * (of in (OBJECT, LIST)) for name, of in fields.items()
    )
    return f"""SELECT row_number() OVER () AS line, {named} FROM read_json([{", ".join(map(literal, paths))}],
        format = 'newline_delimited', ignore_errors = true, maximum_object_size = {MOST_LINE}, columns = {{{given}}})"""


def _parquet(paths: Sequence[Path], fields: Columns) -> str:
    """The rows of Parquet files; NULL in a column that one lacks, and where a value is not of the column's type."""
    none = ", ".join(f"NULL::{_stored(of)} AS {_quoted(name)}" for name, of in fields.items())
    rows = f"SELECT {none} WHERE false"
    if not paths:
        return rows
    read = f"SELECT * FROM read_parquet([{', '.join(map(literal, paths))}], union_by_name = true)"
    cast = ", ".join(f"{_cast(_quoted(name), of)} AS {_quoted(name)}" for name, of in fields.items())
    return f"SELECT {cast} FROM ({rows} UNION ALL BY NAME {read})"


def _cast(column: str, of: Kind) -> str:
    if of not in (OBJECT, LIST):
        return f"TRY_CAST({column} AS {of.sql})"
    return f"CASE WHEN json_valid({column}) THEN nullif(json({column})::VARCHAR, 'null') END"


def _stored(of: Kind) -> str:
    return "VARCHAR" if of in (OBJECT, LIST) else of.sql


def _quoted(name: str) -> str:
    return f'"{name}"'
