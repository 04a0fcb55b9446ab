"""A run directory: several writers, other places, other versions, and file systems that give less than asked for."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from sftgen_judges.records import compaction, locks
from sftgen_judges.records.columns import SAMPLES
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.manifest import RUN_SCHEMA
from sftgen_judges.records.prompts import shared_ends
from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import GenerationRecord, sampling_id, text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.tables import ROW_GROUP, write_table
from tests import PATIENCE, ROOT

SAMPLING = {"temperature": 0.6}

STEPS, ROUNDS = 20, 5

# What a worker does, until it is told to stop: generations, then samples and metrics of a step.
APPENDING = """
import sys
from pathlib import Path
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
run, stop, who = RunFolder(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
step = 0
while not stop.exists():
    key = {"model": who, "sampling_id": "s", "task": "task", "step": step}
    run.add_generations([GenerationRecord("task", step, who, f"d{n}", 0, "p", {}, "text") for n in range(5)])
    samples = [{**key, "doc_hash": f"d{n}", "repeat": 0, "score": 1.0} for n in range(5)]
    run.add_evaluation(samples, [{**key, "metric": "score", "status": "ok", "mean": 1.0}], {"step": step, "model": who})
    run.update_manifest(**{f"last_{who}": step})
    step += 1
    print(step, flush=True)
"""

# What `sftgen rescore` does: it reads all, writes what it scored anew, and compacts.
RESCORING = """
import sys
from pathlib import Path
from sftgen_judges.records.store import RunFolder
run, stop = RunFolder(Path(sys.argv[1])), Path(sys.argv[2])
rounds = 0
while not stop.exists():
    samples = run.sample_rows("task")
    known = {(row["model"], row["step"]) for row in samples}
    metric = {"sampling_id": "s", "task": "task", "metric": "score", "status": "ok", "mean": 0.5}
    metrics = [{**metric, "model": model, "step": step} for model, step in known]
    run.replace_results([{**row, "score": 0.5} for row in samples],
                        lambda row: (row["model"], row["step"]) in known, metrics)
    run.compact()
    rounds += 1
    print(rounds, flush=True)
"""


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE)


def wait_until_it_counted_to(number: int, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= number:
            return
    raise AssertionError(f"it ended before {number}")


def test_two_workers_and_a_rescorer_of_one_run_lose_no_row(tmp_path: Path) -> None:
    run, stop = RunFolder(tmp_path / "run"), tmp_path / "stop"
    workers = [start(APPENDING, run.path, stop, who) for who in ("a", "b")]
    rescorer = start(RESCORING, run.path, stop)
    try:
        wait_until_it_counted_to(ROUNDS, rescorer)
        for worker in workers:
            wait_until_it_counted_to(STEPS, worker)
    finally:  # they end by nothing else
        stop.touch()
    told = [process.communicate(timeout=PATIENCE)[0].split() for process in (*workers, rescorer)]
    assert [process.returncode for process in (*workers, rescorer)] == [0, 0, 0]
    steps = {who: int(lines[-1]) if lines else STEPS for who, lines in zip("ab", told, strict=False)}
    wanted = {(who, step, f"d{n}") for who, count in steps.items() for step in range(count) for n in range(5)}
    assert {(row["model"], row["step"], row["doc_hash"]) for row in run.sample_rows("task")} == wanted
    made = run.read_generations("task")
    assert sorted((record.model, record.step, record.doc_hash) for record in made) == sorted(wanted)
    metrics = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert sorted((row["model"], row["step"]) for row in metrics) == sorted({(who, step) for who, step, _ in wanted})
    manifest = run.read_manifest()
    assert {who: manifest[f"last_{who}"] + 1 for who in "ab"} == steps
    assert len(run.evaluations.read_text().splitlines()) == sum(steps.values())


def record(step: int, doc: str, model: str = "m", **changes: Any) -> GenerationRecord:
    return GenerationRecord("task", step, model, doc, 0, "p", SAMPLING, f"{doc} at {step}", **changes)


def test_the_text_table_is_sorted_so_that_one_document_at_all_steps_lies_together(tmp_path: Path) -> None:
    run, docs, steps = RunFolder(tmp_path), 400, 12
    for step in range(steps):
        run.add_generations([record(step, f"d{n:04}") for n in range(docs)])
        if step % 5 == 0:
            run.compact()  # and again: it is merged with what stands there
    run.compact()
    table = parquet.ParquetFile(tmp_path / "generations" / "task.parquet")
    rows = table.read(columns=["doc_hash", "repeat", "step"]).to_pylist()
    assert [(row["doc_hash"], row["step"]) for row in rows] == [
        (f"d{n:04}", step) for n in range(docs) for step in range(steps)
    ]
    groups = [table.metadata.row_group(index).num_rows for index in range(table.num_row_groups)]
    assert 1_000 <= max(groups) <= 5_000
    assert set(groups[:-1]) == {ROW_GROUP}
    assert not list((tmp_path / "generations").glob("*.jsonl"))


def sample(**changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(SAMPLES.columns)
    return {**row, "model": "m", "sampling_id": "s", "task": "task", "step": 1, "doc_hash": "d", "repeat": 0, **changes}


def test_samples_keep_every_column_and_measure_when_they_are_compacted(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    row = sample(
        run="r", doc_id="7", status="ok", answer="4", score=1, paper=0.0,
        measures={"hard": 1.0, "followed": [2.0, 3.0]}, truncated=False, think="closed", tokens=9, thinking_tokens=6,
        answer_tokens=3, finish_reason="stop",
        reason="", scorer="exact", evaluation_version=3, evaluated_at="2026-11-26T10:00:00+00:00",
    )  # fmt: skip
    run.append(run.samples, [row])
    assert run.sample_rows("task") == [row]
    run.compact()
    assert not run.samples.exists()
    assert run.sample_rows("task") == [row]
    run.append(run.samples, [{**row, "score": 0.0}])  # scored again: it stands in for the first
    assert [found["score"] for found in run.sample_rows("task")] == [0.0]
    run.compact()
    assert [found["score"] for found in run.sample_rows("task")] == [0.0]


def test_a_kill_between_the_parquet_file_and_the_end_of_the_journal_doubles_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.add_generations([record(0, "a"), record(0, "b")])
    run.append(run.samples, [sample(doc_hash="a"), sample(doc_hash="b")])
    journals = {path: path.read_bytes() for path in (run.generations("task"), run.samples)}
    run.compact()
    for path, content in journals.items():
        path.write_bytes(content)
    assert len(run.read_generations("task")) == 2
    assert len(run.sample_rows("task")) == 2
    run.compact()
    assert len(run.read_generations("task")) == 2
    assert len(run.sample_rows("task")) == 2
    assert not any(path.exists() for path in journals)


def test_half_of_a_surrogate_pair_neither_stops_a_compaction_nor_loses_a_row(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.add_generations(
        [record(0, "cut", reasoning="an emoji cut \ud83d"), record(0, "whole", reasoning="\ud83d\ude00")]
    )
    with run.generations("task").open(
        "a", encoding="utf-8", errors="surrogatepass"
    ) as file:  # as it was written before
        file.write(json.dumps({**record(0, "old").to_dict(), "text": "\udc00 old"}, ensure_ascii=False) + "\n")
    run.compact()
    found = {made.doc_hash: (made.text, made.reasoning) for made in run.read_generations("task")}
    assert found["cut"][1] == "an emoji cut \ufffd"
    assert found["whole"][1] == "\U0001f600"
    assert found["old"][0] == "\ufffd old"


# ------------------------------------------------------------------------------ two models at one step


def test_metrics_in_force_are_those_of_the_model_that_was_evaluated_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)

    def metric(model: str, at: str, mean: float, name: str = "score") -> dict[str, Any]:
        return {
            "model": model, "sampling_id": "s", "task": "task", "step": 20, "status": "ok", "metric": name,
            "mean": mean, "evaluated_at": at,
        }  # fmt: skip

    run.append(run.metrics, [metric("new", "2026-11-26T11", 0.2), metric("old", "2026-11-26T10", 0.7)])
    run.append(run.metrics, [metric("old", "2026-11-26T10", 0.9, "coverage")])
    assert [(row["model"], row["mean"]) for row in run.metric_rows()] == [("new", 0.2)]
    run.add_failure(20, ["task"], "out of memory")  # and a try that failed hides nothing
    assert [row.get("mean") for row in run.metric_rows()] == [0.2, None]


# ------------------------------------------------------------------------------ versions


def put(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def schema_2(folder: Path) -> RunFolder:
    """A run directory as the version before wrote it, with two models at step 20 of one task."""
    put(
        folder / "manifest.json",
        {"created": "2026-11-20T10:00:00+00:00", "model": "tiny", "documents": {"task": {"n": 2}}},
    )
    models = {0: ("base", "base"), 20: ("first", "second")}
    rows = [
        record(step, doc, model).to_dict()
        for step, pair in models.items()
        for doc, model in zip("ab", pair, strict=True)
    ]
    for row in rows:
        row.pop("sampling_id")
    put(folder / "generations" / "task.jsonl", *rows)
    old = {"task": "task", "repeat": 0, "score": 1.0, "paper": None, "answer": "4", "tokens": 3}
    put(
        folder / "samples.jsonl",
        *(
            {**old, "step": s, "doc_hash": d, "status": "ok", "think": "none", "finish_reason": "stop"}
            for s in models
            for d in "ab"
        ),
        {**old, "step": 20, "doc_hash": "c", "status": "truncated", "think": "unclosed", "finish_reason": "length"},
    )
    metric = {
        "task": "task",
        "status": "ok",
        "metric": "score",
        "mean": 1.0,
        "low": 0.3,
        "high": 1.0,
        "n": 2,
        "docs": 2,
    }
    put(
        folder / "metrics.jsonl",
        *({**metric, "step": step} for step in models),
        {"step": 40, "task": "task", "status": "failed", "reason": "x"},
    )
    put(
        folder / "evaluations.jsonl",
        *({"step": step, "status": "ok", "seconds": 1.0, "at": f"2026-11-20T1{step // 20}"} for step in models),
    )
    return RunFolder(folder)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.json*"))}


def test_a_run_of_the_version_before_is_read_as_it_is_and_brought_up_to_date(tmp_path: Path) -> None:
    run = schema_2(tmp_path)
    assert [row["mean"] for row in run.metric_rows() if row["status"] == "ok"] == [1.0, 1.0]
    assert "schema" not in run.read_manifest()  # reading changes nothing
    run.require_writable()
    manifest = run.read_manifest()
    assert (manifest["schema"], manifest["model"], len(manifest["run"])) == (RUN_SCHEMA, "tiny", 12)
    rows = {(row["step"], row["doc_hash"]): row for row in run.sample_rows("task")}
    assert {key: row["model"] for key, row in rows.items()} == {
        (0, "a"): "base", (0, "b"): "base", (20, "a"): "first", (20, "b"): "second", (20, "c"): None,
    }  # fmt: skip
    assert rows[0, "a"]["sampling_id"] == sampling_id(SAMPLING)
    # Which of the two models the metrics of step 20 are of, nobody wrote down.
    assert [row.get("model") for row in run.metric_rows()] == ["base", None, None]
    assert [rows[20, doc]["truncated"] for doc in "abc"] == [False, False, True]
    assert {row["run"] for row in rows.values()} == {manifest["run"]}
    assert [row.get("evaluated_at") for row in run.metric_rows()] == ["2026-11-20T10", "2026-11-20T11", None]
    before = contents(tmp_path)
    run.require_writable()  # once is enough
    assert contents(tmp_path) == before


@pytest.mark.parametrize("point", [1, 2, 3])
def test_a_migration_killed_in_the_middle_comes_to_the_same_end(
    point: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftgen_judges.records import migration

    whole, killed = schema_2(tmp_path / "whole"), schema_2(tmp_path / "killed")
    whole.require_writable()
    steps = 0

    def until(do: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == point:
                raise KeyboardInterrupt
            return do(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for name in ("rewrite_rows", "write_manifest"):
            patched.setattr(migration, name, until(getattr(migration, name)))
        with pytest.raises(KeyboardInterrupt):
            killed.require_writable()
    assert len(killed.sample_rows("task")) == 5  # readable meanwhile
    killed.require_writable()
    assert contents(killed.path) == contents(whole.path)


@pytest.mark.parametrize("schema", [RUN_SCHEMA + 1, "new", True, None])
def test_a_newer_run_is_refused_by_name(schema: Any, tmp_path: Path) -> None:
    put(tmp_path / "manifest.json", {"schema": schema, "versions": {"sftgen": "9.9"}})
    run = RunFolder(tmp_path)
    before = contents(tmp_path)
    for use in (run.require_readable, run.require_writable, run.require_usable, run.read_manifest):
        with pytest.raises(RecordError, match=rf"of schema {schema!r}, written by sftgen 9.9; .* 2 to {RUN_SCHEMA}"):
            use()
    assert contents(tmp_path) == before


# ------------------------------------------------------------------------------ places


def test_a_run_goes_on_at_another_place_under_its_own_name(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "here")
    name = run.run_id()
    run.add_generations([record(0, "a")])
    shutil.move(run.path, tmp_path / "there")
    moved = RunFolder(tmp_path / "there")
    moved.add_generations([record(0, "b")])
    moved.compact()
    assert moved.run_id() == name
    assert {made.doc_hash for made in moved.read_generations("task")} == {"a", "b"}
    assert str(tmp_path / "here") not in "".join(contents(moved.path).values())


@pytest.mark.parametrize("task", ["../escape", "a/b", ".hidden", "", "nul\0", "back\\slash"])
def test_a_task_name_of_a_stranger_leads_nowhere(task: str, tmp_path: Path) -> None:
    for path in (RunFolder(tmp_path).generations, RunFolder(tmp_path).verdicts):
        with pytest.raises(RecordError, match="expected a name without slashes"):
            path(task)


def test_a_file_system_without_locks_is_said_once_and_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, no_locks)
    locks._say_unlocked.cache_clear()
    run = RunFolder(tmp_path)
    with run.sole_writer():
        for doc in "ab":
            run.add_generations([record(0, doc)])
    assert len(run.read_generations("task")) == 2
    said = [entry.message for entry in caplog.records if "without locks" in entry.message]
    assert said == [
        f"run directory {tmp_path} is on a file system without locks: let one process at a time write it, "
        "or put it on a local disk"
    ]


def test_a_process_that_is_forked_by_a_writer_does_not_hold_its_lock(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with run.writing():
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
    try:
        other = start(
            "import sys; from pathlib import Path; from sftgen_judges.records.store import RunFolder\n"
            "RunFolder(Path(sys.argv[1])).append(Path(sys.argv[1], 'metrics.jsonl'), [{}])",
            tmp_path,
        )
        assert other.wait(PATIENCE) == 0
        run.append(run.metrics, [{}])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(run.metrics.read_text().splitlines()) == 2


def test_a_killed_writer_leaves_no_lock_behind(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from sftgen_judges.records.store import RunFolder
run = RunFolder(Path(sys.argv[1]))
with run.sole_writer(), run.writing():
    print("held", flush=True)
    time.sleep(600)
"""
    run = RunFolder(tmp_path)
    holder = start(code, tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RecordError, match=f"being written by process {holder.pid} on host"), run.sole_writer():
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with run.sole_writer():
        run.add_generations([record(0, "a")])


def test_a_long_journal_of_samples_is_compacted_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftgen_judges.records import store

    monkeypatch.setattr(store, "LONG_JOURNAL", 2_000)
    run = RunFolder(tmp_path)
    for step in range(6):
        run.add_evaluation([sample(step=step, doc_hash=f"d{n}") for n in range(4)], [], {"step": step})
        assert not run.samples.exists() or run.samples.stat().st_size <= 2_000
    assert run.sample_index.exists()
    assert len(run.sample_rows("task")) == 24


def test_samples_that_need_more_memory_than_there_is_are_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MEMORY", "48MB")
    monkeypatch.setattr(compaction, "_PART", 1 << 13)
    run, one, many = RunFolder(tmp_path), tmp_path / "one.parquet", 60_000
    words = {name: f"{name} " * 8 for name in ("run", "answer", "reason", "scorer", "evaluated_at", "doc_id")}
    write_table(one, [sample(**words, measures={"hard": 1.0}, score=0.5)], SAMPLES)
    with duckdb.connect() as database:
        database.execute(
            f"COPY (SELECT * REPLACE ((n % 9)::BIGINT AS step, sha256((n // 9)::VARCHAR) AS doc_hash, "
            f"reason || sha256(n::VARCHAR) AS reason) FROM '{one}', range({many}) AS rows(n) ORDER BY step, doc_hash) "
            f"TO '{run.sample_index}' (FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP})"
        )
        again = [sample(step=8, doc_hash=text_hash("1"), score=1.0), sample(step=None, doc_hash="the last of all")]
        run.append(run.samples, again)
        run.compact()
        order = "task, step NULLS FIRST, doc_hash, repeat"
        ordered = f"SELECT step, doc_hash, score FROM '{run.sample_index}' ORDER BY file_row_number"
        database.execute(f"CREATE TABLE ordered AS {ordered}")
        counts = database.sql("SELECT count(*), count(DISTINCT (step, doc_hash)), sum((score = 1)::INT) FROM ordered")
        assert counts.fetchall() == [(many + 1, many + 1, 1)]
        sorted_too = database.sql(f"SELECT step, doc_hash, score FROM '{run.sample_index}' ORDER BY {order}")
        assert database.sql("FROM ordered").fetchall() == sorted_too.fetchall()


@pytest.mark.parametrize("part", [40, 1000])
def test_samples_are_in_order_whatever_their_hashes_are(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_PART", part)
    run = RunFolder(tmp_path)
    hashes = [*(text_hash(str(n)) for n in range(40)), "", "zebra", "\U0010ffff\U0010ffff", "Z"]
    places = [(task, step, name) for task in ("a", "b") for step in (None, 0, 7) for name in hashes]
    places += [("one", 3, text_hash(str(n))) for n in range(90)]
    random.Random(0).shuffle(places)
    for some in (places[:200], places[200:]):
        run.append(run.samples, [sample(task=task, step=step, doc_hash=name) for task, step, name in some])
        run.compact()
    rows = parquet.read_table(run.sample_index, columns=["task", "step", "doc_hash"]).to_pylist()
    found = [tuple(row.values()) for row in rows]
    assert found == sorted(places, key=lambda place: (place[0], place[1] is not None, place[1] or 0, place[2].encode()))


def test_metrics_of_two_models_at_one_time_are_not_mixed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    row = {"task": "task", "step": 20, "status": "ok", "sampling_id": "s", "evaluated_at": "2026-11-26T10"}
    for metric in ("score", "coverage"):
        run.append(run.metrics, [{**row, "model": model, "metric": metric} for model in ("old", "new")])
    assert {found["model"] for found in run.metric_rows()} == {"new"}
    assert len(run.metric_rows()) == 2


def test_a_prompt_is_kept_once_whoever_is_asked_it_and_however_often(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    prompts = [f"Solve.\nWhat is {n}+{n}?\nThink." for n in range(3)]
    for step in (0, 10):
        records = [
            GenerationRecord("task", step, f"m{step}", f"d{n}", 0, text_hash(p), {}, "") for n, p in enumerate(prompts)
        ]
        run.add_prompts([*records, *records], [*prompts, *prompts])
    found = open_records(tmp_path).sql("SELECT * FROM prompts ORDER BY doc_hash").rows()
    assert [row["prompt"] for row in found] == prompts
    assert len(run.prompts("task").read_text().splitlines()) == 3
    # What is the document's own: not what all prompts begin and end with.
    assert [row["prompt"][row["begin"] : row["end"]] for row in found] == [f"What is {n}+{n}?" for n in range(3)]


@pytest.mark.parametrize(
    ("prompts", "ends"),
    [
        ([], (0, 0)),
        (["a"], (0, 0)),
        (["a", "a"], (0, 0)),
        (["a\nb", "a\nc"], (2, 0)),
        (["ab", "abc"], (0, 0)),
        (["x" * 500 + "1", "x" * 500 + "2"], (500, 0)),
        (["a\n", "a\na\n"], (2, 0)),
        (["<u>\n1+1. Box it.<|im_end|>\n<a>\n", "<u>\n2+2. Box it.<|im_end|>\n<a>\n"], (4, 15)),
    ],
)
def test_what_prompts_share_is_whole_lines(prompts: list[str], ends: tuple[int, int]) -> None:
    assert shared_ends(prompts) == ends
