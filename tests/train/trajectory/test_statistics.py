"""Intervals and comparisons, held against independent formulas and against simulation."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from math import isinf, isnan, sqrt
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from sftgen_judges import Response, Sample, Verdict
from sftgen_tasks import TaskResult
from sftgen_tasks.harness.aggregation import ratio
from sftgen_train.results.run import estimate_rows
from sftgen_train.trajectory.simulation import Design, draw
from sftgen_train.trajectory.statistics import estimate, holm

# ------------------------------------------------------------------------------ intervals


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (0, 1), (1, 1), (37, 100), (421, 500)])
def test_right_or_wrong_gets_wilsons_interval(right: int, n: int, level: float) -> None:
    found = estimate([1.0] * right + [0.0] * (n - right), level)
    expected = stats.binomtest(right, n).proportion_ci(level, method="wilson")
    assert (found.mean, found.n) == (right / n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_repeats_do_not_count_as_documents() -> None:
    # Three repeats that always agree tell no more than one; repeats that differ tell more.
    once = estimate([1.0] * 30 + [0.0] * 20)
    agreeing = estimate([fmean([value] * 3) for value in [1.0] * 30 + [0.0] * 20])
    assert (agreeing.low, agreeing.high) == pytest.approx((once.low, once.high))
    differing = estimate([2 / 3] * 40 + [1 / 3] * 10)
    assert differing.mean == pytest.approx(once.mean)
    assert differing.high - differing.low < once.high - once.low


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.5], [0.5] * 20, [0.0] * 20, [1.0] * 20, [1 / 3] * 7])
def test_equal_values_still_leave_doubt(values: list[float]) -> None:
    found = estimate(values)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0.1


@pytest.mark.parametrize(("parts", "n"), [(1, 1), (0, 1), (1, 20), (0, 20)])
def test_equal_documents_leave_doubt_about_what_is_no_mean_too(parts: int, n: int) -> None:
    found = estimate([(parts, 2)] * n, aggregation=ratio)
    limit = stats.binomtest(0, n).proportion_ci(0.95).high  # exact: what may differ where none of n does
    assert (found.mean, found.low) == pytest.approx((parts / 2, parts / 2 * (1 - limit)))
    assert found.high == pytest.approx(parts / 2 + (1 - parts / 2) * limit)
    assert isinf(estimate([(3.0, 1.0)], share=False, aggregation=ratio).high)


def test_a_number_that_no_document_has_is_none() -> None:
    found = estimate([(0, 0)] * 3, aggregation=ratio)
    assert isnan(found.mean)
    assert isnan(found.low)


def test_an_interval_stays_within_the_scale_and_holds_the_mean() -> None:
    rng = random.Random(0)
    for _ in range(300):
        values = [rng.choice([0, 1 / 3, 2 / 3, 1, rng.random()]) for _ in range(rng.randint(1, 40))]
        found = estimate(values)
        assert 0 <= found.low <= found.mean <= found.high <= 1


@pytest.mark.parametrize(
    ("n", "ability", "spread"), [(50, 0.5, 0.3), (200, 0.7, 0.3), (500, 0.85, 0.35), (200, 0.1, 0.2)]
)
def test_the_interval_of_an_average_of_three_covers_the_truth(n: int, ability: float, spread: float) -> None:
    """Documents have abilities from a beta distribution, each is answered three times."""
    rng = random.Random(f"{n}-{ability}")
    strength = ability * (1 - ability) / spread**2 - 1
    a, b = ability * strength, (1 - ability) * strength

    def draw() -> list[float]:
        abilities = [rng.betavariate(a, b) for _ in range(n)]
        return [fmean(rng.random() < p for _ in range(3)) for p in abilities]

    runs = 800
    covered = sum(found.low <= ability <= found.high for found in (estimate(draw()) for _ in range(runs)))
    # Four standard errors of the simulation itself.
    assert covered / runs == pytest.approx(0.95, abs=4 * sqrt(0.95 * 0.05 / runs))


@pytest.mark.parametrize(("n", "repeats"), [(3, 3), (5, 10), (10, 3), (30, 10)])
def test_the_interval_of_a_few_documents_covers_the_truth(n: int, repeats: int) -> None:
    """Three documents that agree by chance do not make the interval of one."""
    rng = np.random.default_rng([n, repeats])
    runs = 100
    held = [
        found.low <= base <= found.high
        for base in (0.1, 0.3, 0.5, 0.7, 0.9)
        for found in (estimate(draw(rng, Design("", n, repeats, base), (0.0,))[:, 0].tolist()) for _ in range(runs))
    ]
    # With few answers there are few means, so no rule is near 95 % everywhere: it may hold more often, never less.
    assert fmean(held) >= 0.95 - 3 * sqrt(0.95 * 0.05 / len(held))
    assert fmean(held) <= 0.995


def test_logits_are_told_apart_by_the_metric() -> None:
    # Logits that happen to lie between 0 and 1 are no shares.
    logits = [0.2, 0.7, 0.4, 0.9]
    found = estimate(logits, share=False)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, fmean(logits), stdev(logits) / 2))
    assert estimate(logits).low > found.low
    samples = [
        Sample(
            "sftgen_alpaca_eval",
            0,
            str(n),
            0,
            Response("x"),
            Verdict("ok", value),
            scorer="reward",
            evaluation_version=1,
        )
        for n, value in enumerate(logits)
    ]
    values = {"score": logits, "truncated": [0.0] * 4, "reward_skywork": logits}
    result = TaskResult("sftgen_alpaca_eval", values, 4, samples)  # type: ignore[arg-type]
    rows = {row["metric"]: row for row in estimate_rows(0, result, {"run": "r", "evaluated_at": "t"})}
    assert (rows["score"]["low"], rows["score"]["high"]) == pytest.approx((found.low, found.high))
    assert rows["reward_skywork"]["low"] == pytest.approx(found.low)
    assert rows["truncated"]["high"] > 0.1
    exact = replace(result, samples=[replace(sample, scorer="exact") for sample in samples])
    rows = {row["metric"]: row for row in estimate_rows(0, exact, {"run": "r", "evaluated_at": "t"})}
    assert rows["score"]["low"] == pytest.approx(estimate(logits).low)


def test_symmetric_numbers_get_students_interval() -> None:
    lengths = [-3.0, -1.0, 0.0, 1.0, 3.0]
    found = estimate(lengths, share=False)
    expected = stats.t.interval(0.95, 4, loc=fmean(lengths), scale=stdev(lengths) / sqrt(5))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.mean == fmean(lengths)


def test_the_mean_of_a_few_lengths_allows_for_their_long_tail() -> None:
    random, runs, truth = np.random.default_rng(0), 500, np.exp(0.8**2 / 2)
    held = np.zeros(2)
    for values in random.lognormal(0, 0.8, (runs, 30)):
        found, student = estimate(values, share=False), stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
        assert found.high - found.mean > found.mean - found.low or stats.skew(values) < 0.1
        held += [found.low <= truth <= found.high, student[0] <= truth <= student[1]]
    bent, plain = held / runs
    assert bent >= 0.9
    assert bent > plain + 0.005


def test_one_length_says_nothing_of_the_others() -> None:
    found = estimate([120.0])
    assert (found.mean, found.low, found.high) == (120.0, -math.inf, math.inf)


def test_equal_lengths() -> None:
    found = estimate([8.0] * 5)
    assert (found.low, found.mean, found.high) == (8.0, 8.0, 8.0)


def test_no_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    """Prompts with one to three instructions, easier ones with more of them: counted by instruction."""
    rng = random.Random(0)

    def draw() -> list[list[float]]:
        rows = []
        for _ in range(120):
            asked = rng.randint(1, 3)
            rows.append([float(sum(rng.random() < 0.4 + 0.15 * asked for _ in range(asked))), float(asked)])
        return rows

    truth = sum(asked * (0.4 + 0.15 * asked) for asked in (1, 2, 3)) / 6
    runs = 150
    found = [estimate(draw(), aggregation=ratio) for _ in range(runs)]
    covered = sum(one.low <= truth <= one.high for one in found)
    assert covered / runs == pytest.approx(0.95, abs=4 * sqrt(0.95 * 0.05 / runs))


# ------------------------------------------------------------------------------ several comparisons


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        # By hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 not below the one before it.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.5, 0.6, 0.9], [1.0, 1.0, 1.0]),
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_keeps_the_chance_of_any_false_claim() -> None:
    rng = random.Random(0)
    runs = 4000
    false = sum(min(holm([rng.random() for _ in range(8)])) <= 0.05 for _ in range(runs))
    assert false / runs <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)
