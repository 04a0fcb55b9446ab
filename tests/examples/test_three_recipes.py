"""The example study of three recipes: its files have no mistake, and its prompts are apart from its evaluation."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from sftgen_tasks import countdown
from tests import ROOT
from tests.conftest import Command

FOLDER = ROOT / "examples" / "three-recipes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "study"))


def test_its_files_have_no_mistake(command: Command, folder: Path) -> None:
    checked = command("sftgen", "curate", "--config", "curate.yaml", "--check", cwd=folder)
    assert (checked.returncode, checked.stdout) == (0, "curate.yaml: 3 sets, no mistake\n")
    planned = command("sftgen", "study", "plan", "study.yaml", "--json", cwd=folder)
    assert planned.returncode == 0, planned.stderr
    assert [run["arm"] for run in json.loads(planned.stdout)["runs"]] == ["verified", "no-thinking", "wrong"]


def test_the_evaluation_asks_none_of_its_prompts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["prompts.py", str(folder / "prompts.jsonl")])
    exec(compile((folder / "prompts.py").read_text(), "prompts.py", "exec"), {})
    prompts = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    metadata = yaml.safe_load((folder / "study.yaml").read_text())["evaluation"]["metadata"]
    asked = countdown.make_docs(metadata["docs_seed"], **metadata["sftgen_countdown"])
    assert len(prompts) == 800
    assert not {doc["question"] for doc in asked} & {row["question"] for row in prompts}
    assert all(countdown.unusable(row) == "" for row in prompts)
