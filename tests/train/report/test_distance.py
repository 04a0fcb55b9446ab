"""`sftgen distance`, and what a report opens with where the base is not near its published scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import app
from sftgen_train.report.distance import DistanceError, distances
from sftgen_train.results.run import add_results
from sftgen_train.trajectory import reference as published
from tests.train.report.made_runs import graded

MATH, GPQA = "sftgen_math500", "sftgen_gpqa_diamond"


def run_of(path: Path, steps: Mapping[int | None, Mapping[str, tuple[int, int]]], model: str) -> RunFolder:
    """A run with so many of so many right by the paper's rule, and none by ours."""
    run = RunFolder(path)
    run.update_manifest(model=model, in_domain=[])
    for step, tasks in steps.items():
        results = []
        for task, (right, of) in tasks.items():
            result = graded(task, step, 0, of=of)
            results.append(
                replace(result, values={**result.values, "score_paper": [float(n < right) for n in range(of)]})
            )
        add_results(run, step, results, seconds=1.0)
    return run


def test_a_base_near_its_published_scores(tmp_path: Path) -> None:
    run_of(tmp_path, {0: {MATH: (350, 500), GPQA: (30, 198)}}, "Qwen/Qwen3-4B-Base")
    found = distances(tmp_path)
    assert (found.model, found.opening) == ("Qwen3-4B", "")
    math, gpqa = found.found
    assert (math.benchmark, math.rule, math.step, math.inside) == ("math500", "paper", 0, True)
    assert (math.ours, math.published, math.difference) == pytest.approx((0.7, 0.708, -0.008))
    # The error of 500 answers, right with .708.
    assert math.published_error == pytest.approx((0.708 * 0.292 / 500) ** 0.5)
    assert gpqa.published == 0.146


def test_a_base_that_is_far_opens_the_report(tmp_path: Path) -> None:
    run_of(tmp_path, {0: {MATH: (250, 500), GPQA: (30, 198)}}, "Qwen/Qwen3-4B-Base")
    shown = CliRunner().invoke(app, ["report", str(tmp_path)], env={"COLUMNS": "500"})
    assert shown.stdout.startswith(
        "the base model is not near its published scores: math500 0.500 against 0.708. Find out why"
    )
    _, first, *_ = (tmp_path / "report.html").read_text().split("<section")
    assert "the base model is not near its published scores: math500 0.500 against 0.708" in first
    asked = CliRunner().invoke(app, ["distance", str(tmp_path), "--json"])
    math, gpqa = json.loads(asked.stdout)["found"]
    assert (math["inside"], gpqa["inside"]) == (False, True)


def test_later_steps_are_compared_where_the_data_is_named(tmp_path: Path) -> None:
    steps = {0: {MATH: (354, 500)}, 40: {MATH: (100, 160)}, 41: {MATH: (100, 160)}}
    run_of(tmp_path, steps, "/models/Qwen3-4B-Base/")
    assert [each.step for each in distances(tmp_path).found] == [0]
    base, later = distances(tmp_path, data="Math-CoT").found
    assert (later.step, later.data, later.published) == (40, "Math-CoT", 0.715)
    assert later.differs == ("160 documents, published 500",)
    table = CliRunner().invoke(app, ["distance", str(tmp_path), "--data", "Math-CoT"], env={"COLUMNS": "250"})
    assert "160 documents, published 500" in table.stdout
    assert "arXiv 2604.06628" in table.stdout
    with pytest.raises(DistanceError, match="expected one of Math-CoT, Math-NoCoT"):
        distances(tmp_path, data="Math")
    assert base.inside


def test_two_published_values_and_doubts(tmp_path: Path) -> None:
    run_of(tmp_path, {None: {GPQA: (83, 198)}}, "somewhere/else")
    with pytest.raises(DistanceError, match="nothing is published of it"):
        distances(tmp_path)
    with pytest.raises(DistanceError, match="did you mean 'Qwen3-14B'"):
        distances(tmp_path, model="Qwen3-14")
    [gpqa] = distances(tmp_path, model="qwen3-14b").found
    # Two tables disagree on this cell; the nearer counts.
    assert (gpqa.published, gpqa.others, gpqa.step) == (0.418, (0.441,), 0)


def test_the_facts_are_whole() -> None:
    assert published.model_of("internlm/internlm2_5-20b") == "InternLM2.5-20B"
    assert published.model_of("Qwen/Qwen3-4B-Instruct") is None
    benchmarks = published.benchmarks()
    assert published.values("Qwen3-1.7B", "Math-CoT", 40, benchmarks["math500"]) == (0.429,)
    assert published.values("Qwen3-14B", "base", 0, benchmarks["alpaca_eval_rb2"]) == (0.53,)
    assert [name for name, of in benchmarks.items() if of.has("sftgen_mmlu_pro_law")] == ["mmlu_pro"]
    assert not benchmarks["mmlu_pro"].has("sftgen_mmlu_pro_full_law")
    suspect = published.distance(
        "Qwen3-1.7B", "Math-CoT", 640, benchmarks["ifeval"], ours=0.3, error=0.02, rule="paper", metric="m"
    )
    assert suspect
    assert "suspect" in suspect.doubt
