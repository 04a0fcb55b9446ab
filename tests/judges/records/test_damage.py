"""Damaged files of a run: named with file and place, passed over, made again; never a traceback."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Grader, Item, Response, Verdict
from sftgen_judges.records import compaction, journal, manifest
from sftgen_judges.records.columns import METRICS, SAMPLES, TEXTS
from sftgen_judges.records.errors import RecordError, WriteError
from sftgen_judges.records.evaluations import next_time
from sftgen_judges.records.journal import append_rows, read_rows, to_json, whole_rows, write_atomic
from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_judges.scoring.grading import grade_batch

RECORD = GenerationRecord("task", None, "m", "d0", 0, "p", {"temperature": 1.0}, "the text", "stop", 3, 2, seed=5)
SAMPLE = {
    "model": "m", "sampling_id": "s", "task": "task", "step": 1, "doc_hash": "d", "repeat": 0, "status": "ok",
    "score": 1.0, "measures": {}, "tokens": 3, "truncated": False,
}  # fmt: skip
METRIC = {
    "model": "m", "sampling_id": "s", "task": "task", "step": 1, "status": "ok", "metric": "score", "mean": 0.5,
    "n": 4, "docs": 4,
}  # fmt: skip


def changed(row: dict[str, Any], **changes: Any) -> str:
    """A row as a line, with other values; `...` takes a field away."""
    return json.dumps({name: value for name, value in {**row, **changes}.items() if value is not ...})


def record(**changes: Any) -> Callable[[], str]:
    return lambda: changed(RECORD.to_dict(), **changes)


LINES: dict[str, Callable[[], str]] = {
    "no object": lambda: "[1, 2]",
    "a number": lambda: "7",
    "a text": lambda: '"text"',
    "null": lambda: "null",
    "two lines in one": lambda: record()() + record()(),
    "half a line": lambda: record()()[:60],
    "NUL in the middle": lambda: record()()[:40] + "\0\0\0" + record()()[40:],
    "nothing but NUL": lambda: "\0" * 200,
    "too deep": lambda: "[" * 200_000,
    "too deep in a field": lambda: '{"task": ' + "[" * 200_000,
    "a number of 5,000 digits": lambda: record()().replace('"tokens": 3', '"tokens": ' + "9" * 5000),
    "no text": record(text=...),
    "text is null": record(text=None),
    "text is a number": record(text=5),
    "text is a list": record(text=["a"]),
    "no model": record(model=...),
    "model is an object": record(model={}),
    "no document": record(doc_hash=None),
    "step is a text": record(step="one"),
    "step is a list": record(step=[1]),
    "step is half": record(step=1.5),
    "step is a truth": record(step=True),
    "repeat is null": record(repeat=None),
    "tokens is a text": record(tokens="many"),
    "tokens is huge": record(tokens=10**30),
    "tokens is NaN": record(tokens=math.nan),
    "tokens is infinite": record(tokens=-math.inf),
    "sampling is null": record(sampling=None),
    "sampling is a text": record(sampling="{}"),
    "sampling is a list": record(sampling=[]),
    "reasoning is a list": record(reasoning=[]),
    "seed is a text": record(seed="5"),
    "prefilled is a text": record(prefilled="no"),
    "no version": record(schema=...),
    "version is a text": record(schema="2"),
}


@pytest.mark.parametrize("damage", LINES)
def test_a_damaged_generation_is_named_passed_over_and_left_out(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.add_generations([RECORD])
    with run.generations("task").open("a") as file:
        file.write(LINES[damage]() + "\n")
    assert run.read_generations("task") == [RECORD]
    named = f"{run.generations('task')}: line 2 cannot be read and is made again"
    assert named in caplog.text
    run.compact()
    assert run.read_generations("task") == [RECORD]
    assert caplog.text.count(named) == 1
    assert open_records(tmp_path).texts.rows()[0]["text"] == "the text"


# DuckDB reads a truth as a number.
@pytest.mark.parametrize("damage", [damage for damage in LINES if damage != "step is a truth"])
def test_a_view_passes_over_what_the_journal_passes_over(damage: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.append(run.samples, [SAMPLE])
    for line in (LINES[damage](), changed(SAMPLE, doc_hash=None), changed(SAMPLE, doc_hash=...)):
        with run.samples.open("a") as file:
            file.write(line + "\n")
    assert [row["doc_hash"] for row in open_records(tmp_path).samples.rows() if row["score"]] == ["d"]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_view_takes_no_number_that_is_none(value: float, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.append(run.metrics, [METRIC])
    with run.metrics.open("a") as file:
        file.write(changed(METRIC, mean=value) + "\n")
    assert [row["mean"] for row in open_records(tmp_path).metrics.rows()] == [0.5]


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({"later_version": [1]}, True),
        ({"score": True}, True),
        ({"score": 10**400}, False),
        ({"score": "1"}, False),
        ({"measures": None}, True),
        ({"measures": []}, False),
        ({"tokens": 2.0}, False),
        ({"truncated": 1}, False),
        ({"repeat": "0"}, False),
        ({"answer": 5}, False),
        ({"task": None}, False),
    ],
)
def test_a_sample_is_what_its_columns_hold(change: dict[str, Any], whole: bool, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.samples.write_text(changed(SAMPLE, **change) + "\n")
    assert len(run.sample_rows("task")) == whole
    run.compact()
    assert len(run.sample_rows("task")) == whole


@pytest.mark.parametrize(
    "change",
    [{"mean": "0.5"}, {"step": "one"}, {"task": ...}, {"status": 3}, {"mean": math.inf}, {"n": []}, {"docs": "4"}],
)
def test_a_damaged_metric_is_named_and_passed_over(
    change: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.metrics.write_text(changed(METRIC, **change) + "\n" + changed(METRIC, step=2) + "\n")
    assert [row["step"] for row in run.metric_rows()] == [2]
    assert run.evaluated_steps() == {2}
    assert "metrics.jsonl: line 1 cannot be read and is made again by `sftgen rescore`" in caplog.text


def test_a_score_without_the_name_of_its_metric_is_no_metric(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics.write_text(changed(METRIC, metric=...) + "\n" + changed(METRIC, metric=None) + "\n")
    assert run.metric_rows() == []


@pytest.mark.parametrize("at", [None, "", "yesterday", 5, ["x"], "9999-12-31T23:59:59+00:00", "2026-01-01"])
def test_an_evaluation_without_a_time_is_no_reason_to_stop(at: Any, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.append(run.evaluations, [{"step": 1, "status": "ok", "at": at, "seconds": 1.0, "model": "m"}])
    assert next_time(run)


def test_an_evaluation_is_later_than_the_one_before_also_where_the_clock_went_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    ahead = "2126-01-01T00:00:00+00:00"
    run.append(run.evaluations, [{"status": "ok", "at": ahead}, {"status": "ok", "at": "2026-01-01T00:00:00+00:00"}])
    assert next_time(run) == "2126-01-01T00:00:01+00:00"


def test_a_line_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LONGEST_LINE", 100)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"a": "x" * 950}) + "\n" + '{"a": 1}\n' + json.dumps({"a": "x" * 88}) + "\n")
    damaged: list[int] = []
    assert list(read_rows(path, damaged)) == [{"a": 1}, {"a": "x" * 88}]
    assert damaged == [1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-9] + b"\0\0\0\0\0" + data[-4:],
        lambda data: b"no table at all",
        lambda data: b"PAR1" + b"\xff" * 40 + b"PAR1",
    ],
)
def test_a_damaged_table_is_named_set_aside_and_its_rows_are_made_again(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.add_generations([RECORD])
    run.append(run.samples, [SAMPLE])
    run.compact()
    for table in (run.generations("task").with_suffix(".parquet"), run.sample_index):
        table.write_bytes(damage(table.read_bytes()))
    assert run.read_generations("task") == []
    assert run.sample_rows("task") == []
    assert "task.parquet: the whole file cannot be read and is made again" in caplog.text
    assert "samples.parquet: the whole file cannot be read and is made again by `sftgen rescore`" in caplog.text
    with pytest.raises(RecordError, match=r"records cannot be read: .*samples\.parquet.*sftgen rescore"):
        open_records(tmp_path).samples.rows()
    run.add_generations([RECORD])
    run.append(run.samples, [SAMPLE])
    run.compact()
    assert run.read_generations("task") == [RECORD]
    assert len(run.sample_rows("task")) == 1
    assert sorted(path.name for path in tmp_path.rglob("*.damaged")) == [
        "samples.parquet.damaged", "task.parquet.damaged"
    ]  # fmt: skip


def test_of_a_table_that_is_damaged_in_one_place_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("sftgen_judges.records.tables.CHARACTERS", 2000)
    run = RunFolder(tmp_path)
    made = [
        GenerationRecord(
            "task", None, "m", f"d{n}", 0, "p", {}, "".join(chr(33 + (n * i * i) % 90) for i in range(1500))
        )
        for n in range(6)
    ]
    run.add_generations(made)
    run.compact()
    table = run.generations("task").with_suffix(".parquet")
    column = parquet.ParquetFile(table).metadata.row_group(1).column(8)
    data = bytearray(table.read_bytes())
    assert column.path_in_schema == "text"
    start = column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    table.write_bytes(data)
    assert [found.doc_hash for found in run.read_generations("task")] == ["d0", "d1", "d4", "d5"]
    assert "row group 2 cannot be read and is made again" in caplog.text
    run.add_generations(made[2:4])
    run.compact()
    assert run.read_generations("task") == made


def test_a_table_of_another_program_is_sorted_when_it_is_compacted(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    run = RunFolder(tmp_path)
    rows = [{**RECORD.to_dict(), "doc_hash": name, "sampling": "{}"} for name in "cab"]
    table = run.generations("task").with_suffix(".parquet")
    table.parent.mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), table)
    run.add_generations([GenerationRecord("task", None, "m", "b2", 0, "p", {}, "x")])
    run.compact()
    assert [found.doc_hash for found in run.read_generations("task")] == ["a", "b", "b2", "c"]


# ------------------------------------------------------------------------------ text from outside


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("half an emoji \ud83d", "half an emoji \ufffd"),
        ("the other half \ude00!", "the other half \ufffd!"),
        ("both halves \ud83d\ude00", "both halves \U0001f600"),
        ("in the wrong order \ude00\ud83d", "in the wrong order \ufffd\ufffd"),
        ("NUL \0 and \x1b[31m", "NUL \0 and \x1b[31m"),
        ("lines \u2028 \u2029 \x85 \r\n", "lines \u2028 \u2029 \x85 \r\n"),
        ("not a character \uffff \ufdd0", "not a character \uffff \ufdd0"),
        ("", ""),
        pytest.param("x" * 3_000_000, "x" * 3_000_000, id="3 million"),
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_a_text_is_the_same_in_a_journal_a_table_and_a_view(
    text: str, kept: str, escaped: bool, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    row = {**RECORD.to_dict(), "text": text}
    path = run.generations("task")
    path.parent.mkdir()
    # As an older version or another program writes it.
    path.write_text(
        json.dumps(row, ensure_ascii=escaped) + "\n", encoding="utf-8", errors="surrogatepass", newline="\n"
    )
    run.add_generations([GenerationRecord("task", None, "m", "d1", 0, "p", {}, text, reasoning=text)])
    for _ in range(2):
        assert {found.text for found in run.read_generations("task")} == {kept}
        assert {row["text"] for row in open_records(tmp_path).texts.rows()} == {kept}
        run.compact()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}}, {"a": None, "b": [None, 1.5], "c": {"d": None}}),
        ({"a": "x\ud83d", "\udc00": 1}, {"a": "x\ufffd", "\ufffd": 1}),
        ({"a": (1, 2), "b": Path("x")}, {"a": [1, 2], "b": "x"}),
    ],
)
def test_what_is_written_is_json_in_utf_8(value: dict[str, Any], written: dict[str, Any], tmp_path: Path) -> None:
    def no_number(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    append_rows(tmp_path / "rows.jsonl", [value])
    write_atomic(tmp_path / "whole.json", to_json(value))
    for path in tmp_path.iterdir():
        assert json.loads(path.read_bytes().decode("utf-8"), parse_constant=no_number) == written
    manifest.write_manifest(tmp_path, {}, facts=value)
    found = json.loads((tmp_path / "manifest.json").read_bytes().decode("utf-8"), parse_constant=no_number)
    assert found["facts"] == written
    assert RunFolder(tmp_path).manifest()["facts"] == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"documents": []}',
        '{"documents": {"t": 5}, "run": [], "sessions": 1}',
        "[" * 100_000,
        "\0",
        '"x"',
    ],
)
def test_a_damaged_manifest_stops_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    run = RunFolder(tmp_path)
    assert isinstance(run.run_id(), str)
    run.add_documents("task", {"n": 1}, begins=False)
    assert run.manifest()["documents"]["task"] == {"n": 1}


# ------------------------------------------------------------------------------ disks


def test_a_disk_that_is_full_while_grading_names_the_file_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader = Grader("ok", version=1, grade=lambda doc, response: Verdict.of(response, "x", 1))
    path = tmp_path / "verdicts.jsonl"
    monkeypatch.setattr(journal, "no_link", lambda path, flags: os.open("/dev/full", os.O_RDWR))
    said = rf"^{path} cannot be written: No space left on device\. .*start the same command again$"
    with pytest.raises(WriteError, match=said):
        grade_batch(grader, [Item({}, Response("x", answer="x"))], journal=path)


@pytest.mark.parametrize("name", ["task.parquet", "samples.parquet"])
def test_a_disk_that_is_full_while_compacting_names_the_file_and_loses_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path)
    run.add_generations([RECORD])
    run.append(run.samples, [SAMPLE])

    def full(path: Path, rows: Any, table: Any) -> None:
        if table is (TEXTS if name == "task.parquet" else SAMPLES):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_table(path, rows, table)

    write_table = compaction.write_table
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_table", full)
        with pytest.raises(WriteError, match=rf"{name} cannot be written: No space left on device") as caught:
            run.compact()
    assert caught.value.errno == errno.ENOSPC
    assert run.read_generations("task") == [RECORD]
    assert len(run.sample_rows("task")) == 1
    run.compact()
    assert run.read_generations("task") == [RECORD]


def test_what_a_killed_writer_has_left_is_removed_when_the_run_is_written_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.add_generations([RECORD])
    left = [".manifest.json.ab12cd34", ".metrics.jsonl.ab12cd34", ".samples.parquet.making",
            "generations/.task.parquet.making"]  # fmt: skip
    old, at_work, others = "..owner.json.ab12cd34", ".report.html.ab12cd34", ".gitignore.original"
    for name in (*left, old, at_work, others):
        (tmp_path / name).write_text("{")
    for name in (old, others):
        os.utime(tmp_path / name, (0, 0))
    for folder in (tmp_path, tmp_path / "generations"):
        (folder / ".compacting-x1y2").mkdir()
        (folder / ".compacting-x1y2" / "fresh.parquet").touch()
    run.require_writable()
    assert {path.name for path in tmp_path.rglob(".*")} == {".write.lock", at_work, others}
    assert run.read_generations("task") == [RECORD]


def test_only_some_columns_of_a_table_are_asked_for() -> None:
    assert list(TEXTS.only("step", "text").columns) == ["step", "text"]
    assert TEXTS.only("step", "text").needed == ("text",)
    assert not METRICS.holds({"task": "t"})


def test_a_verdict_that_is_damaged_is_named_and_graded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grader = Grader("ok", version=1, grade=lambda doc, response: Verdict.of(response, "x", True))
    path, items = tmp_path / "verdicts.jsonl", [Item({}, Response("x", answer="x"))]
    grade_batch(grader, items, journal=path)
    [row] = whole_rows(path, METRICS.only("status"))
    for change in ({"status": "fine"}, {"score": "1"}, {"measures": []}, {"status": ...}, {"later": 1}):
        path.write_text(changed(row, **change) + "\n")
        [verdict] = grade_batch(grader, items, journal=path)
        assert verdict.score == 1.0
    assert "verdicts.jsonl: line 1 cannot be read and is graded again" in caplog.text
