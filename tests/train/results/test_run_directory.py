"""A run directory through the commands: moved, read-only, newer, and with answers of two models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sftgen
from sftgen_judges.records.manifest import RUN_SCHEMA
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.sandbox.inside.system import drop_capabilities
from tests.conftest import Command

TASK = "sftgen_parity"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, at another place than where it was made."""
    shutil.copytree(whole, tmp_path / "moved" / "run")
    return RunFolder(tmp_path / "moved" / "run")


def test_a_moved_run_is_reported_scored_again_and_asked_under_its_own_name(
    run: RunFolder, whole: Path, command: Command
) -> None:
    name = RunFolder(whole).run_id()
    before = run.metric_rows()
    result = command("sftgen", "rescore", run.path)
    assert result.returncode == 0, result.stderr
    assert run.metric_rows() == before
    assert run.run_id() == name
    records = sftgen.load_run([run.path])
    assert records.sql("SELECT DISTINCT run FROM samples").rows() == [{"run": name}]
    assert str(whole) not in json.dumps(run.read_manifest()["documents"])


@pytest.fixture
def read_only(run: RunFolder) -> Iterator[RunFolder]:
    folders = [run.path, *(path for path in run.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield run
    for folder in folders:
        folder.chmod(0o755)


def test_a_run_that_cannot_be_written_is_reported_and_said_to_be_so(
    read_only: RunFolder, command: Command, tmp_path: Path
) -> None:
    limited = {"before": drop_capabilities}  # for root too
    result = command("sftgen", "report", read_only.path, **limited)
    assert result.returncode == 0, result.stderr
    assert "Score, 95 % interval" in result.stdout
    assert "cannot be written (Permission denied); name a file with --out" in " ".join(result.stdout.split())
    result = command("sftgen", "report", read_only.path, "--out", tmp_path / "report.html", **limited)
    assert result.returncode == 0, result.stderr
    assert "<html" in (tmp_path / "report.html").read_text()
    result = command("sftgen", "rescore", read_only.path, **limited)
    assert result.returncode == 2
    assert f"run directory '{read_only.path}' cannot be written: Permission denied" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("line", ["report RUN", "rescore RUN", "eval --run RUN --tasks sftgen_parity"])
def test_a_newer_run_is_refused_by_name(line: str, run: RunFolder, tiny_model: Path, command: Command) -> None:
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest |= {"schema": RUN_SCHEMA + 1, "versions": {"sftgen": "9.9"}}
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    before = {path: path.read_bytes() for path in run.path.rglob("*.*") if path.is_file() and path.name[0] != "."}
    words = [str(run.path) if word == "RUN" else word for word in line.split()]
    if "eval" in words:
        words += ["--model", "sftgen-hf", "--model_args", f"pretrained={tiny_model}"]
    result = command("sftgen", *words)
    assert result.returncode == 2, result.stderr
    assert f"is of schema {RUN_SCHEMA + 1}, written by sftgen 9.9; this sftgen reads schemas 2 to" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in before} == before


def at_step_20(records: list[GenerationRecord], model: str, text: str, count: int) -> list[GenerationRecord]:
    """The first documents of a run as another model answered them in training."""
    return [replace(record, step=20, model=model, text=text, tokens=3) for record in records[:count]]


@pytest.mark.parametrize("named", [True, False])
def test_answers_of_two_models_at_one_step_are_never_mixed(named: bool, run: RunFolder, command: Command) -> None:
    made = run.read_generations(TASK)
    # Training was resumed and saved step 20 again; the worker was killed after two documents of the new weights.
    old = at_step_20(made, "folder:old", r"\boxed{odd}", 8)
    run.add_generations([*old, *at_step_20(made, "folder:new", r"\boxed{even}", 2)])
    at = "2026-11-26T10:00:00+00:00"
    by = {"model": "folder:old"} if named else {}  # an older run does not say
    run.append(run.evaluations, [{"step": 20, "status": "ok", "seconds": 1.0, "at": at, **by}])
    result = command("sftgen", "rescore", run.path, "--tasks", TASK)
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stderr.split())
    assert "step 20 holds answers of several models" in said
    assert "8 documents of folder:old" in said
    assert "2 documents of folder:new" in said
    rows = {row["metric"]: row for row in run.metric_rows() if row["step"] == 20}
    assert (rows["score"]["model"], rows["score"]["docs"], rows["score"]["evaluated_at"]) == ("folder:old", 8, at)
    records = sftgen.load_run(run.path)
    shown = "SELECT model, count(*) n, count(DISTINCT answer) answers FROM {} WHERE step = 20 GROUP BY 1 ORDER BY 1"
    assert records.sql(shown.format("samples")).rows() == [{"model": "folder:old", "n": 8, "answers": 1}]
    assert [row["n"] for row in records.sql(shown.format("all_samples")).rows()] == [2, 8]
    result = command("sftgen", "report", run.path)
    assert result.returncode == 0, result.stderr
