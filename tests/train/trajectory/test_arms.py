"""Two arms: what is claimed of simulated ones with known truth, and what is shared between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
import pytest
from scipy.special import expit

from sftgen_train.trajectory.arms import ArmDifference, adjust_over_comparisons, compare_arms
from sftgen_train.trajectory.iso_id import equal_in_domain
from sftgen_train.trajectory.landmarks import measured
from sftgen_train.trajectory.pairing import Pair, Samples, pair
from sftgen_train.trajectory.simulation import Design, draw

NAN = float("nan")
STEPS = (0, 5, 10, 20, 40)
FLAT = (0.0,) * 5
DEEP, SHALLOW = (0.0, -1.2, -1.2, -0.4, 0.4), (0.0, -0.5, -0.6, 0.0, 0.8)


def arm(values: object, steps: Sequence[int] = STEPS, names: Sequence[str] | None = None) -> Samples:
    given = np.asarray(values, dtype=np.float64)
    given = given[:, :, None] if given.ndim == 2 else given
    documents = [f"{n:05}" for n in range(len(given))] if names is None else names
    return Samples(given, tuple(steps), np.asarray(documents, dtype=object))


def answers(rng: np.random.Generator, ability: np.ndarray, levels: Sequence[float], repeats: int) -> Samples:
    """Documents differ by 1.8 logits, and each by 0.7 logits between checkpoints."""
    logits = ability[:, None] + rng.normal(0, 0.7, (len(ability), len(levels))) + np.asarray(levels)
    return arm(rng.binomial(1, expit(logits)[:, :, None], (*logits.shape, repeats)))


def true_means(levels: Sequence[float]) -> np.ndarray:
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    spread = np.hypot(1.8, 0.7)
    return expit(np.asarray(levels)[:, None] + spread * nodes) @ (weights / weights.sum())


def simulated(
    first: Sequence[float], second: Sequence[float], documents: int, repeats: int, runs: int
) -> Iterator[ArmDifference]:
    rng = np.random.default_rng([documents, repeats])
    for seed in range(runs):
        ability = rng.normal(0, 1.8, documents)
        both = [answers(rng, ability, levels, repeats) for levels in (first, second)]
        yield compare_arms("task", [pair("task", *both)], draws=400, seed=seed)


def off(share: float, runs: int) -> float:
    """Three standard errors of a share in so many runs."""
    return 3 * sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize(("documents", "repeats"), [(30, 10), (198, 3)])
def test_arms_that_do_not_differ_are_rarely_told_apart(documents: int, repeats: int) -> None:
    runs = 60
    found = list(simulated(FLAT, FLAT, documents, repeats, runs))
    most = 0.05 + off(0.05, runs)
    assert np.mean([one.p["differ at some step"] <= 0.05 for one in found if one.p]) <= most
    assert np.mean([one.end != "cannot tell" for one in found]) <= most
    for place, mark in enumerate(found[0].landmarks):
        if mark.difference:
            apart = [diff.low > 0 or diff.high < 0 for one in found if (diff := one.landmarks[place].difference)]
            assert np.mean(apart) <= most, mark.name


def test_intervals_of_differences_hold_the_truth() -> None:
    runs = 60
    found = list(simulated(DEEP, SHALLOW, 200, 3, runs))
    least = 0.95 - off(0.95, runs)
    true = [measured(true_means(levels)[None], STEPS, 0) for levels in (DEEP, SHALLOW)]
    changes = true_means(SHALLOW) - true_means(DEEP)
    bands = [
        [point.low <= change <= point.high for point, change in zip(one.points, changes, strict=True)] for one in found
    ]
    assert np.mean([all(band) for band in bands]) >= least
    assert np.mean([one.end_low <= changes[-1] <= one.end_high for one in found]) >= least
    for place, mark in enumerate(found[0].landmarks):
        if mark.difference:
            truth = float(true[1][mark.name][0] - true[0][mark.name][0])
            inside = [diff.low <= truth <= diff.high for one in found if (diff := one.landmarks[place].difference)]
            assert np.mean(inside) >= least, mark.name
    # The dip of 16 points against 8 is seen.
    assert np.mean([one.p["differ at some step"] <= 0.05 for one in found if one.p]) >= 0.9


def test_the_difference_of_peaks_of_flat_curves_holds_0_and_is_not_endless() -> None:
    """The highest of nine equal steps is seen too high in both arms; steps that stand out leave nothing open."""
    rng = np.random.default_rng(5)
    runs, held, widths, steps = 40, [], [], range(9)
    for seed in range(runs):
        values = draw(rng, Design("", 100, 2), (0.0,) * 18)[:, :, None]
        first, second = (Samples(of, tuple(steps), np.arange(100)) for of in (values[:, :9], values[:, 9:]))
        found = compare_arms("task", [pair("task", first, second)], draws=400, seed=seed)
        marks = {mark.name: mark.difference for mark in found.landmarks if mark.difference}
        held.append([marks[name].low <= 0 <= marks[name].high for name in ("peak", "dip depth")])
        widths.append((marks["peak"].high - marks["peak"].low) / (marks["end"].high - marks["end"].low))
    assert np.mean(held, axis=0).min() >= 0.95 - 3 * sqrt(0.95 * 0.05 / runs)
    assert np.mean(widths) < 1.3


def test_arms_that_agree_in_all_documents_may_differ_in_others() -> None:
    values = np.repeat([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], 50, axis=0)
    same = compare_arms("task", [pair("task", arm(values, range(3)), arm(values, range(3)))])
    others = 1 - 0.025 ** (1 / 100)
    for mark in same.landmarks:
        if mark.difference:
            assert (mark.difference.low, mark.difference.high) == pytest.approx((-others, others))


def test_one_draw_serves_both_arms() -> None:
    rng = np.random.default_rng(0)
    same = answers(rng, rng.normal(0, 1.8, 100), DEEP, 1)
    found = compare_arms("task", [pair("task", same, same)])
    assert {point.difference for point in found.points} == {0.0}
    assert all(mark.difference is None or mark.difference.value == 0 for mark in found.landmarks)
    assert all((mark.later, mark.earlier) in {(None, None), (0.0, 0.0)} for mark in found.landmarks)
    # No document differs, yet others might: the rule of three.
    assert found.end_low == pytest.approx(-found.end_high)
    assert 0.02 < found.end_high < 0.05


def test_shared_documents_and_steps_are_compared_and_the_others_counted() -> None:
    first = arm([[1, 0, 1], [0, 0, 1], [1, 1, NAN]], (0, 5, 10), ["a", "b", "c"])
    second = arm([[0, 1], [1, 1], [0, 0]], (0, 10), ["b", "c", "z"])
    found = pair("task", first, second)
    assert found.steps == (0, 10)
    assert found.values.tolist() == [[0, 1, 0, 1]]
    assert {(entry.what, entry.count) for entry in found.left_out} == {("documents", 1), ("steps", 1)}
    assert len(found.left_out) == 4
    assert compare_arms("task", [found]).points[1].difference == 0


def test_checkpoints_are_compared_whatever_their_steps() -> None:
    curve = arm([[1, 0, 1], [0, 0, 1]], (0, 5, 10))
    found = compare_arms("task", [pair("task", curve.only(0), curve.only(10))])
    [point] = found.points
    assert (point.step, point.other_step, point.difference) == (0, 10, 0.5)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (arm([[1, 0]], (0, 5), ["a"]), arm([[1, 0]], (0, 5), ["b"]), "no step has values in both arms"),
        (arm([[1, 0]], (0, 5)), arm([[1, 0]], (10, 20)), "no step has values in both arms"),
        (arm([[1, NAN], [NAN, 1]], (0, 5)), arm([[1, 1], [1, 1]], (0, 5)), "no document has a value in both arms"),
    ],
)
def test_nothing_in_common_is_said(first: Samples, second: Samples, why: str) -> None:
    found = compare_arms("task", [pair("task", first, second)])
    assert why in found.why
    assert (found.end, found.p, found.points) == ("cannot tell", None, ())


def test_the_second_arm_may_be_lower_too() -> None:
    right = (np.random.default_rng(0).random((80, 2)) < [0.5, 0.8]).astype(float)
    found = compare_arms("task", [pair("task", arm(right, (0, 5)), arm(np.zeros((80, 2)), (0, 5)))])
    assert found.end == "lower"
    assert found.end_high < 0
    assert found.points[1].p <= 0.001


def test_one_document_tells_nothing() -> None:
    found = compare_arms("task", [pair("task", arm([[0, 0]], (0, 5)), arm([[0, 1]], (0, 5)))])
    assert (found.end, found.shared, found.points[1].difference) == ("cannot tell", 1, 1.0)
    assert all(mark.difference is None or np.isnan(mark.difference.low) for mark in found.landmarks)


def test_a_group_is_the_mean_of_its_tasks_and_holm_is_over_all() -> None:
    rng = np.random.default_rng(0)
    better = (rng.random((60, 2)) < [0.5, 0.9]).astype(float)
    pairs: list[Pair] = [
        pair("one", arm(np.zeros((60, 2)), (0, 5)), arm(better, (0, 5))),
        pair("two", arm(np.zeros((20, 2)), (0, 5)), arm(np.zeros((20, 2)), (0, 5))),
    ]
    group = compare_arms("both", pairs)
    assert group.points[1].second == pytest.approx(better[:, 1].mean() / 2)
    assert (group.shared, group.tasks, group.churn) == (80, 2, None)
    tasks = adjust_over_comparisons([compare_arms(of.name, [of]) for of in pairs])
    assert tasks[0].p
    assert tasks[0].over_tasks
    assert tasks[0].over_tasks["differ at the end"] == pytest.approx(2 * tasks[0].p["differ at the end"])
    assert [task.end for task in tasks] == ["higher", "cannot tell"]


# ------------------------------------------------------------------------------ equal in-domain score


def test_at_equal_in_domain_score_a_slower_arm_is_no_worse() -> None:
    rng = np.random.default_rng(0)
    ease = rng.random((3000, 1))

    def curve(levels: Sequence[float]) -> Samples:
        return arm(ease < np.asarray(levels))

    # The second arm learns half as fast; outside both lose a tenth of what they gain at home.
    fast, slow = np.asarray([0.2, 0.4, 0.6, 0.8, 0.9]), np.asarray([0.2, 0.3, 0.4, 0.5, 0.55])
    inside = pair("home", curve(fast), curve(slow))
    outside = pair("away", curve(0.7 - 0.1 * fast), curve(0.7 - 0.1 * slow))
    found = equal_in_domain([inside], [outside], draws=200)
    assert [level.level for level in found.levels] == pytest.approx([0.235, 0.305, 0.375, 0.445, 0.515], abs=0.02)
    for level in found.levels:
        assert level.first == pytest.approx(0.7 - 0.1 * level.level, abs=0.02)
        assert level.difference.value == pytest.approx(0, abs=0.005)
        assert level.difference.low <= 0 <= level.difference.high
    # At the same step it looks better by a lot.
    assert compare_arms("away", [outside]).points[-1].difference == pytest.approx(0.035, abs=0.01)


def test_scores_that_only_one_arm_reaches_are_no_level() -> None:
    rising, falling = arm([[0, 1], [0, 1]], (0, 5)), arm([[0, 0], [0, 0]], (0, 5))
    found = equal_in_domain([pair("home", rising, falling)], [pair("away", rising, rising)])
    assert found.levels == ()
    assert "both arms reach" in found.why
