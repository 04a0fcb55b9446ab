"""The journal: rows come back as they were written, files are replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftgen_judges.records.journal import append_rows, read_rows, write_atomic


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    rows = [{"text": "line\nbreak, \u2028, \x85, é, 漢, 🙂", "n": None}, {"text": ""}]
    append_rows(path, rows)
    append_rows(path, [])
    append_rows(path, rows[:1])
    assert list(read_rows(path)) == [*rows, rows[0]]
    assert list(read_rows(tmp_path / "absent.jsonl")) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_atomic(path, "old")
    with pytest.raises(TypeError):
        write_atomic(path, 7)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]
