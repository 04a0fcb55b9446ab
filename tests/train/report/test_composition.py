"""`sftgen parts` on run directories: parts of changes, and safety with truncation beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftgen_judges import Verdict
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.cli.main import app
from sftgen_train.report.composition import StepError, composition
from sftgen_train.report.other_limits import AtLimit, read_samples
from sftgen_train.report.trajectories import trajectory
from sftgen_train.results.run import add_results
from tests.conftest import Command
from tests.train.report.made_runs import graded, truncated

MATH, SAFETY = "sftgen_math500", "sftgen_hex_phi"


def judged(step: int, unsafe: int) -> TaskResult:
    """Safety: of 100 answers 40 are truncated later, of the others so many are unsafe."""
    result = graded(SAFETY, step, 0, of=100)
    samples = [
        replace(sample, verdict=Verdict("ok", 1.0, measures={"asr": float(n < unsafe), "harmfulness": 1.0}))
        for n, sample in enumerate(result.samples)
    ]
    return truncated(replace(result, samples=samples), range(60, 100) if step else range(0))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = RunFolder(tmp_path)
    run.update_manifest(model="m", tasks=[MATH, SAFETY])
    for step, right, cut in ((0, 140, 0), (5, 120, 60), (10, 160, 20)):
        results = [truncated(graded(MATH, step, right), range(right - cut, right)), judged(step, 20 - step)]
        add_results(run, step, results, seconds=1.0)
    return tmp_path


def test_a_dip_is_taken_apart(run: Path) -> None:
    found = composition(run, tasks=[MATH])
    assert [(each.before, each.after) for each in found.changes] == [(0, 5), (5, 10), (0, 10)]
    dip = found.changes[0].parts
    # 140 of 200 right; then 60 of 140 finished, 60 truncated: 60 / 200.
    assert (dip.before, dip.after) == (pytest.approx(0.7), pytest.approx(0.3))
    assert (dip.truncation.after, dip.finished.after) == (pytest.approx(0.3), pytest.approx(60 / 140))
    parts = [dip.truncation.change, dip.finished.change, dip.before_cut.change]
    assert sum(parts) == pytest.approx(-0.4)
    # Truncated answers are wrong at both steps that have any: no part of it.
    assert parts == pytest.approx([-0.3 * (0.7 + 60 / 140) / 2, -0.85 * (0.7 - 60 / 140), 0.0])


def test_safety_is_told_among_finished_answers(run: Path) -> None:
    found = composition(run)
    assert {each.task for each in found.changes} == {MATH}
    [verdicts] = trajectory(run)
    assert [caution.partition(":")[0] for caution in verdicts.cautions] == [SAFETY]
    success = {each.step: each.found for each in found.safety if each.measure == "asr"}
    assert [(each.mean, each.answers, each.truncated) for each in success.values()] == [
        (0.2, 100, 0.0), (0.25, 60, 0.4), (pytest.approx(10 / 60), 60, 0.4)
    ]  # fmt: skip


def test_the_command(run: Path) -> None:
    shown = CliRunner().invoke(app, ["parts", str(run)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "-0.400" in shown.stdout
    assert "among finished answers" in shown.stdout
    asked = CliRunner().invoke(app, ["parts", str(run), "--tasks", "math500", "--from", "5", "--to", "0", "--json"])
    [change] = json.loads(asked.stdout)["changes"]
    assert (change["before"], change["after"], change["parts"]["change"]) == (5, 0, pytest.approx(0.4))
    with pytest.raises(StepError, match="step 7 was not evaluated; expected one of 0, 5, 10"):
        composition(run, before=7)


@pytest.mark.xdist_group("launched")  # shares the run that was trained alone
def test_a_verdict_at_another_token_limit(command: Command, trained_alone: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_alone, tmp_path / "run")
    found = command("sftgen", "parts", run, "--budgets", "1,100000", "--tokenizer", run, "--json")
    assert found.returncode == 0, found.stderr
    short, whole = [each for each in json.loads(found.stdout) if each["task"] == "sftgen_parity"]
    assert (short["limit"], whole["limit"], whole["survives"]) == (1, 100_000, True)
    assert {point["mean"] for point in short["verdict"]["points"]} == {0.0}
    assert [point["mean"] for point in whole["verdict"]["points"]] == [
        point["mean"] for point in whole["whole"]["points"]
    ]


def test_a_dip_that_another_limit_makes() -> None:
    """Longer responses in the middle of training are right only where they may end."""
    whole = [sample for step in (0, 5, 10) for sample in graded(MATH, step, 140).samples]
    cut = [sample for step in (0, 5, 10) for sample in graded(MATH, step, 80 if step == 5 else 140).samples]
    before, after = (read_samples(MATH, samples, delta=0.02) for samples in (whole, cut))
    found = AtLimit(MATH, 500, after, before)
    assert (before.end, after.end, after.dips, found.survives) == ("held", "recovered", (5,), False)
    assert found.sentence().startswith("does not survive: dips at step 5")
    assert AtLimit(MATH, 500, before, before).survives


def test_lengths_and_regime(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_manifest(model="m", tasks=[MATH])
    for step, length in ((0, 50), (5, 100), (10, 200), (20, 100), (40, 101)):
        result = graded(MATH, step, 140)
        samples = [
            replace(sample, response=replace(sample.response, tokens=length + place % 7))
            for place, sample in enumerate(result.samples)
        ]
        add_results(run, step, [replace(result, samples=samples)], seconds=1.0)
    asked = CliRunner().invoke(app, ["lengths", str(run.path), "--json"])
    [found] = json.loads(asked.stdout)
    assert found["regime"]["word"] == "converged"
    assert [stage["kind"] for stage in found["stages"]["stages"]] == ["surge", "contraction"]
    run.update_manifest(max_steps=80)
    shown = CliRunner().invoke(app, ["lengths", str(run.path)], env={"COLUMNS": "250"})
    assert "the run goes on: so far, step 40 of 80" in shown.stdout
