"""The one reader of records: what its views hold, whatever state a run directory is in and whoever made it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from sftgen_judges.records.columns import SAMPLES, TEXTS
from sftgen_judges.records.journal import append_rows
from sftgen_judges.records.query import Records, open_records
from sftgen_judges.records.schema import doc_hash
from sftgen_judges.records.store import RecordError, RunFolder
from tests.judges.records.run_folders import add, compact, generation, listing, metric, of_schema_2, sample, start

ROOT = Path(__file__).parents[3]
LATER = "2026-02-01T00:00:00+00:00"


def rows(records: Records, view: str) -> list[dict[str, Any]]:
    return records.sql(f"SELECT * FROM {view} ORDER BY ALL").rows()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three documents at two steps, live."""
    folder = start(tmp_path / "run")
    for step in (0, 5):
        add(
            folder,
            samples=[sample(n, step=step, score=float(n > step), repeat=r) for n in range(3) for r in range(2)],
            texts=[generation(n, step=step, repeat=r) for n in range(3) for r in range(2)],
            metrics=[metric(step=step), metric(step=step, metric="response_tokens", mean=30.0)],
        )
    return folder


VIEWS = ["samples", "all_samples", "measures", "metrics", "all_metrics", "texts", "all_texts", "evaluations", "runs"]


def test_a_live_run_a_compacted_one_and_one_in_between_read_the_same(run: Path) -> None:
    live = {view: rows(open_records(run), view) for view in VIEWS}
    assert [len(live[view]) for view in VIEWS] == [12, 12, 24, 4, 4, 12, 12, 0, 1]
    compact(run, keep_journals=True)
    assert {view: rows(open_records(run), view) for view in VIEWS} == live
    compact(run)
    assert not (run / "samples.jsonl").exists()
    assert {view: rows(open_records(run), view) for view in VIEWS} == live


def test_every_row_says_its_run_and_folder(run: Path, tmp_path: Path) -> None:
    other = start(tmp_path / "other", run="other-run-id", model="Qwen")
    add(other, samples=[sample(task="sftgen_addition")])
    records = open_records([run, str(other)])
    found = records.sql("SELECT run, folder, count(*) AS n FROM samples GROUP BY ALL ORDER BY ALL").rows()
    assert found == [
        {"run": "0123456789ab", "folder": str(run), "n": 12},
        {"run": "other-run-id", "folder": str(other), "n": 1},
    ]
    assert [row["model"] for row in rows(records, "runs")] == [None, "Qwen"]
    assert records.scores("sftgen_addition", run="other-run-id") == {0: {doc_hash({"id": 0}): 1.0}}
    with pytest.raises(RecordError, match="expected one of 0123456789ab, other-run-id"):
        records.scores("sftgen_addition")


def test_of_equal_keys_the_last_counts(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    add(folder, samples=[sample(0, score=0.0), sample(1, score=0.0)], texts=[generation(0, text="old")])
    add(folder, metrics=[metric(mean=0.1), metric(mean=0.2)])
    compact(folder)
    add(folder, samples=[sample(0, score=0.25), sample(0, score=0.5)], texts=[generation(0, text="new")])
    records = open_records(folder)
    assert [row["score"] for row in records.sql("SELECT score FROM samples ORDER BY doc_id").rows()] == [0.5, 0.0]
    assert [row["text"] for row in rows(records, "all_texts")] == ["new"]
    assert [row["mean"] for row in rows(records, "all_metrics")] == [0.2]


def test_torn_and_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    for name, row in (("samples", sample(0)), ("generations/sftgen_parity", generation(0))):
        add(folder, samples=[row] * (name == "samples"), texts=[row] * (name != "samples"))
        with (folder / f"{name}.jsonl").open("ab") as file:
            file.write(b'garbage\n[1]\n7\nnull\n\n\x00\xff\n{"task": "sftgen_parity", "step": "five"}\n')
        add(folder, samples=[sample(1)] * (name == "samples"), texts=[generation(1)] * (name != "samples"))
        with (folder / f"{name}.jsonl").open("ab") as file:
            file.write(b'{"task": "sftgen_parity", "doc_hash": "torn", "st')
    records = open_records(folder)
    assert [row["doc_id"] for row in rows(records, "samples")] == ["0", "1"]
    assert len(rows(records, "texts")) == 2


def test_a_line_that_nobody_could_have_written_is_named(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    (folder / "samples.jsonl").write_bytes(b'{"task": "' + b"x" * (40 << 20) + b'"}\n')
    with pytest.raises(RecordError, match=r"maximum_object_size.*samples\.jsonl"):
        open_records(folder).samples.rows()


def test_of_two_models_at_a_step_the_last_evaluated_is_current(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    for model, at, mean in (("model-a", None, 0.1), ("model-b", LATER, 0.2), ("model-c", "2026-01-01", 0.3)):
        given = {"model": model, "evaluated_at": at}
        add(
            folder,
            samples=[sample(n, **given) for n in range(2 + (at is None))],
            texts=[generation(n, model=model) for n in range(2)],
            metrics=[metric(**given, mean=mean)],
        )
    add(folder, samples=[sample(step=5, evaluated_at=None)], texts=[generation(9, step=10, model="under way")])
    records = open_records(folder)
    current = "SELECT DISTINCT step, model FROM {} ORDER BY ALL"
    assert records.sql(current.format("samples")).rows() == [
        {"step": 0, "model": "model-b"},
        {"step": 5, "model": "model-a"},
    ]
    assert records.sql(current.format("texts")).rows() == [
        {"step": 0, "model": "model-b"},
        {"step": 10, "model": "under way"},
    ]
    assert [row["mean"] for row in rows(records, "metrics")] == [0.2]
    assert {row["model"] for row in rows(records, "measures")} == {"model-a", "model-b"}
    assert len(rows(records, "all_samples")) == 8
    assert len(rows(records, "all_texts")) == 7
    assert len(rows(records, "all_metrics")) == 3


def test_a_step_outside_training_has_a_current_model_too(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    add(folder, samples=[sample(step=None), sample(step=None, model="later", evaluated_at=LATER, score=0.25)])
    assert open_records(folder).scores("sftgen_parity") == {None: {doc_hash({"id": 0}): 0.25}}


def test_a_failure_is_a_metric_until_it_is_made_good(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    failure = {"status": "failed", "metric": None, "reason": "out of memory"}
    add(folder, metrics=[metric(step=0, **failure), metric(step=0), metric(step=5, **failure)])
    records = open_records(folder)
    assert records.sql("SELECT step, status, reason FROM metrics ORDER BY step").rows() == [
        {"step": 0, "status": "ok", "reason": None},
        {"step": 5, "status": "failed", "reason": "out of memory"},
    ]
    assert len(rows(records, "all_metrics")) == 3


def test_measures_are_numbers_or_lists_of_numbers(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    add(
        folder,
        samples=[sample(measures={"asr": 1, "lines": [True, 0.5], "a/~b": 0.5, "word": "x"}), sample(1, measures=None)],
    )
    for _ in range(2):
        assert open_records(folder).sql("SELECT doc_id FROM samples WHERE measures IS NULL").rows() == [{"doc_id": "1"}]
        found = open_records(folder).sql("SELECT measure, value, vals FROM measures ORDER BY measure").rows()
        assert found == [
            {"measure": "a/~b", "value": 0.5, "vals": None},
            {"measure": "asr", "value": 1.0, "vals": None},
            {"measure": "lines", "value": None, "vals": [1.0, 0.5]},
            {"measure": "word", "value": None, "vals": None},
        ]
        compact(folder)


def test_means_of_documents_are_of_the_repeats_that_have_a_number(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    add(
        folder,
        samples=[
            sample(0, repeat=0, score=1.0, measures={"a/b": 0.5}),
            sample(0, repeat=1, score=0.5, measures={}),
            sample(0, repeat=2, score=None, status="judge_error", measures={"a/b": [1.0]}),
            sample(1, score=None, status="judge_error", truncated=True),
        ],
    )
    records = open_records(folder)
    one, two = doc_hash({"id": 0}), doc_hash({"id": 1})
    assert records.scores("sftgen_parity") == {0: {one: 0.75}}
    assert records.scores("sftgen_parity", measure="a/b") == {0: {one: 0.5}}
    assert records.scores("sftgen_parity", measure="truncated") == {0: {one: 0.0, two: 1.0}}
    [mean] = records.doc_means().rows()
    assert (mean["doc_hash"], mean["mean"], mean["n"]) == (one, 0.75, 2)


def test_a_run_of_schema_2_is_read_as_it_is(tmp_path: Path) -> None:
    folder = start(tmp_path / "old", schema=None, run=None)
    add(
        folder,
        samples=[of_schema_2(sample(n)) for n in range(2)],
        texts=[of_schema_2(generation(n)) for n in range(2)],
        metrics=[of_schema_2(metric()), of_schema_2(metric(mean=0.75))],
    )
    for _ in range(2):
        records = open_records(folder)
        [first, _] = records.sql("SELECT * FROM samples ORDER BY doc_hash").rows()
        assert first["run"] == "old"
        assert first["score"] == 1.0
        assert [first[name] for name in ("model", "measures", "truncated", "evaluated_at")] == [None] * 4
        assert {row["model"] for row in rows(records, "texts")} == {"model-a"}
        assert len(rows(records, "texts")) == 2
        assert [row["mean"] for row in rows(records, "metrics")] == [0.75]
        assert rows(records, "measures") == []
        assert records.runs.rows()[0]["schema"] == 2
        compact(folder)


def test_old_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    folders = [start(tmp_path / parent / "run", schema=None, run=None) for parent in "ab"]
    assert {row["run"] for row in open_records(folders).runs.rows()} == set(map(str, folders))


def test_a_half_migrated_run_is_read(tmp_path: Path) -> None:
    folder = start(tmp_path / "old", schema=None, run=None)
    add(folder, samples=[of_schema_2(sample(0))], texts=[of_schema_2(generation(0, task="sftgen_addition"))])
    compact(folder)
    add(folder, samples=[sample(0), sample(1)], texts=[generation(0)])
    records = open_records(folder)
    assert [row["model"] for row in rows(records, "samples")] == ["model-a", "model-a"]
    assert [row["sampling_id"] for row in rows(records, "texts")] == ["greedy", None]


def test_the_same_text_is_the_same_in_a_journal_and_compacted_before_schema_3(tmp_path: Path) -> None:
    folder = start(tmp_path / "old", schema=None, run=None)
    add(folder, texts=[of_schema_2(generation(0))])
    compact(folder, keep_journals=True)
    assert len(rows(open_records(folder), "texts")) == 1


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    folder = start(tmp_path / "new", schema=4)
    with pytest.raises(RecordError, match=r"new' has schema 4; this sftgen reads schemas up to 3.*install a newer"):
        open_records(folder)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_what_is_no_run_directory_is_told_what_was_expected(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "thing")
    with pytest.raises(RecordError, match=r"thing' is not a run directory: expected manifest\.json, samples\.jsonl"):
        open_records(tmp_path / "thing")


def test_two_copies_of_a_run_are_refused_and_one_named_twice_is_one(run: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", str(run), str(tmp_path / "copy")], check=True)
    with pytest.raises(RecordError, match=r"copies of one run \(0123456789ab\)"):
        open_records([run, tmp_path / "copy"])
    assert len(rows(open_records([run, run / "."]), "samples")) == 12


def test_a_damaged_manifest_or_none_leaves_the_records_readable(run: Path) -> None:
    for change in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        change(run / "manifest.json")
        assert len(rows(open_records(run), "samples")) == 12


def test_a_damaged_parquet_file_is_named(run: Path) -> None:
    compact(run)
    (run / "samples.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(RecordError, match=r"samples\.parquet"):
        open_records(run).samples.rows()
    assert len(open_records(run).metrics.rows()) == 4


def test_reading_writes_nothing_and_takes_no_lock(run: Path) -> None:
    compact(run)
    for path in [run, *run.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(run)
    records = open_records(run)
    assert [len(rows(records, view)) for view in VIEWS] == [12, 12, 24, 4, 4, 12, 12, 0, 1]
    assert listing(run) == before


# A run directory from a stranger.


def test_names_with_quotes_and_patterns_are_names(tmp_path: Path) -> None:
    folder = start(tmp_path / "it's [a-z]* ' OR 1=1 --", run="x' UNION SELECT 'y")
    add(folder, samples=[sample()], texts=[generation(task=task) for task in ("a'b", "a*", "ab", "a[b]", "?")])
    for _ in range(2):
        records = open_records(folder)
        assert [row["task"] for row in rows(records, "texts")] == ["?", "a'b", "a*", "a[b]", "ab"]
        [row] = rows(records, "samples")
        assert (row["run"], row["folder"]) == ("x' UNION SELECT 'y", str(folder))
        compact(folder)


def test_links_that_lead_out_of_a_run_are_not_followed(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    add(secret, samples=[sample(7)], texts=[generation(7, task="secret")])
    (run / "generations" / "secret.jsonl").symlink_to(secret / "generations" / "secret.jsonl")
    (run / "samples.jsonl").unlink()
    (run / "samples.jsonl").symlink_to(secret / "samples.jsonl")
    (run / "generations" / "inside.jsonl").symlink_to(run / "generations" / "sftgen_parity.jsonl")
    (run / "generations" / "nowhere.jsonl").symlink_to("nothing")
    os.mkfifo(run / "generations" / "pipe.jsonl")
    records = open_records(run)
    assert rows(records, "samples") == []
    assert {row["task"] for row in rows(records, "texts")} == {"sftgen_parity"}
    assert len(rows(records, "texts")) == 12


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_text('{run}/../secret.csv')",
        "SELECT * FROM read_csv('{run}/link.csv')",
        "SELECT * FROM samples, read_blob('/proc/self/environ')",
        "SELECT * FROM secret_in_python",
    ],
)
def test_a_query_reads_nothing_but_the_run(run: Path, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nsecret\n")
    (run / "link.csv").symlink_to(secret)
    secret_in_python = open_records(run).runs.to_arrow()
    assert secret_in_python.num_rows == 1
    with pytest.raises(RecordError, match=r"file system operations are disabled|does not exist"):
        open_records(run).sql(query.format(secret=secret, folder=tmp_path, run=run)).rows()


def test_any_thread_may_ask(run: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            records = open_records(run)
            views = ("samples", "metrics", "runs", "texts", "evaluations", "samples", "runs", "prompts")
            counts = list(threads.map(rows, [records] * len(views), views))
            assert [len(found) for found in counts] == [len(rows(records, view)) for view in views]


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{run}/samples.jsonl' (FORMAT csv, USE_TMP_FILE false)",
        "ATTACH '{run}/new.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT 1; COPY (SELECT 1) TO '{run}/samples.jsonl'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{run}/samples.jsonl' (FORMAT csv, USE_TMP_FILE false)",
        "DROP VIEW samples",
        "",
    ],
)
def test_only_a_select_is_a_query(run: Path, query: str) -> None:
    before = listing(run)
    with pytest.raises(RecordError, match="expected one SELECT; records are read only"):
        open_records(run).sql(query.format(run=run))
    assert listing(run) == before


def test_the_database_itself_is_closed_off(run: Path, tmp_path: Path) -> None:
    """Behind the check of queries, should one pass it."""
    database = open_records(run)._database
    for statement in (
        "SET enable_external_access = true",
        "SET memory_limit = '10GB'",
        "LOAD httpfs",
        f"ATTACH '{tmp_path}/new.db'",
        f"COPY (SELECT 1) TO '{tmp_path}/new.csv'",
    ):
        with pytest.raises(duckdb.Error, match=r"locked|disabled"):
            database.execute(statement)


def test_a_query_that_is_wrong_is_an_error_that_says_where(run: Path) -> None:
    with pytest.raises(RecordError, match='"scores" not found in FROM clause'):
        open_records(run).sql("SELECT scores FROM samples").rows()
    with pytest.raises(RecordError, match="syntax error"):
        open_records(run).sql("SELEC")


# While others write.


def test_a_run_that_is_compacted_between_two_queries(run: Path) -> None:
    records = open_records(run)
    before = rows(records, "samples"), rows(records, "texts")
    compact(run)
    add(run, samples=[sample(9)])
    assert (len(rows(records, "samples")), rows(records, "texts")) == (13, before[1])
    compact(run)
    assert len(list(records.texts.batches())) == 1


WRITER = """
import sys
from pathlib import Path
from tests.judges.records.run_folders import add, compact, generation, sample
run = Path(sys.argv[1])
for number in range(30):
    add(run, samples=[sample(number)], texts=[generation(number)])
    print(number, flush=True)
    if number % 3 == 2:
        compact(run)
"""


def test_nothing_is_lost_or_doubled_while_a_run_is_written_and_compacted(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    query = "SELECT count(*) AS n, count(DISTINCT doc_hash) AS documents FROM {}"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, run], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert writer.stdout is not None
    with writer, open_records(run) as records:
        for line in writer.stdout:
            written = int(line) + 1
            records.refresh()
            for view in ("samples", "texts"):
                [found] = records.sql(query.format(view)).rows()
                assert found["n"] == found["documents"] >= written, view
    assert writer.returncode == 0
    assert len(open_records(run).samples.rows()) == 30


# Reading little.


def test_one_document_across_all_steps_is_one_row_group(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    tasks, documents, steps = ("sftgen_addition", "sftgen_parity"), 500, range(9)
    for task in tasks:
        (folder / "generations").mkdir(exist_ok=True)
        texts = [generation(n, task=task, step=step, text=f"{task} {n}") for n in range(documents) for step in steps]
        append_rows(folder / "generations" / f"{task}.jsonl", texts)
    compact(folder)
    records = open_records(folder)
    table = records.document("sftgen_parity", doc_hash({"id": 77}))
    assert [(row["step"], row["text"]) for row in table.rows()] == [(step, "sftgen_parity 77") for step in steps]
    [[_, plan]] = records._database.cursor().execute(f"EXPLAIN ANALYZE {table.query}", table.parameters).fetchall()
    [(read, of)] = re.findall(r"Row Groups Scanned: (\d+) / (\d+)", plan)
    assert int(of) == 6
    assert int(read) <= 2


def test_a_table_becomes_what_the_user_works_with(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = open_records(run)
    table = records.sql("SELECT doc_id, score FROM samples WHERE step = ? AND repeat = 0 ORDER BY doc_id", [0])
    expected = [{"doc_id": "0", "score": 0.0}, {"doc_id": "1", "score": 1.0}, {"doc_id": "2", "score": 1.0}]
    assert table.rows() == expected
    assert table.to_arrow().to_pylist() == expected
    assert table.to_pandas().to_dict("records") == expected
    assert table.to_polars().to_dicts() == expected
    assert [row for batch in table.batches(2) for row in batch.to_pylist()] == expected
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "polars" else find(name))
    with pytest.raises(RecordError, match="polars is not installed: pip install polars"):
        table.to_polars()


def test_a_file_and_a_view_have_the_columns_of_one_table(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    add(folder, samples=[sample(0)], texts=[generation(0)], metrics=[metric()])
    RunFolder(folder).compact()
    for view, file, columns in (
        ("samples", "samples.parquet", SAMPLES.columns),
        ("texts", "generations/sftgen_parity.parquet", TEXTS.columns),
    ):
        schema = parquet.read_schema(folder / file)
        assert {name: str(schema.field(name).type) for name in schema.names} == {
            name: of.arrow for name, of in columns.items()
        }
        shown = open_records(folder).sql(f"SELECT * FROM {view}").to_arrow().schema.names
        assert set(shown) - {"folder", "run"} == columns.keys() - {"schema", "run"}
    described = open_records(folder).sql("SELECT typeof(n) AS of, n FROM metrics").rows()
    assert described == [{"of": "BIGINT", "n": 4}]
