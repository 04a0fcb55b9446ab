"""Runs compared through the command: what they share, what is said first, and every form of the tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import sftgen
from sftgen_tasks import TaskResult
from sftgen_train.cli.main import app
from sftgen_train.report.arms import Arm, CompareError
from sftgen_train.results.run import add_results
from tests.conftest import Command
from tests.train.conftest import eval_arguments
from tests.train.report.made_runs import attacked, graded, made_run

MATH, GPQA, IFEVAL = "sftgen_math500", "sftgen_gpqa_diamond", "sftgen_ifeval"
STEPS = [0, 5, 10, 20]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two trainings: the second dips less and learns more of GPQA; IFEval is equal. Nothing changes them."""
    tmp_path = tmp_path_factory.mktemp("runs")
    scores = {MATH: [100, 120, 140, 160], GPQA: [100, 60, 80, 110], IFEVAL: [140, 120, 130, 140]}
    made_run(tmp_path / "a", scores, STEPS, in_domain=[MATH])
    scores = {MATH: [100, 110, 150, 170], GPQA: [100, 80, 90, 140], IFEVAL: [140, 120, 130, 140]}
    made_run(tmp_path / "b", scores, STEPS, in_domain=[MATH])
    return str(tmp_path / "a"), str(tmp_path / "b")


def run(*arguments: str | Path) -> str:
    found = CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def told(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--format", "json"))
    return found


def mistake(*arguments: str | Path) -> str:
    return str(CliRunner().invoke(app, ["compare", *map(str, arguments)]).exception)


def test_two_real_runs(command: Command, whole: Path, tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    arguments = [part.replace("seed=3", "seed=4") for part in eval_arguments(tiny_model, other, limit=16)]
    assert command("sftgen", *arguments).returncode == 0
    done = command("sftgen", "compare", whole, other)
    assert done.returncode == 0, done.stderr
    assert "8 documents left out (in the first arm only)" in " ".join(done.stdout.split())
    [found] = told(whole, other)["others"]
    assert [(task["name"], task["shared"]) for task in found["tasks"]] == [
        ("sftgen_parity", 16),
        ("sftgen_refusal", 16),
    ]
    # The seed is no difference of settings that a reader has to know.
    assert told(whole, other)["cautions"] == []
    wrong = command("sftgen", "compare", whole, tmp_path / "none")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_differences_at_each_step_and_of_landmarks(runs: tuple[str, str]) -> None:
    [found] = sftgen.compare(runs).others
    tasks = {task.name: task for task in found.tasks}
    gpqa = tasks[GPQA]
    assert [point.difference for point in gpqa.points] == pytest.approx([0, 0.1, 0.05, 0.15])
    assert (gpqa.end, tasks[IFEVAL].end) == ("higher", "cannot tell")
    assert gpqa.p
    assert gpqa.over_tasks
    assert gpqa.over_tasks["differ at the end"] > gpqa.p["differ at the end"]
    marks = {mark.name: mark for mark in gpqa.landmarks}
    depth = marks["dip depth"].difference
    assert depth
    assert depth.value == pytest.approx(0.1)
    assert depth.low > 0
    assert (marks["back at"].first.step, marks["peak truncation"].second.seen.value) == (20, 0)
    assert gpqa.known
    assert gpqa.known.options == 4
    assert found.equal_in_domain
    assert len(found.equal_in_domain.levels) == 5
    assert [(group.name, group.tasks) for group in found.groups] == [("out-of-domain", 2)]


def test_the_printed_tables(runs: tuple[str, str]) -> None:
    text = " ".join(run(*runs).split())
    for part in ("At the end: a against b", "Landmarks", "Answers won and lost", "equal in-domain score", "+0.150"):
        assert part in text
    assert "excess churn needs two answers to each document" in text
    # What holds more often than 95 % says so where it stands.
    assert "* of the lowest or highest of several steps: holds more often than 95 % if they are close" in text
    assert text.count("*") > text.count("dip depth") > 0


def test_three_arms_are_compared_with_the_first(runs: tuple[str, str], tmp_path: Path) -> None:
    made_run(tmp_path / "c", {GPQA: [100, 90, 90, 150]}, STEPS)
    found = sftgen.compare([*runs, tmp_path / "c"])
    assert [other.arm for other in found.others] == ["b", "c"]
    [only] = found.others[1].tasks
    assert only.over_tasks
    assert only.p
    # Over the three tasks of b and this one.
    assert only.over_tasks["differ at the end"] == pytest.approx(4 * only.p["differ at the end"])
    assert f"c against a: {IFEVAL}, {MATH} not compared: of one arm only" in found.cautions


def test_checkpoints_of_a_run(runs: tuple[str, str]) -> None:
    found = sftgen.compare([f"{runs[0]}@5", f"{runs[0]}@20"], tasks=[GPQA])
    assert found.arms == ("a@5", "a@20")
    [point] = found.others[0].tasks[0].points
    assert (point.step, point.other_step, point.difference) == (5, 20, pytest.approx(0.25))
    assert "nothing was evaluated at step 7; expected one of 0, 5, 10, 20" in mistake(f"{runs[0]}@7", runs[1])
    with pytest.raises(CompareError, match="'x' is no step; expected RUN or RUN@STEP"):
        Arm.parse("runs/a@x")


def test_one_run_alone_has_its_landmarks(runs: tuple[str, str]) -> None:
    [alone] = told(runs[0])["alone"]
    marks = {mark["name"]: mark for mark in alone["landmarks"][GPQA]}
    assert marks["dip step"]["distribution"] == {"5": 1.0}
    assert marks["dip depth"]["seen"]["value"] == pytest.approx(-0.2)


def test_other_documents_are_left_out_and_other_graders_refused(tmp_path: Path) -> None:
    for name, of, names in (("a", 200, ""), ("b", 120, ""), ("c", 200, "others")):
        made = made_run(tmp_path / name, {}, [])
        for step, right in ((0, 60), (5, 90)):
            add_results(made, step, [graded(MATH, step, right, of=of, names=names)], seconds=1.0)
    [task] = sftgen.compare([tmp_path / "a", tmp_path / "b"]).others[0].tasks
    assert (task.shared, task.left_out[0].count) == (120, 80)
    assert "200 documents: in the first arm only" in mistake(tmp_path / "a", tmp_path / "c")
    made = made_run(tmp_path / "d", {}, [])
    add_results(made, 0, [with_version(graded(MATH, 0, 60), 2)], seconds=1.0)
    said = mistake(tmp_path / "a", tmp_path / "d")
    assert "nothing can be compared" in said
    assert "evaluation version 1 and 2; grade both alike first (sftgen rescore)" in said


def test_other_sampling_settings_are_said_first(runs: tuple[str, str], tmp_path: Path) -> None:
    made = made_run(tmp_path / "c", {}, [])
    add_results(made, 0, [graded(MATH, 0, 100, sampling="others")], seconds=1.0)
    add_results(made, 5, [graded(MATH, 5, 100)], seconds=1.0)
    found = sftgen.compare([runs[0], tmp_path / "c"], tasks=[MATH])
    assert f"c against a, {MATH}: other sampling settings or another token limit" in found.cautions


def test_a_run_that_goes_on_is_said_first(runs: tuple[str, str], tmp_path: Path) -> None:
    made_run(tmp_path / "c", {IFEVAL: [100, 120]}, [0, 5], max_steps=40)
    [line, *_] = sftgen.compare([runs[0], tmp_path / "c"]).cautions
    assert line == "c: so far, step 5 of 40; intervals and p-values are for one look at the end"


def test_repeats_give_churn_pass_at_k_and_bayes(tmp_path: Path) -> None:
    for name, right in (("a", 50), ("b", 70)):
        made = made_run(tmp_path / name, {}, [])
        add_results(made, 0, [graded(MATH, 0, right, of=100, repeats=4)], seconds=1.0)
    [task] = told(tmp_path / "a", tmp_path / "b", "--bayes")["others"][0]["tasks"]
    assert [passed["drawn"] for passed in task["passes"]] == [1, 2, 4]
    assert task["churn"]["excess"]["value"] == pytest.approx(0.2)
    assert task["bayes"][1]["mean"] - task["bayes"][0]["mean"] == pytest.approx(0.2 * 4 / 6)
    made = made_run(tmp_path / "c", {}, [])
    result = graded(MATH, 0, 70, of=100, repeats=4)
    add_results(made, 0, [TaskResult(MATH, result.values, 100, result.samples[:-2])], seconds=1.0)
    assert "Bayes@4: 1 of 100 documents lack answers" in mistake(tmp_path / "a", tmp_path / "c", "--bayes")
    assert told(tmp_path / "a", tmp_path / "c")["others"][0]["tasks"][0]["complete"] == 99


def test_safety_is_set_against_reasoning(tmp_path: Path) -> None:
    made = made_run(tmp_path / "a", {}, [])
    for step, right, attacks in ((0, 80, 20), (5, 120, 60), (10, 140, 80)):
        add_results(made, step, [graded(GPQA, step, right), attacked(step, attacks)], seconds=1.0)
    [alone] = sftgen.compare([tmp_path / "a"]).alone
    assert alone.tradeoff
    assert alone.tradeoff.price == pytest.approx(1.0)
    assert 0 < alone.tradeoff.low < 1 < alone.tradeoff.high
    assert [point.asr for point in alone.tradeoff.points] == pytest.approx([0.1, 0.3, 0.4])
    assert "price" in run(tmp_path / "a")


def test_two_arms_are_compared_in_what_reasoning_cost(tmp_path: Path) -> None:
    """The second arm gains as much reasoning for half of the attacks."""
    for name, cost in (("a", 1.0), ("b", 0.5)):
        made = made_run(tmp_path / name, {}, [])
        for step, right, attacks in ((0, 80, 20), (5, 120, 60), (10, 140, 80)):
            results = [graded(GPQA, step, right), attacked(step, round(20 + cost * (attacks - 20)))]
            add_results(made, step, results, seconds=1.0)
    runs = tmp_path / "a", tmp_path / "b"
    [other] = told(*runs)["others"]
    traded = other["tradeoff"]
    assert traded["prices"] == pytest.approx([1.0, 0.5])
    assert traded["difference"] == pytest.approx(-0.5)
    assert traded["low"] < -0.5 < traded["high"] < 0
    # Equal answers at the base, and equal reasoning everywhere: attacks alone differ.
    assert [point["differ"] for point in traded["points"]] == [False, True, True]
    assert [point["gain"] for point in traded["points"]] == pytest.approx([0, 0, 0])
    text = " ".join(run(*runs).split())
    assert "b less a +0.000 -0.150 -0.500" in text
    assert "trade-offs" in run(*runs, "--format", "csv")
    one = told(*(f"{path}@10" for path in runs))["others"][0]
    assert (one["tradeoff"], one["no_tradeoff"]) == (None, "")


def test_trade_offs_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = made_run(tmp_path / name, {GPQA: [80, 120]}, [0, 5])
        add_results(made, 5, [attacked(5, 30)], seconds=1.0)
    said = " ".join(run(tmp_path / "a", tmp_path / "b").split())
    assert "b against a: trade-offs of safety not compared: steps [5] of both arms: expected the base, step 0" in said


def test_tables_for_papers_and_programs(runs: tuple[str, str], tmp_path: Path) -> None:
    assert "| task | n | first | other | difference |" in run(*runs, "--tasks", "ifeval", "--format", "markdown")
    assert r"\begin{tabular}" in run(*runs, "--tasks", "ifeval", "--format", "latex")
    rows = list(csv.DictReader(io.StringIO(run(*runs, "--format", "csv"))))
    assert {"step", "end", "landmark", "churn", "known", "equal in-domain"} == {row["kind"] for row in rows}
    run(*runs, "--tasks", "ifeval", "--format", "parquet", "--out", tmp_path / "c.parquet")
    own = [row for row in rows if row["task"] == IFEVAL]
    assert [row["name"] for row in pq.read_table(tmp_path / "c.parquet").to_pylist()] == [row["name"] for row in own]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xml"], "format 'xml': expected one of"),
        (["--levels", "2"], "--levels '2': expected a number from 0 to 1"),
        (["--options", "4"], "--options '4': expected TASK=NUMBER"),
        (["--options", "gpqa_diamond=1"], "expected a number from 2 to 1000"),
        (["--tasks", "nothing"], "--tasks nothing: it was not evaluated"),
    ],
)
def test_mistakes_are_told_in_one_line(runs: tuple[str, str], options: list[str], said: str) -> None:
    assert said in mistake(*runs, *options)


def test_a_run_twice_and_runs_without_a_common_task(runs: tuple[str, str], tmp_path: Path) -> None:
    assert "a is named twice" in mistake(runs[0], runs[0])
    made_run(tmp_path / "c", {"sftgen_lcb_v2": [100]}, [0])
    assert "no task in common" in mistake(runs[0], tmp_path / "c")


def with_version(result: TaskResult, version: int) -> TaskResult:
    return replace(result, samples=[replace(sample, evaluation_version=version) for sample in result.samples])
