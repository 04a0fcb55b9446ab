"""The page on a first study: its files are read as they stand, and each of its commands is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import yaml

from sftgen_train.study.claims import Outcome
from sftgen_train.study.reading import read_study, shipped_studies
from sftgen_train.study.schema import OF_ARMS, OF_COMPARISONS, Arm, Study
from tests import ROOT
from tests.conftest import Command
from tests.train.study.test_study import study_file

PAGE = (ROOT / "docs" / "first_study.md").read_text()
YAML = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
COMMANDS = [line.partition(" #")[0].strip() for line in re.findall(r"^sftgen .*$", PAGE, re.MULTILINE)]
COMMANDS += re.findall(r"`(sftgen study [^`]+)`", PAGE)


def table(head: str) -> list[str]:
    """The first column of the table under a head."""
    _, found, below = PAGE.partition(f"| {head} |")
    assert found, head
    rows = below.split("\n\n")[0].splitlines()[2:]
    return [re.findall(r"`([^`]+)`|\| ([\w-]+)", row)[0][0] or row.split("|")[1].strip() for row in rows]


def test_the_files_of_the_page_are_studies(tmp_path: Path) -> None:
    for name in ("traces", "answers", "puzzles"):
        (tmp_path / f"{name}.jsonl").write_text('{"prompt": "1", "completion": "1"}\n')
    whole, methods = YAML
    for values in (whole, {**whole, **methods, "train": {}, "comparisons": [], "claims": []}):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(values))
        assert read_study(path).arms.keys() == values["arms"].keys()


def test_the_page_names_what_there_is() -> None:
    assert table("word of an arm") == list(OF_ARMS)
    assert [word for word in OF_COMPARISONS if f"`{word}`" not in PAGE] == []
    assert table("outcome") == list(get_args(Outcome))
    listed = {
        name
        for row in re.findall(r"^\| `[\w-]+` \|.*\|$", PAGE, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", row)
    }
    assert set(shipped_studies()) <= listed
    keys = PAGE.partition("| key |")[2].partition("\n\n")[0]
    assert {*Study.model_fields, *Arm.model_fields} <= {*re.findall(r"`(\w+)", keys)}
    assert len(table("word")) == 10


def test_each_command_of_the_page_is_run(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    """With an untrained model, one step and tasks without data; the options of each command as they stand."""
    whole: dict[str, Any] = YAML[0]
    study_file(
        tmp_path, tiny_model,
        arms={"traces": {"data": "rows.jsonl"}, "answers": {"data": {"made": "countdown-traces", "with": {"rows": 8}}}},
        seeds=[0], benchmarks={"in-domain": ["parity"]}, comparisons=whole["comparisons"],
        claims=[{**claim, "score": "parity"} for claim in whole["claims"]],
    )  # fmt: skip
    assert len(COMMANDS) >= 6
    for line in COMMANDS:
        words = shlex.split(line.replace("gpqa_diamond", "parity"))
        done = command(*words, cwd=tmp_path)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (tmp_path / "score.svg").read_text().startswith("<svg")
    one = ["--picture", "one.svg", "--task", "parity", "--arms", "traces"]
    done = command("sftgen", "study", "report", "study.yaml", "--out", "studies/small", *one, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers" in (tmp_path / "score.svg").read_text()
    assert "answers" not in (tmp_path / "one.svg").read_text()
    assert (tmp_path / "studies" / "small" / "report" / "tables.tex").is_file()
