"""What changed from the first step to the last: against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from sftgen_judges import Measure
from sftgen_train.diagnosing.course import change_of, course_of
from sftgen_train.results.diagnosed import Numbers, metrics_of

X = Measure("x", "x")
RATE = Measure("x", "x in 1,000 words", per="words", scale=1000)


def numbers(documents: int, repeats: int = 1, size: int = 1, **values: np.ndarray) -> Numbers:
    """Values of documents x repeats; documents of one source stand together."""
    names = np.repeat([f"d{n:04}" for n in range(documents)], repeats).astype(object)
    sources = np.repeat([f"s{n // size}" for n in range(documents)], repeats).astype(object)
    return Numbers(names, sources, {name: of.reshape(-1).astype(float) for name, of in values.items()})


def test_a_change_is_shown_as_often_as_it_should_be() -> None:
    rng = np.random.default_rng(0)
    false, found = 0, 0
    for _ in range(400):
        ability = rng.normal(size=80)
        before, same = (numbers(80, x=ability + rng.normal(size=80)) for _ in range(2))
        after = numbers(80, x=ability + rng.normal(size=80) + 0.6)
        for other, hit in ((same, "false"), (after, "found")):
            change = change_of(X, before, other)
            assert change
            if hit == "false":
                false += change.p < 0.05
            else:
                found += change.p < 0.05
    assert 0.02 <= false / 400 <= 0.085
    assert found / 400 > 0.85


def test_documents_that_share_a_source_count_together() -> None:
    rng = np.random.default_rng(1)
    naive, right = 0, 0
    for _ in range(200):
        shared = np.repeat(rng.normal(size=12), 10)
        before, after = np.zeros(120), shared + 0.3 * rng.normal(size=120)
        apart, together = (change_of(X, numbers(120, size=s, x=before), numbers(120, size=s, x=after)) for s in (1, 10))
        assert apart
        assert together
        naive += apart.p < 0.05
        right += together.p < 0.05
    assert right / 200 < 0.11
    assert naive / 200 > 0.4


def test_a_rate_is_a_ratio_of_sums_and_its_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(2)
    held, false = 0, 0
    for _ in range(200):
        words = rng.integers(100, 2000, size=(2, 60, 2))
        found = [numbers(60, repeats=2, x=rng.poisson(words[step] * 0.01), words=words[step]) for step in (0, 1)]
        [metric] = metrics_of([RATE], found[0])
        assert metric.value == pytest.approx(1000 * found[0].values["x"].sum() / words[0].sum())
        assert metric.low is not None
        assert metric.high is not None
        held += metric.low <= 10 <= metric.high
        change = change_of(RATE, *found)
        assert change
        false += change.p < 0.05
    assert held / 200 > 0.9
    assert false / 200 < 0.1


@pytest.mark.parametrize(
    ("before", "after", "sentence", "certainty"),
    [
        ([1.0] * 8, [2.0] * 8, "From step 0 to 9 x rose from 1 to 2 (p = .008).", "clear"),
        ([1.0] * 8, [1.0] * 8, "No change of x is shown from step 0 to 9.", "unclear"),
        ([1.0] * 4, [2.0] * 4, "Steps 0 and 9 share too few documents to compare d.", "cannot tell"),
        ([1.0, 5.0] * 4, [5.0, 1.0] * 4, "No change of x is shown from step 0 to 9.", "unclear"),
    ],
)
def test_what_is_said(before: list[float], after: list[float], sentence: str, certainty: str) -> None:
    steps = {step: numbers(len(of), x=np.array(of)) for step, of in ((0, before), (9, after))}
    found = course_of("d", [X], steps, task="t", measured_on="m")
    assert (found.sentence, found.certainty) == (sentence, certainty)


def test_one_step_and_steps_without_common_documents_cannot_tell() -> None:
    alone = course_of("d", [X], {0: numbers(8, x=np.ones(8))}, task="t", measured_on="m")
    assert alone.certainty == "cannot tell"
    assert alone.sentence == "d was measured at one step only, so that no change can be told; x 1."
    other = numbers(8, x=np.ones(8))
    apart = {0: numbers(8, x=np.zeros(8)), 9: Numbers(other.documents + "x", other.clusters, other.values)}
    assert course_of("d", [X], apart, task="t", measured_on="m").certainty == "cannot tell"
    missing = {step: numbers(8, x=np.full(8, np.nan)) for step in (0, 9)}
    assert course_of("d", [X], missing, task="t", measured_on="m").metrics == ()


def test_a_share_that_all_documents_have_has_an_interval_of_so_many_clusters() -> None:
    share = Measure("x", "x", share=True)
    [apart], [together] = (metrics_of([share], numbers(20, size=size, x=np.ones(20))) for size in (1, 5))
    assert (apart.value, apart.high, together.high) == (1, 1, 1)
    assert apart.low == pytest.approx(0.839, abs=1e-3)
    assert together.low == pytest.approx(0.510, abs=1e-3)
