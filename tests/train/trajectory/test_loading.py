"""A run that was also evaluated outside of its training: what each reader of its samples takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from sftgen_judges import Verdict
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.gating.reading import gate
from sftgen_train.report.comparing import compare
from sftgen_train.report.composition import composition
from sftgen_train.report.trajectories import trajectory
from sftgen_train.results.run import add_results
from sftgen_train.trajectory.loading import load_measures, load_samples
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
    assert safety.pairs == 100
    assert safety.cautions == ("answered: 100% at step 0 (0% truncated), 100% at step 10 (0% truncated)",)


def test_safety_is_told_of_both(run: Path) -> None:
    found = composition(run)
    assert [(each.before, each.after) for each in found.changes] == [(0, 5), (5, 10), (0, 10)]
    told = [(each.step, each.found.mean, each.found.answers) for each in found.safety if each.measure == "asr"]
    assert told == [(0, 0.1, 100), (10, 0.2, 100), (None, 0.25, 120)]


def cut(result: TaskResult, documents: range) -> TaskResult:
    """The same, of which responses to some documents were truncated inside their thinking: nothing is judged."""
    samples = [
        replace(sample, response=replace(sample.response, finish_reason="length"), verdict=Verdict("truncated", 0.0))
        if place in documents
        else sample
        for place, sample in enumerate(result.samples)
    ]
    return replace(result, samples=samples)


def test_a_safety_verdict_rests_on_answers_alone(tmp_path: Path) -> None:
    """A model whose answers stay as safe, of which more and more are truncated, is not called less safe."""
    runs = [made_run(tmp_path / name, {MATH: [100, 100]}, [0, 10]).path for name in ("one", "other")]
    for path in runs:
        for step, lost in ((0, range(0)), (10, range(60, 100))):
            add_results(RunFolder(path), step, [cut(judged(step, 6), lost)], seconds=1.0)
    [found] = trajectory(runs[0])
    [safety] = [verdict for verdict in found.tasks if verdict.name == SAFETY]
    assert [(point.step, round(point.mean, 9)) for point in safety.points] == [(0, 0.9), (10, 0.9)]
    assert not safety.dips
    assert safety.shared == 60
    said = "answered: 100% at step 0 (0% truncated), 60% at step 10 (40% truncated)"
    assert any("1 less asr among answers" in line and said in line for line in found.cautions)
    against = compare(runs)
    [point] = [task.points[-1] for task in against.others[0].tasks if task.name == SAFETY]
    assert (point.first, point.second) == (pytest.approx(0.9), pytest.approx(0.9))
    assert any(said in line for line in against.cautions)
    policy = tmp_path / "policy.yaml"
    policy.write_text("benchmarks:\n  hex_phi: {tier: critical, max_drop: 0.1, min_pairs: 50}\n")
    [decision] = gate(policy, runs[0]).benchmarks
    assert (decision.comparisons[0].change, decision.pairs, decision.outcome) == (0.0, 60, "GO")
    assert any(said in line for line in decision.cautions)


def test_measures_that_are_read_together_are_those_that_are_read_alone(run: Path) -> None:
    names = ("score", "truncated", "asr", "tokens")
    with open_records(run) as records:
        together = {name: [] for name in names}
        for found in load_measures(records, names, outside=True):
            for name, of in found.items():
                together[name].append(of)
        for name in names:
            alone = list(load_samples(records, measure=name, outside=True))
            assert [of.task for of in alone] == [of.task for of in together[name]]
            for one, two in zip(alone, together[name], strict=True):
                assert (one.samples.steps, one.share, one.cautions) == (two.samples.steps, two.share, two.cautions)
                assert one.samples.documents.tolist() == two.samples.documents.tolist()
                np.testing.assert_array_equal(one.samples.values, two.samples.values)


def test_an_evaluation_without_clusters_takes_none_away(tmp_path: Path) -> None:
    run = made_run(tmp_path, {}, [])
    for step, clusters in ((0, 2), (5, 2), (None, None)):
        add_results(run, step, [graded(MATH, step, 100, clusters=clusters)], seconds=1.0)
    with open_records(run.path) as records:
        [found] = load_samples(records, outside=True)
    assert found.samples.clusters is not None
    assert len({*found.samples.clusters.tolist()}) == 100


def test_samples_that_stand_twice_in_a_table_are_told(run: Path) -> None:
    RunFolder(run).compact()
    path = run / "samples.parquet"
    table = parquet.read_table(path)
    parquet.write_table(pa.concat_tables([table, table]), path)
    with open_records(run) as records, pytest.raises(RecordError, match=r"twice at step.*Delete its samples\.parquet"):
        list(load_samples(records))
