"""`sftgen selftest statistics` through the command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftgen_train.cli.main import app
from sftgen_train.trajectory import error_rates
from sftgen_train.trajectory.rate import Rate
from tests.commands import run
from tests.train.report.made_runs import made_run

WIDE = {"COLUMNS": "200"}


def test_a_run_is_its_own_self_test(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", {"sftgen_math500": [100, 60, 150], "sftgen_ifeval": [80, 80, 80]}, [0, 10, 20])
    done = run("sftgen", "selftest", "statistics", "--run", folder.path, "--repetitions", "40")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    # The run dips; its base with other seeds does not.
    for word in ("dips", "falls after a peak", "above base", "not recovered", "5 %", "sftgen_math500"):
        assert word in told
    assert "no rate misses its goal" in told


def test_a_missed_goal_is_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_rates, "_false", partial(Rate, high=1e-6))
    folder = made_run(tmp_path / "run", {"sftgen_math500": [100, 60, 150]}, [0, 10, 20])
    done = CliRunner().invoke(
        app, ["selftest", "statistics", "--run", str(folder.path), "--repetitions", "60"], env=WIDE
    )
    assert done.exit_code == 1, done.output
    assert "missed" in done.output


def test_a_run_of_one_step_is_refused(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", {"sftgen_math500": [100]}, [0])
    done = run("sftgen", "selftest", "statistics", "--run", folder.path)
    assert done.returncode == 2
    assert "no task with two evaluated steps" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_and_a_document_at_once_are_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["selftest", "statistics", "--run", "x", "--document", str(tmp_path / "x.md")], env=WIDE
    )
    assert done.exit_code == 2
    assert "not both" in done.output


def test_the_simulation_is_printed() -> None:
    done = CliRunner().invoke(app, ["selftest", "statistics", "--repetitions", "20", "--seed", "2"], env=WIDE)
    assert done.exit_code == 0, done.output
    assert "at least 80 %" in done.output
    assert "AIME24 (30 x 10)" in done.output
