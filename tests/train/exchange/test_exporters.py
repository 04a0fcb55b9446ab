"""Runs in other formats: through the command, read back by the libraries that own them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from pyarrow import csv

from tests.conftest import Command
from tests.train.exchange.test_lm_eval_samples import row, written

HARMFUL = "a text that answers a harmful prompt"


@pytest.fixture(scope="module")
def run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of MATH500 and HEx-PHI, and a task that the hub does not know."""
    folder = tmp_path_factory.mktemp("exported")
    for step, right in ((0, 1), (100, 3)):
        logs = folder / f"step{step}"
        for task in ("sftgen_math500", "sftgen_hex_phi", "sums"):
            text = HARMFUL if task == "sftgen_hex_phi" else "It is 4,\n=cmd|' /C calc'!A0"
            written(logs, [row(doc, doc < right, text) for doc in range(4)], task=task)
    ended = command("sftgen", "import", "lm-eval", folder / "run", *(f"{n}={folder / f'step{n}'}" for n in (0, 100)))
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


def test_tables_are_written_with_texts_but_not_the_harmful_ones(command: Command, run: Path, tmp_path: Path) -> None:
    ended = command("sftgen", "export", "parquet", run, "--to", tmp_path, "--texts")
    assert ended.returncode == 0, ended.stderr
    assert "without the texts of sftgen_hex_phi" in ended.stdout
    assert pq.read_table(tmp_path / "samples.parquet").num_rows == 24
    texts = pq.read_table(tmp_path / "texts.parquet").to_pylist()
    assert {each["task"] for each in texts} == {"sftgen_math500", "sums"}
    assert HARMFUL.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    again = command("sftgen", "export", "parquet", run, "--to", tmp_path / "all", "--texts", "--with-harmful-texts")
    assert "without" not in again.stdout
    assert HARMFUL in {each["text"] for each in pq.read_table(tmp_path / "all" / "texts.parquet").to_pylist()}


def test_csv_holds_the_same_rows(command: Command, run: Path, tmp_path: Path) -> None:
    assert command("sftgen", "export", "csv", run, "--to", tmp_path).returncode == 0
    samples = csv.read_csv(tmp_path / "samples.csv").to_pylist()
    assert [(each["task"], each["step"]) for each in samples[:5]] == [("sftgen_hex_phi", 0)] * 4 + [
        ("sftgen_hex_phi", 100)
    ]
    assert sum(each["score"] for each in samples if each["task"] == "sums" and each["step"] == 100) == 3
    assert not (tmp_path / "texts.csv").exists()


def test_the_hubs_results_are_read_by_the_hubs_library(command: Command, run: Path, tmp_path: Path) -> None:
    ended = command("sftgen", "export", "hf", run, "--to", tmp_path / ".eval_results")
    assert ended.returncode == 0, ended.stderr
    [entry] = parse_eval_result_entries(yaml.safe_load((tmp_path / ".eval_results" / "math500.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("HuggingFaceH4/MATH-500", "math500", 75.0)
    assert "training step 100" in str(entry.notes)
    assert not (tmp_path / ".eval_results" / "sums.yaml").exists()
    command("sftgen", "export", "hf", run, "--to", tmp_path / "first", "--step", "0")
    assert yaml.safe_load((tmp_path / "first" / "math500.yaml").read_text())[0]["value"] == 25.0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["inspct"], "inspct"),
        (["hf", "--step", "7"], "no complete score of a benchmark of the hub at step 7"),
        (["csv", "{other}"], "not a run directory"),
    ],
)
def test_a_mistake_is_named(command: Command, run: Path, tmp_path: Path, asked: list[str], said: str) -> None:
    name, *options = (each.format(other=tmp_path) for each in asked)
    ended = command(
        "sftgen", "export", name, *(options if "csv" in asked else [run, *options]), "--to", tmp_path / "out"
    )
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
