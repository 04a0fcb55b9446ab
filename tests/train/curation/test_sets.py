"""A set on disk: shards, manifest, card; killed, resumed, refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from sftgen_judges.records.journal import read_rows
from sftgen_train.curation.engines import workers
from sftgen_train.curation.sets import SetError, TrainingSet, read_manifest, row_digest, write_set
from sftgen_train.training import rows as training
from tests import PATIENCE
from tests.conftest import Command

RECIPE = {"made of": "numbers", "version": 1}


def make(index: int, part: list[int]) -> list[dict[str, Any]]:
    return [{"number": number, "text": f"\u00fcber {number}", "parity": number % 2} for number in part]


def make_until_killed(index: int, part: list[int]) -> list[dict[str, Any]]:
    if index == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return make(index, part)


def write(folder: Path, make: Any = make, recipe: dict[str, Any] = RECIPE, processes: int = 1) -> TrainingSet:
    parts = [list(range(start, start + 10)) for start in range(0, 40, 10)]
    with workers("local", processes) as crew:
        return write_set(folder, recipe, parts, make, shards=4, counted=("parity",), crew=crew)


def test_a_set_is_loaded_by_datasets_and_says_what_it_is(tmp_path: Path) -> None:
    made = write(tmp_path / "evens and odds")
    loaded = load_dataset(str(made.folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["number"] == list(range(40))
    manifest = read_manifest(made.folder)
    assert manifest["recipe"] == RECIPE
    assert manifest["rows"] == 40
    assert manifest["counts"] == {"parity=0": 20, "parity=1": 20}
    assert manifest["content_hash"] == made.content_hash
    assert "40 rows" in (made.folder / "README.md").read_text()
    assert sorted(path.suffix for path in made.folder.iterdir()) == [".json", ".md", *[".parquet"] * 4]


def test_a_killed_writer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path / "a", make_until_killed))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    started = [row["index"] for row in read_rows(tmp_path / "a" / "shards.jsonl") if "index" in row]
    assert started == [0, 1]
    first = (tmp_path / "a" / "train-00000-of-00004.parquet").stat().st_mtime_ns
    again = write(tmp_path / "a")
    assert (tmp_path / "a" / "train-00000-of-00004.parquet").stat().st_mtime_ns == first
    assert again.content_hash == write(tmp_path / "b").content_hash


def test_the_content_hash_is_of_content(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two", processes=2)
    assert one.content_hash == two.content_hash

    def turned(index: int, part: list[int]) -> list[dict[str, Any]]:
        return make(index, part[::-1])

    assert write(tmp_path / "three", turned).content_hash != one.content_hash


def test_a_training_reads_the_rows_that_stand_whatever_another_set_of_that_name_held(tmp_path: Path) -> None:
    one = write(tmp_path / "a" / "set")
    other = write(tmp_path / "b" / "set", lambda index, part: make(index, part[::-1]))
    for made in (one, other):
        rows = training.read_rows(str(made.folder))
        assert row_digest(rows[:10]) == row_digest(make(0, list(range(10))[:: 1 if made is one else -1]))
        assert len(rows) == 40


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "done")
    with pytest.raises(SetError, match="finished set of the same recipe"):
        write(tmp_path / "done")
    with pytest.raises(SetError, match="finished set of another recipe"):
        write(tmp_path / "done", recipe={"made of": "letters"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("all of it")
    with pytest.raises(SetError, match="not empty"):
        write(tmp_path / "other")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "shards.jsonl").write_text(json.dumps({"recipe": {"made of": "letters"}}) + "\n")
    with pytest.raises(SetError, match="beginning of a set of another recipe"):
        write(tmp_path / "begun")


def test_the_command_makes_a_set_and_says_so(command: Command, tmp_path: Path) -> None:
    asked = ["data", "countdown", tmp_path / "set", "--size", "60", "--style", "depth,none", "--balanced"]
    ended = command("sftgen", *asked, "--processes", "1")
    assert ended.returncode == 0, ended.stderr
    assert "60 rows" in ended.stdout
    assert read_manifest(tmp_path / "set")["content_hash"] in ended.stdout
    assert "finished set of the same recipe" in command("sftgen", *asked).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split", "tes"], "--split tes: expected train or test"),
        (["--numbers", "3,x"], "--numbers 3,x: expected whole numbers"),
        (["--style", "deep"], "styles deep: expected some of depth, breadth, direct, none"),
        (["--level", "hard"], "levels ('hard',): expected some of sum, product, bracket, nested"),
        (["--errors", "1.5"], "errors 1.5"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(
    command: Command, tmp_path: Path, options: list[str], said: str
) -> None:
    ended = command("sftgen", "data", "countdown", tmp_path / "set", "--size", "5", *options)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())
    assert not (tmp_path / "set").exists()
