"""A run directory of a stranger may hold links: nothing is written through them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sftgen_judges.records.errors import RecordError, WriteError
from sftgen_judges.records.journal import append_rows, write_atomic
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from tests.judges.records.run_folders import sample

ROWS = [{"answer": "$(id)"}]


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "verdicts/t.jsonl", "generations/t.jsonl"])
def test_a_journal_that_is_a_link_is_not_written(tmp_path: Path, name: str) -> None:
    mine, run = tmp_path / "profile", RunFolder(tmp_path / "run")
    mine.write_text("# mine\n")
    run.require_writable()
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(mine)
    for write in (lambda: run.append(path, ROWS), lambda: append_rows(path, ROWS)):
        with pytest.raises(OSError, match="a run is never written through links"):
            write()
    assert mine.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["verdicts", "generations"])
def test_a_folder_that_leads_out_of_the_run_is_refused(tmp_path: Path, name: str) -> None:
    mine, run = tmp_path / "mine", RunFolder(tmp_path / "run")
    mine.mkdir()
    run.require_writable()
    (run.path / name).symlink_to(mine)
    with pytest.raises(RecordError, match="outside of the run directory"):
        run.append(run.path / name / "t.jsonl", ROWS)
    with pytest.raises(RecordError, match="outside of the run directory"):
        run.require_writable()
    assert list(mine.iterdir()) == []


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".write.lock").symlink_to(tmp_path / "made")
    with pytest.raises(RecordError, match="cannot be written"):
        RunFolder(run).require_writable()
    assert not (tmp_path / "made").exists()


def test_a_whole_run_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    run = RunFolder(tmp_path / "run")
    run.require_writable()
    run.append(run.verdicts("t"), ROWS)
    assert (tmp_path / "disk" / "verdicts" / "t.jsonl").is_file()


def test_a_link_to_itself_is_passed_over_or_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.append(run.samples, [sample()])
    for name in ("verdicts", "metrics.jsonl", "generations/t.jsonl", "labels/d/t.jsonl"):
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(path)
    assert len(open_records(run.path).samples.rows()) == 1
    with pytest.raises(RecordError, match="outside of the run directory or to nothing"):
        run.require_writable()


def test_a_file_takes_the_place_of_no_folder_and_no_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path, "it is a folder"), (tmp_path / "pipe", "it is a device or a pipe; name a file")):
        with pytest.raises(WriteError, match=says):
            write_atomic(path, "text")
    assert (tmp_path / "pipe").is_fifo()
