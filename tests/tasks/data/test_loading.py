"""Loading several tasks at once: a shared table is read once, a hub that is away is asked once, nothing stays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest

from sftgen_tasks import load_tasks
from sftgen_tasks.data import hub as hub_module
from sftgen_tasks.data import tables
from sftgen_tasks.data.lcb_tests import read_problems
from sftgen_tasks.data.loading import KEPT, one_load, shared
from sftgen_tasks.data.tables import DataError, read_table, stream_table
from sftgen_tasks.harness.availability import usable_tasks
from sftgen_tasks.harness.loading import OwnTaskManager
from sftgen_tasks.mmlu_pro import SUBJECTS, write_subset

FULL = "sftgen_mmlu_pro_full"


def write_questions(folder: Path, question: str) -> Path:
    rows = [
        {"question_id": number, "question": question, "options": ["3", "4"], "answer": "B", "category": subject}
        for number, subject in enumerate(SUBJECTS)
    ]
    (folder / "mmlu_pro.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The data files that were read, in order."""
    found: list[Path] = []
    read: Callable[[Path], Any] = hub_module.read_table
    monkeypatch.setattr(hub_module, "read_table", lambda path: (found.append(path), read(path))[1])
    return found


def test_tasks_that_share_a_table_read_it_once_in_one_load(tmp_path: Path, reads: list[Path]) -> None:
    folder = write_questions(tmp_path, "2 + 2?")
    write_subset(tmp_path / "subset.json", data_dir=str(folder))
    reads.clear()
    group = load_tasks(["sftgen_mmlu_pro", FULL], {"data_dir": str(folder), "subset": str(tmp_path / "subset.json")})
    assert len(group.tasks) == 28
    assert reads == [tmp_path / "mmlu_pro.json"]
    # Another load looks again: the file may have changed.
    write_questions(tmp_path, "5 - 1?")
    again = load_tasks([FULL], {"data_dir": str(folder)})
    assert {task.test_docs()[0]["question"] for task in again.tasks.values()} == {"5 - 1?"}
    assert len(reads) == 2


def test_a_file_that_changes_during_a_load_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    metadata = {"data_dir": str(write_questions(tmp_path, "2 + 2?"))}
    with one_load():
        load_tasks([f"{FULL}_law"], metadata)
        write_questions(tmp_path, "What is 5 - 1?")
        changed = load_tasks([f"{FULL}_law"], metadata)
    assert changed.tasks[f"{FULL}_law"].test_docs()[0]["question"] == "What is 5 - 1?"
    assert len(reads) == 2


def test_few_tables_are_kept_and_none_after_the_load() -> None:
    made: list[int] = []

    def make(number: int) -> list[int]:
        made.append(number)
        return made

    with one_load():
        for number in (*range(KEPT + 1), KEPT, 0):
            shared(number, lambda number=number: make(number))
    assert made == [*range(KEPT + 1), 0]
    shared(0, lambda: make(0))
    shared(0, lambda: make(0))
    assert made[-2:] == [0, 0]


def test_a_hub_that_is_away_is_asked_once_a_load_and_again_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def away(repo: str, *_: Any, **__: Any) -> Any:
        asked.append(repo)
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", away)
    names = ["sftgen_math500", "sftgen_aime24", "sftgen_truthfulqa"]
    with pytest.raises(DataError, match=r"sftgen_math500: cannot load HuggingFaceH4/MATH-500.*ConnectionError"):
        usable_tasks(names, OwnTaskManager())
    assert asked == ["HuggingFaceH4/MATH-500"]

    row = {"problem": "2+2?", "solution": "4", "answer": "4", "unique_id": "t/1"}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [row])
    assert load_tasks(["sftgen_math500"]).tasks["sftgen_math500"].test_docs()[0]["answer"] == "4"


def test_a_failure_that_is_not_of_the_connection_stops_its_own_task_only(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"problem": "2+2?", "solution": "4", "answer": "4", "id": 1}

    def gated(repo: str, *_: Any, **__: Any) -> Any:
        if "MATH-500" in repo:
            raise PermissionError(repo)
        return [row]

    monkeypatch.setattr(datasets, "load_dataset", gated)
    usable, problems = usable_tasks(["sftgen_math500", "sftgen_aime24"], OwnTaskManager())
    assert usable == ["sftgen_aime24"]
    assert list(problems) == ["sftgen_math500"]


@pytest.mark.parametrize("read", [read_table, stream_table, read_problems], ids=lambda read: read.__name__)
def test_a_small_file_that_unpacks_to_much(
    read: Callable[[Path], Iterable[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "' + bytes(64 << 20) + b'"}\n', 1))
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz.*(row has )?more than 1 MiB"):
        list(read(path))
