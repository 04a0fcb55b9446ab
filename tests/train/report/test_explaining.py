"""What stands behind verdicts: the same numbers in the terminal, in tables for programs and papers, and in Python."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sftgen_tasks import TaskResult
from sftgen_train.cli.main import app
from sftgen_train.report.explaining import Explained, explain
from sftgen_train.report.lengths import lengths
from sftgen_train.report.why_tables import price_sentence
from sftgen_train.results.run import add_results
from tests.train.report.made_runs import HEX, attacked, graded, made_run, truncated

MATH, GPQA = "sftgen_math500", "sftgen_gpqa_diamond"
LENGTHS = {0: 50, 5: 100, 10: 200, 20: 100, 40: 101}


def with_lengths(result: TaskResult, step: int) -> TaskResult:
    samples = [
        replace(sample, response=replace(sample.response, tokens=LENGTHS[step] + place % 7))
        for place, sample in enumerate(result.samples)
    ]
    return replace(result, samples=samples)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MATH500 dips, half of it by truncation; GPQA is asked fewer documents at step 10; attacks grow."""
    made = made_run(tmp_path_factory.mktemp("why") / "run", {}, [], in_domain=[MATH, GPQA])
    answers = (
        (0, 100, 0, 80, 20), (5, 80, 40, 90, 30), (10, 40, 80, 70, 40), (20, 110, 20, 110, 60), (40, 140, 0, 120, 80),
    )  # fmt: skip
    for step, right, cut, science, attacks in answers:
        math = truncated(graded(MATH, step, right + cut), range(right, right + cut))
        gpqa = graded(GPQA, step, science, of=150 if step == 10 else 198)
        results = [with_lengths(each, step) for each in (math, gpqa, attacked(step, attacks))]
        add_results(made, step, results, seconds=1.0)
    return made.path


@pytest.fixture(scope="module")
def found(run: Path) -> Explained:
    [explained] = explain(run)
    return explained


def printed(*arguments: str | Path, width: int = 80) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": str(width)}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_parts_sum_to_the_change_of_the_verdict_at_every_step(found: Explained) -> None:
    for verdict in found.verdicts.tasks:
        why = found.by_task[verdict.name]
        if verdict.name == HEX:
            assert (why.changes, why.turns) == ((), ())
            continue
        assert [change.after for change in why.changes] == [5, 10, 20, 40]
        for change, point in zip(why.changes, verdict.points[1:], strict=True):
            parts = change.parts
            assert (parts.documents, parts.change) == (verdict.shared, pytest.approx(point.change))
            summed = parts.truncation.change + parts.finished.change + parts.before_cut.change
            assert summed == pytest.approx(point.change)
    dip = found.by_task[MATH].turns[0]
    assert (dip.before, dip.after, dip.parts.truncation.after) == (0, 10, pytest.approx(0.4))


def test_landmarks_lengths_and_safety_are_those_of_their_own_commands(found: Explained, run: Path) -> None:
    [alone] = json.loads(printed("compare", run, "--format", "json"))["alone"]
    for why in found.tasks:
        told = {mark["name"]: mark for mark in alone["landmarks"][why.task]}
        assert {mark.name for mark in why.landmarks} == told.keys()
        assert [mark.step for mark in why.landmarks] == [mark["step"] for mark in told.values()]
    assert {each.task: (each.stages, each.regime) for each in lengths(run)} == {
        why.task: (why.stages, why.regime) for why in found.tasks
    }
    assert [each.found.mean for each in found.by_task[HEX].safety] == pytest.approx([0.1, 0.15, 0.2, 0.3, 0.4])
    assert found.tradeoff
    assert alone["tradeoff"]["price"] == found.tradeoff.price


def test_the_table_and_what_stands_behind_it_fit_into_80_columns(run: Path) -> None:
    shown = printed("trajectory", run)
    assert max(map(len, shown.splitlines())) <= 80
    [line] = [line.split() for line in shown.splitlines() if "0 to 10" in line and "math500" in line]
    assert line[1:5] == ["0", "to", "10", "-0.300"]
    text = " ".join(shown.split())
    assert "How far training is: cannot tell: hex_phi" in text
    assert "attack success +0.300 while reasoning gained" in text
    more = printed("trajectory", run, "--details")
    assert max(map(len, more.splitlines())) <= 80
    for part in ("Landmarks", "back at", "Stages of the length", "surge", "from step 20 to 40", "among finished"):
        assert part in more
    assert " *" in next(line for line in more.splitlines() if "dip depth" in line)


def test_json_holds_everything(run: Path, found: Explained) -> None:
    [told] = json.loads(printed("trajectory", run, "--format", "json"))
    tasks = {task["name"]: task["why_so"] for task in told["tasks"]}
    assert set(tasks) == {MATH, GPQA, HEX}
    math = tasks[MATH]
    assert [change["after"] for change in math["changes"]] == [5, 10, 20, 40]
    marks = {mark["name"]: mark for mark in math["landmarks"]}
    assert marks["dip step"]["distribution"] == {"10": 1.0}
    assert math["stages"]["knots"][0]["step"] == pytest.approx(10, abs=0.5)
    assert math["regime"]["word"] == found.by_task[MATH].regime.word  # type: ignore[union-attr]
    assert "why_so" not in told["groups"][0]
    assert told["tradeoff"]["points"][4]["asr"] == pytest.approx(0.4)


def test_csv_and_parquet_hold_it_by_step(run: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(printed("trajectory", run, "--format", "csv"))))
    printed("trajectory", run, "--format", "parquet", "--out", tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(table) == len(rows)
    math = {row["step"]: row for row in table if row["task"] == MATH}
    parts = ("by_truncation", "by_finished", "by_before_cut")
    assert sum(math[10][part] for part in parts) == pytest.approx(math[10]["change"])
    assert (math[10]["dip_step"], math[10]["dip_step_share"], math[5]["dip_step_share"]) == (10, 1.0, 0.0)
    assert (math[40]["end"], math[40]["end_mean"]) == ("above base", pytest.approx(0.7))
    assert math[20]["tokens"] == pytest.approx(103, abs=0.1)
    traded = [row for row in table if row["price"] is not None]
    assert [(row["step"], row["attack_success"]) for row in traded] == [
        (step, pytest.approx(attacks)) for step, attacks in zip(LENGTHS, (0.1, 0.15, 0.2, 0.3, 0.4), strict=True)
    ]
    [hex_last] = [row for row in table if (row["task"], row["step"]) == (HEX, 40)]
    assert hex_last["asr_finished"] == pytest.approx(0.4)


def test_papers_get_every_table(run: Path) -> None:
    text = printed("trajectory", run, "--format", "markdown")
    assert text.startswith("**What became of the scores**\n\n| task | n | dips at |")
    assert "**What changes of score are made of, 95 % intervals**" in text
    assert "| math500 | 0 to 10 | change | -0.300 | -0.360 to -0.240 | 0.50 to 0.20 |" in text
    assert printed("trajectory", run, "--format", "latex").count(r"\begin{tabular}") == text.count("| --- |\n")


def test_a_run_that_goes_on_has_no_regime(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", {MATH: [140, 80]}, [0, 5], max_steps=40)
    [explained] = explain([made.path])
    regime = explained.tasks[0].regime
    assert regime
    assert regime.sentence == "the run goes on: so far, step 5 of 40"


def test_several_runs_one_without_a_base_and_one_document(tmp_path: Path) -> None:
    made_run(tmp_path / "a", {MATH: [140, 80]}, [5, 10])
    one = made_run(tmp_path / "b", {}, [])
    for step in (0, 5):
        add_results(
            one, step, [graded(MATH, step, 1, of=1), attacked(step, 1, of=1), graded(GPQA, step, 1, of=1)], seconds=1.0
        )
    first, second = explain([tmp_path / "a", tmp_path / "b"])
    assert (first.tasks[0].changes, first.tradeoff, first.no_tradeoff) == ((), None, "")
    assert [mark.name for mark in first.tasks[0].landmarks][:2] == ["peak", "peak step"]
    assert second.tradeoff
    assert "no price of a point gained: one document only" in price_sentence(second.tradeoff)
    text = printed("trajectory", tmp_path / "a", tmp_path / "b", "--format", "markdown")
    assert text.count("**Landmarks; of steps the share of resampled documents; * of") == 2
