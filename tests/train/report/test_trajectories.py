"""Verdicts of run directories: the right data under every point, groups, live runs, and every form of the table."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import sftgen
from sftgen_judges.errors import SftgenError
from sftgen_train.cli.main import app
from sftgen_train.gating.reading import gate
from sftgen_train.report.comparing import compare
from sftgen_train.report.trajectories import RunVerdicts, trajectory
from sftgen_train.results.run import add_results
from sftgen_train.trajectory import WORDS, Verdict
from tests.train.report.made_runs import graded, made_run

MATH, CODE, TRUTH, IFEVAL = "sftgen_math500", "sftgen_lcb_v2", "sftgen_truthfulqa", "sftgen_ifeval"


def read(path: Path, **asked: Any) -> RunVerdicts:
    [found] = trajectory(path, **asked)
    return found


def only(path: Path, **asked: Any) -> Verdict:
    [verdict] = read(path, **asked).tasks
    return verdict


# ------------------------------------------------------------------------------ the data under a point


def test_a_run_is_read_as_its_arrays_are(tmp_path: Path) -> None:
    made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10])
    verdict = only(tmp_path)
    assert (verdict.name, verdict.dips, verdict.end, verdict.shared) == (MATH, (5,), "recovered", 200)
    assert [point.mean for point in verdict.points] == pytest.approx([0.7, 0.4, 0.7])


def test_the_face_has_it(tmp_path: Path) -> None:
    made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10])
    [found] = sftgen.trajectory(tmp_path, deltas=0.05)
    assert (found.tasks[0].delta, found.tasks[0].end) == (0.05, "recovered")


def test_documents_without_a_score_are_left_out_everywhere(tmp_path: Path) -> None:
    run = made_run(tmp_path, {MATH: [140]}, [0])
    add_results(run, 5, [graded(MATH, 5, 140, failed=range(100, 140))], seconds=1.0)
    verdict = only(tmp_path)
    assert (verdict.shared, [point.documents for point in verdict.points]) == (160, [200, 160])
    # All 40 were right: nothing changed among the others.
    assert verdict.end_change == 0
    assert [(entry.what, entry.count) for entry in verdict.left_out] == [("documents", 40)]


def test_a_step_with_fewer_documents_makes_the_comparison_smaller(tmp_path: Path) -> None:
    run = made_run(tmp_path, {MATH: [140]}, [0])
    add_results(run, 5, [graded(MATH, 5, 30, of=50)], seconds=1.0)
    verdict = only(tmp_path)
    assert (verdict.shared, verdict.points[1].change) == (50, pytest.approx(-0.4))
    assert [point.documents for point in verdict.points] == [200, 50]


def test_a_smaller_evaluation_takes_no_document_away(tmp_path: Path) -> None:
    run = made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10])
    before = only(tmp_path)
    add_results(run, 10, [graded(MATH, 10, 20, of=20)], seconds=1.0)
    assert only(tmp_path) == before
    run.compact()
    assert only(tmp_path) == before


def test_an_evaluation_with_other_settings_replaces_and_is_told(tmp_path: Path) -> None:
    run = made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10])
    add_results(run, 10, [graded(MATH, 10, 60, of=100, sampling="others")], seconds=1.0)
    found = read(tmp_path)
    assert found.tasks[0].shared == 100
    assert found.cautions == (
        f"{MATH}: evaluated with other sampling settings or another token limit than the other steps: step 10",
    )


def test_a_task_that_failed_at_a_step_says_so(tmp_path: Path) -> None:
    run = made_run(tmp_path, {MATH: [140, 140]}, [0, 10])
    run.add_failure(5, [MATH], "RuntimeError: out of memory")
    found = read(tmp_path)
    assert found.tasks[0].end == "held"
    assert found.failures == (f"{MATH}: evaluation failed at step 5: RuntimeError: out of memory",)


def test_documents_of_one_source_are_one_unit(tmp_path: Path) -> None:
    run = made_run(tmp_path, {}, [])
    for step, right in ((0, 24), (5, 14)):
        add_results(run, step, [graded(MATH, step, right, of=30, clusters=10)], seconds=1.0)
    verdict = only(tmp_path)
    assert (verdict.shared, verdict.clusters, verdict.dips) == (30, 3, ())


def test_incomplete_repeats_are_counted_or_left_out(tmp_path: Path) -> None:
    run = made_run(tmp_path, {}, [])
    for step in (0, 5):
        result = graded(MATH, step, 140, repeats=3)
        add_results(run, step, [result], seconds=1.0)
    lacking = graded(MATH, 10, 140, repeats=3)
    del lacking.samples[-2:]
    add_results(run, 10, [lacking], seconds=1.0)
    assert (only(tmp_path).shared, only(tmp_path).left_out[0].what) == (200, "repeats")
    assert only(tmp_path, complete=True).shared == 199


def test_other_measures_have_trajectories_too(tmp_path: Path) -> None:
    made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10])
    assert [point.mean for point in only(tmp_path, measure="truncated").points] == [0, 0, 0]


# ------------------------------------------------------------------------------ groups


def test_groups_are_of_two_tasks_at_least(tmp_path: Path) -> None:
    scores = {MATH: [140, 140], CODE: [140, 100], TRUTH: [140, 100], IFEVAL: [140, 120]}
    made_run(tmp_path, scores, [0, 5], in_domain=[MATH])
    found = read(tmp_path)
    assert {group.name: group.tasks for group in found.groups} == {"out-of-domain": 3, "sftgen_general": 2}
    assert found.groups[1].end_change == pytest.approx(-0.15)


def test_two_names_of_the_same_documents_count_once_and_the_larger_wins(tmp_path: Path) -> None:
    run = made_run(tmp_path, {TRUTH: [140, 140], "sftgen_other": [140, 140]}, [0, 5], in_domain=["none"])
    for step, right in ((0, 20), (5, 0)):
        add_results(run, step, [graded("sftgen_twin", step, right, of=20, names=TRUTH)], seconds=1.0)
    found = read(tmp_path)
    [group] = found.groups
    assert (group.tasks, group.end_change) == (2, 0)
    assert found.cautions == (
        "sftgen_other, sftgen_twin: taken for out-of-domain, category not declared: the run does not name it "
        "in-domain, and its task file has no `metadata: {category: ...}` (reasoning, general or safety)",
        f"out-of-domain: sftgen_twin (20 documents) shares documents with {TRUTH} (200) and is left out of the group",
    )


def test_logits_are_no_shares_and_in_no_group(tmp_path: Path) -> None:
    run = made_run(tmp_path, {TRUTH: [140, 140], IFEVAL: [140, 140]}, [0, 5])
    for step in (0, 5):
        result = graded("sftgen_alpaca_eval", step, 100 + step)
        logits = [replace(sample, scorer="reward") for sample in result.samples]
        add_results(run, step, [replace(result, samples=logits)], seconds=1.0)
    found = read(tmp_path)
    assert {group.name: group.tasks for group in found.groups} == {"sftgen_general": 2}
    assert found.cautions == ("sftgen_general: sftgen_alpaca_eval is left out of the group: its values are no shares",)
    [alpaca] = [verdict for verdict in found.tasks if verdict.name == "sftgen_alpaca_eval"]
    # A share of 5 in 200 documents would have the limits of what was not asked; a logit has no largest value.
    assert alpaca.end == "above base"


# ------------------------------------------------------------------------------ delta


def test_delta_comes_from_the_manifest_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    made_run(tmp_path, {MATH: [140, 80, 130], CODE: [140, 80, 130]}, [0, 5, 10], delta={"default": 0.01, CODE: 0.1})
    assert [verdict.delta for verdict in read(tmp_path).tasks] == [0.1, 0.01]
    assert [verdict.end for verdict in read(tmp_path).tasks] == ["recovered", "not recovered"]
    printed = _run("trajectory", str(tmp_path), "--delta", "0.2,lcb_v2=0.01", "--format", "json")
    tasks = json.loads(printed)[0]["tasks"]
    assert {task["name"]: (task["delta"], task["end"]) for task in tasks} == {
        MATH: (0.2, "recovered"),
        CODE: (0.01, "not recovered"),
    }


@pytest.mark.parametrize(
    ("option", "says"),
    [(["--delta", "0.2,mth500=0.01"], "--delta mth500: it was not"), (["--measure", "scor"], "no task has it")],
)
def test_a_name_that_no_task_has_is_told(tmp_path: Path, option: list[str], says: str) -> None:
    made_run(tmp_path, {MATH: [140, 80]}, [0, 5])
    with pytest.raises(SftgenError, match=says):
        _run("trajectory", str(tmp_path), *option)


@pytest.mark.parametrize("manifest", ['{"delta": 5}', '{"delta": {"default": "x", "sftgen_math500": -1}}', "{}", "["])
def test_a_damaged_manifest_leaves_the_default(tmp_path: Path, manifest: str) -> None:
    made_run(tmp_path, {MATH: [140, 80]}, [0, 5])
    (tmp_path / "manifest.json").write_text(manifest)
    assert only(tmp_path).delta == 0.02


# ------------------------------------------------------------------------------ a run that goes on


def test_no_verdict_before_the_last_planned_step(tmp_path: Path) -> None:
    schedule = [{"tasks": [MATH], "when": "at_steps:5,10,20", "limit": None}]
    run = made_run(tmp_path, {MATH: [140, 80, 60]}, [0, 5, 10], max_steps=40, schedule=schedule)
    verdict = only(tmp_path, waiting=lambda _: 3)
    assert verdict.so_far == "so far, step 10 of 40; 3 checkpoints wait"
    assert (verdict.end, verdict.claims, verdict.dips) == ("cannot tell", (), (5, 10))
    assert "anytime-valid" in verdict.sentence()
    point = verdict.points[2]
    # Wider than an interval for one look.
    assert point.change_high - point.change_low > 2 * 1.96 * math.sqrt(0.24 / 200)
    for step in (20, 40):
        add_results(run, step, [graded(MATH, step, 140)], seconds=1.0)
    assert (only(tmp_path).so_far, only(tmp_path).end) == ("", "recovered")


def test_a_training_that_ended_early_is_at_its_end(tmp_path: Path) -> None:
    made_run(tmp_path, {MATH: [140, 80, 140]}, [0, 5, 10], max_steps=40)
    assert only(tmp_path).so_far
    (tmp_path / "training.json").write_text('{"ended": 10}')
    assert (only(tmp_path).so_far, only(tmp_path).end) == ("", "recovered")


# ------------------------------------------------------------------------------ the command


def _run(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made_run(tmp_path / "run", {MATH: [140, 80, 140], "sftgen_=1|&": [140, 140, 180]}, [0, 5, 10])
    return tmp_path / "run"


def test_the_printed_table(run: Path) -> None:
    text = " ".join(_run("trajectory", str(run)).split())
    assert "recovered" in text
    assert "above base" in text
    assert "-0.300" in text
    assert "0.0002" in text


def test_tables_for_papers(run: Path) -> None:
    lines = _run("trajectory", str(run), "--format", "markdown").strip().splitlines()
    assert lines[:3] == ["**What became of the scores**", "", lines[2]]
    assert lines[2].startswith("| task | n | dips at |")
    assert lines[6] == ""  # two tasks
    assert any(r"=1\|&" in line for line in lines)
    latex = _run("trajectory", str(run), "--format", "latex", "--tasks", "math500")
    assert r"\begin{tabular}" in latex
    assert "=1" not in latex
    assert r"\&" in _run("trajectory", str(run), "--format", "latex")


def test_tables_for_programs(run: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(_run("trajectory", str(run), "--format", "csv"))))
    assert [row["step"] for row in rows if row["task"] == MATH] == ["0", "5", "10"]
    assert float(rows[-1]["p_paired"]) <= 1
    _run("trajectory", str(run), "--format", "parquet", "--out", str(tmp_path / "v.parquet"))
    table = pq.read_table(tmp_path / "v.parquet").to_pylist()
    assert [row["change"] for row in table] == pytest.approx([float(row["change"]) for row in rows])
    [told] = json.loads(_run("trajectory", str(run), "--format", "json"))
    assert {task["end"] for task in told["tasks"]} <= WORDS.keys()
    assert told["tasks"][1]["p"]["dips"] == pytest.approx(1 / 4001)


def test_several_runs_are_named(run: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "other", {MATH: [140, 140]}, [0, 5])
    head, *rows = csv.reader(io.StringIO(_run("trajectory", str(run), str(tmp_path / "other"), "--format", "csv")))
    assert len({row[head.index("run")] for row in rows}) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xml"], "format 'xml': expected one of table, json"),
        (["--format", "parquet"], "name a file with --out"),
        (["--out", "x"], "--out goes with --format json"),
        (["--delta", "2"], "'2' is not a number from 0 to 1"),
        (["--delta", "math500=0.1,x"], "expected a number, then TASK=NUMBER"),
        (["--delta", "=0.1"], "expected a number, then TASK=NUMBER"),
    ],
)
def test_mistakes_are_told_in_one_line(run: Path, options: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["trajectory", str(run), *options])
    assert said in str(found.exception)


def test_a_run_without_steps_and_a_folder_that_is_none(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {}, [])
    add_results(run, None, [graded(MATH, None, 10, of=20)], seconds=1.0)
    assert read(run.path).tasks == ()
    found = CliRunner().invoke(app, ["trajectory", str(tmp_path / "none")])
    assert "not a run directory" in str(found.exception)


def test_a_watched_training_whose_end_nobody_knows_says_so(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 80, 60]}, [0, 5, 10], evaluation="watch")
    [found] = trajectory(run.path)
    [caution] = found.cautions
    assert caution.startswith("the end of the training is not known: step 10 is taken for it")
    assert found.tasks[0].end == "not recovered"
    assert any(caution in line for line in compare([run.path]).cautions)
    policy = tmp_path / "policy.yaml"
    policy.write_text("benchmarks:\n  math500: {tier: critical, max_drop: 0.02, min_pairs: 100}\n")
    assert caution in gate(policy, run.path).benchmarks[0].cautions
    # A watcher that knows the end: the same steps are so far, with intervals for all steps that may come.
    run.update_manifest(max_steps=40)
    [found] = trajectory(run.path)
    assert found.tasks[0].so_far == "so far, step 10 of 40"
    assert not found.cautions
    run.update_manifest(max_steps=10)
    [found] = trajectory(run.path)
    assert (found.tasks[0].so_far, found.tasks[0].end, found.cautions) == ("", "not recovered", ())
