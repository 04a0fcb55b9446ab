"""Landmarks of one curve, and what reasoning costs in safety."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from sftgen_train.trajectory import align
from sftgen_train.trajectory.flips import rows_of
from sftgen_train.trajectory.landmarks import MEANINGS, landmarks
from sftgen_train.trajectory.pairing import Pair, Samples, pair
from sftgen_train.trajectory.resampling import MOST, resample
from sftgen_train.trajectory.tradeoff import tradeoff
from sftgen_train.trajectory.tradeoff_arms import compare_tradeoffs


def curve(shares: list[float], documents: int = 200, seed: int = 0) -> np.ndarray:
    ease = np.random.default_rng(seed).random((documents, len(shares)))
    return (ease < np.asarray(shares)).astype(float)


def test_every_landmark_of_a_curve() -> None:
    values = np.zeros((10, 5))
    for step, right in enumerate([5, 2, 4, 5, 8]):
        values[:right, step] = 1
    cut = np.zeros((10, 5))
    cut[:7, 1] = 1
    found = {mark.name: mark for mark in landmarks(align(values, [0, 1, 3, 7, 15]), truncated=cut)}
    assert list(found) == list(MEANINGS)
    numbers = {name: mark.seen.value for name, mark in found.items() if mark.distribution is None}
    # log2(1 + step) is 0, 1, 2, 3, 4.
    area = (0.5 / 2 + 0.2 + 0.4 + 0.5 + 0.8 / 2) / 4
    expected = {"dip depth": -0.3, "peak": 0.8, "end": 0.8, "area": area, "peak truncation": 0.7}
    assert numbers == pytest.approx(expected)
    assert (found["dip step"].step, found["back at"].step, found["peak step"].step) == (1, 7, 15)
    distribution = found["dip step"].distribution
    assert distribution
    assert sum(distribution.values()) == pytest.approx(1)
    assert distribution[1] > 0.8
    assert None in distribution


def test_without_a_dip_there_is_no_dip_step_and_without_a_base_nothing_of_it() -> None:
    rising = landmarks(align(curve([0.2, 0.5, 0.9]), [0, 5, 10]))
    steps = {mark.name: mark.step for mark in rising}
    assert (steps["dip step"], steps["back at"], steps["peak step"]) == (None, None, 10)
    later = landmarks(align(curve([0.2, 0.5, 0.9]), [5, 10, 20]))
    assert [mark.name for mark in later] == ["peak", "peak step", "end", "area"]


@pytest.mark.parametrize("values", [np.ones((20, 3)), np.zeros((1, 3)), np.ones((5, 1))])
def test_where_nothing_differs_there_is_no_interval(values: np.ndarray) -> None:
    for mark in landmarks(align(values, range(values.shape[1]))):
        assert np.isnan(mark.seen.low)
        assert np.isnan(mark.seen.high)


def test_intervals_of_landmarks_hold_the_truth() -> None:
    runs, inside = 150, []
    shares = [0.5, 0.3, 0.35, 0.5, 0.65]
    for seed in range(runs):
        found = {mark.name: mark.seen for mark in landmarks(align(curve(shares, 60, seed), range(5)), draws=300)}
        truth = {"dip depth": -0.2, "peak": 0.65, "end": 0.65}
        inside.append([found[name].low <= value <= found[name].high for name, value in truth.items()])
    assert np.mean(inside, axis=0).min() >= 0.95 - 3 * sqrt(0.95 * 0.05 / runs)


def test_documents_of_a_cluster_are_drawn_together() -> None:
    values = np.repeat([[0.0], [1.0]], 50, axis=0)
    found = resample(rows_of(values, np.repeat([0, 1], 50)), draws=200)
    assert set(found.means[:, 0]) == {0.0, 0.5, 1.0}


def test_many_documents_are_drawn_in_blocks_with_the_same_spread() -> None:
    values = np.random.default_rng(0).random((MOST + 5_000, 1))
    found = resample(rows_of(values), draws=300)
    assert found.means.std() == pytest.approx(values.std() / sqrt(len(values)), rel=0.15)
    assert found.means.mean() == pytest.approx(values.mean(), abs=1e-3)


# ------------------------------------------------------------------------------ safety against reasoning


def test_the_price_of_reasoning_and_the_region_hold_the_truth() -> None:
    runs, prices, regions = 150, [], []
    for seed in range(runs):
        reasoning = [align(curve([0.4, 0.6], 100, 3 * seed + task), [0, 10]) for task in range(2)]
        safety = align(curve([0.1, 0.3], 150, 3 * seed + 2), [0, 10])
        found = tradeoff(reasoning, safety, draws=300, seed=seed)
        prices.append(found.low <= 1.0 <= found.high)
        point = found.points[1]
        apart = np.asarray([0.2 - point.gain, 0.3 - point.asr])
        regions.append(apart @ np.linalg.inv(point.region) @ apart <= point.radius**2)
    least = 0.95 - 3 * sqrt(0.95 * 0.05 / runs)
    assert np.mean(prices) >= least
    assert np.mean(regions) >= least


def test_without_a_gain_there_is_no_price() -> None:
    found = tradeoff([align(curve([0.5, 0.5]), [0, 5])], align(curve([0.1, 0.4]), [0, 5]))
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert "not shown to differ from 0" in found.why
    point = found.points[1]
    assert np.abs(point.outline().mean(axis=0) - [point.gain, point.asr]).max() < 0.01
    with pytest.raises(ValueError, match="expected the base, step 0"):
        tradeoff([align(curve([0.5, 0.5]), [5, 10])], align(curve([0.1, 0.4]), [5, 10]))


def two_arms(shares: tuple[list[float], list[float]], documents: int, seed: int, *, same: bool = False) -> Pair:
    """Two arms on the same documents, of which some are easy for both: half of each draw is of the document."""
    random = np.random.default_rng(seed)
    of_document, of_answer = random.random((documents, 1)), random.random((documents, 4))
    ease = np.where(random.random((documents, 4)) < 0.5, of_document, of_answer)
    values = (ease < np.concatenate(shares)).astype(float)[:, :, None]
    arms = values[:, :2], values[:, :2] if same else values[:, 2:]
    return pair("task", *(Samples(of, (0, 10), np.arange(documents)) for of in arms))


def test_the_difference_of_prices_and_the_region_hold_the_truth() -> None:
    runs, prices, regions = 150, [], []
    for seed in range(runs):
        reasoning = [two_arms(([0.3, 0.6], [0.3, 0.7]), 150, 2 * seed)]
        safety = two_arms(([0.1, 0.4], [0.1, 0.3]), 200, 2 * seed + 1)
        found = compare_tradeoffs(reasoning, safety, draws=300, seed=seed)
        prices.append(found.low <= 0.5 - 1.0 <= found.high)
        point = found.points[1]
        apart = np.asarray([0.1 - point.gain, -0.1 - point.asr])
        regions.append(apart @ np.linalg.inv(point.region) @ apart <= point.radius**2)
    least = 0.95 - 3 * sqrt(0.95 * 0.05 / runs)
    assert np.mean(prices) >= least
    assert np.mean(regions) >= least


def test_arms_of_which_one_gained_nothing_have_no_difference_of_prices() -> None:
    found = compare_tradeoffs([two_arms(([0.5, 0.5], [0.5, 0.8]), 100, 0)], two_arms(([0.1, 0.4], [0.1, 0.4]), 100, 1))
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert found.why == "the change of reasoning is not shown to differ from 0 in both arms"
    same = compare_tradeoffs(
        [two_arms(([0.3, 0.6],) * 2, 100, 0, same=True)], two_arms(([0.1, 0.4],) * 2, 100, 1, same=True)
    )
    assert [point.differ for point in same.points] == [False, False]
    assert same.difference == pytest.approx(0)
