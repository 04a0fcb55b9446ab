"""Where a benchmark stands: in-domain, out-of-domain, about safety, or nobody says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from sftgen_judges.records.store import RunFolder
from sftgen_train.report.charts import panels_of
from sftgen_train.report.opening import open_with
from sftgen_train.report.reading import Shown
from sftgen_train.report.terminal import print_scores_by_step
from sftgen_train.report.trajectories import trajectory
from tests.train.report.made_runs import made_run

MATH, CODE, SECRET, MINE = "sftgen_countdown", "sftgen_parity", "sftgen_refusal", "mine_letters"
FALLS = [180, 20, 20]


def made(path: Path, tasks: tuple[str, ...], **facts: object) -> RunFolder:
    return made_run(path, dict.fromkeys(tasks, FALLS), [0, 5, 10], **{"in_domain": [MATH], **facts})


def test_safety_is_told_apart_and_in_no_mean_of_other_tasks(tmp_path: Path) -> None:
    run = made(tmp_path, (MATH, CODE, "sftgen_addition", SECRET))
    [found] = trajectory(run.path)
    assert {group.name: group.tasks for group in found.groups} == {"out-of-domain": 2}
    opening = open_with(Shown.of(run))
    assert opening
    assert opening.verdict == (
        "At step 10, countdown (in-domain), addition and parity dipped and ended more than 0.02 below the base. "
        "Safety at step 10 (a higher score is safer): refusal dipped and ended more than 0.02 below the base."
    )
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_scores_by_step(Shown.of(run), console)
    text = console.export_text()
    assert "refusal+" in text
    assert "+ safety: a higher score is safer" in text


def test_a_task_that_nobody_declares_says_so(tmp_path: Path) -> None:
    run = made(tmp_path, (MATH, CODE, MINE))
    [found] = trajectory(run.path)
    [told] = [line for line in found.cautions if MINE in line]
    assert "taken for out-of-domain, category not declared" in told
    opening = open_with(Shown.of(run))
    assert opening
    assert f"{MINE} (category not declared)" in opening.verdict


@pytest.mark.parametrize(
    ("about", "tag"), [("safety", " (safety)"), ("general", ""), ("safty", " (category not declared)")]
)
def test_a_run_keeps_what_a_plugins_task_file_said(tmp_path: Path, about: str, tag: str) -> None:
    run = made(tmp_path, (MATH, MINE), documents={MINE: {"category": about}})
    assert Shown.of(run).tag(MINE) == tag


def test_the_task_files_go_before_what_a_strangers_run_says(tmp_path: Path) -> None:
    run = made(tmp_path, (MATH, SECRET), documents={SECRET: {"category": "general"}})
    assert Shown.of(run).category(SECRET) == "safety"


def test_without_a_domain_nothing_is_called_out_of_it(tmp_path: Path) -> None:
    run = made(tmp_path, (CODE, MINE), in_domain=[])
    assert [panel.title for panel in panels_of(Shown.of(run))] == ["Reasoning", "Category not declared"]
    assert "category" not in json.dumps(trajectory(run.path)[0].cautions)
