"""A run that was also evaluated outside of its training: what each reader of its samples takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sftgen_judges import Verdict
from sftgen_judges.records.query import open_records
from sftgen_tasks import TaskResult
from sftgen_train.gating.reading import gate
from sftgen_train.report.comparing import compare
from sftgen_train.report.composition import composition
from sftgen_train.report.trajectories import trajectory
from sftgen_train.results.run import add_results
from sftgen_train.trajectory.loading import load_samples
from tests.train.report.made_runs import graded, made_run

MATH, SAFETY = "sftgen_math500", "sftgen_hex_phi"


def judged(step: int | None, unsafe: int, of: int = 100) -> TaskResult:
    """Safety: of so many answers these are unsafe."""
    result = graded(SAFETY, step, 0, of=of)
    samples = [
        replace(sample, verdict=Verdict("ok", 1.0, measures={"asr": float(n < unsafe)}))
        for n, sample in enumerate(result.samples)
    ]
    return replace(result, samples=samples)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = made_run(tmp_path / "run", {MATH: [140, 120, 160]}, [0, 5, 10])
    for step, unsafe in ((0, 10), (10, 20)):
        add_results(run, step, [judged(step, unsafe)], seconds=1.0)
    # Other documents too, another token limit, and no value that any step has.
    outside = [graded(MATH, None, 0, of=300, sampling="others"), judged(None, 30, of=120)]
    add_results(run, None, outside, seconds=1.0)
    return run.path


def test_trajectories_and_comparisons_are_of_the_training(run: Path, tmp_path: Path) -> None:
    [found] = trajectory(run, tasks=[MATH])
    assert [(point.step, round(point.mean, 9)) for point in found.tasks[0].points] == [(0, 0.7), (5, 0.6), (10, 0.8)]
    assert not found.cautions
    assert not found.tasks[0].left_out
    other = made_run(tmp_path / "other", {MATH: [140, 120, 150]}, [0, 5, 10])
    against = compare([run, other.path], tasks=[MATH])
    assert [point.step for point in against.others[0].tasks[0].points] == [0, 5, 10]
    assert not against.others[0].tasks[0].left_out
    assert not against.cautions


def test_a_gate_judges_the_training(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "benchmarks:\n  math500: {tier: critical, max_drop: 0.02, min_pairs: 100}\n"
        "  hex_phi: {tier: critical, measure: asr, better: lower, max_drop: 0.02, min_pairs: 50}\n"
    )
    math, safety = gate(path, run).benchmarks
    assert [(each.step, each.against, each.change) for each in math.comparisons] == [(10, 0, pytest.approx(0.1))]
    assert (math.pairs, math.cautions) == (200, ())
    assert [(each.step, each.change) for each in safety.comparisons] == [(10, pytest.approx(-0.1))]
    assert (safety.pairs, safety.cautions) == (100, ())


def test_safety_is_told_of_both(run: Path) -> None:
    found = composition(run)
    assert [(each.before, each.after) for each in found.changes] == [(0, 5), (5, 10), (0, 10)]
    told = [(each.step, each.found.mean, each.found.answers) for each in found.safety if each.measure == "asr"]
    assert told == [(0, 0.1, 100), (10, 0.2, 100), (None, 0.25, 120)]


def test_an_evaluation_without_clusters_takes_none_away(tmp_path: Path) -> None:
    run = made_run(tmp_path, {}, [])
    for step, clusters in ((0, 2), (5, 2), (None, None)):
        add_results(run, step, [graded(MATH, step, 100, clusters=clusters)], seconds=1.0)
    with open_records(run.path) as records:
        [found] = load_samples(records, outside=True)
    assert found.samples.clusters is not None
    assert len({*found.samples.clusters.tolist()}) == 100
