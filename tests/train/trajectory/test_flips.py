"""Sign flips against their definition, worked through one flip at a time, and against closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sftgen_train.trajectory import (
    against,
    anytime_half_width,
    band,
    change_band,
    contrast,
    flip,
    flip_test,
    limits,
    max_test,
    p_beyond,
    pool,
    rows_of,
    share_band,
    standard_errors,
)
from sftgen_train.trajectory.intervals import ratio_limits

Array = NDArray[np.float64]


def all_flips(differences: Array) -> Array:
    """Paired t of every column after every flip: flips x columns."""
    found = []
    for signs in product([1, -1], repeat=len(differences)):
        flipped = differences * np.array(signs)[:, None]
        found.append(flipped.mean(axis=0) / (flipped.std(axis=0, ddof=1) / np.sqrt(len(flipped))))
    return np.array(found)


def test_p_values_are_counted_over_all_flips_of_few_documents() -> None:
    differences = np.random.default_rng(1).normal(-0.5, 1, (9, 3))
    every = all_flips(differences)
    seen = every[0]
    tests = flip_test(differences)
    assert tests.exact
    assert tests.t == pytest.approx(seen)
    assert tests.p_alone == pytest.approx((every <= seen + 1e-9).mean(axis=0))
    assert tests.p == pytest.approx((every.min(axis=1)[:, None] <= seen + 1e-9).mean(axis=0))
    up, either = flip_test(differences, alternative="greater"), flip_test(differences, alternative="two-sided")
    assert up.p == pytest.approx((every.max(axis=1)[:, None] >= seen - 1e-9).mean(axis=0))
    assert either.p == pytest.approx((np.abs(every).max(axis=1)[:, None] >= np.abs(seen) - 1e-9).mean(axis=0))


def test_step_down_leaves_out_what_was_found_before() -> None:
    differences = np.random.default_rng(2).normal(-0.6, 1, (10, 4))
    every, tests = all_flips(differences), flip_test(differences)
    order = np.argsort(every[0])
    expected, highest = np.empty(4), 0.0
    for place, column in enumerate(order):
        p = (every[:, order[place:]].min(axis=1) <= every[0, column] + 1e-9).mean()
        highest = max(highest, p)
        expected[column] = highest
    assert tests.p_step_down == pytest.approx(expected)
    assert (tests.p_step_down <= tests.p).all()


def test_clusters_are_flipped_together() -> None:
    rng = np.random.default_rng(3)
    labels = np.array([4, 4, 4, 7, 7, 9, 2, 2, 1, 1, 1, 3])
    differences = rng.normal(-0.4, 1, (12, 2))
    sums = np.array([differences[labels == label].sum(axis=0) for label in np.unique(labels)])
    signs = np.array(list(product([1, -1], repeat=len(sums))))
    every = signs @ sums / np.sqrt((sums**2).sum(axis=0))
    tests = flip_test(differences, labels)
    assert tests.p == pytest.approx((every.min(axis=1)[:, None] <= every[0] + 1e-9).mean(axis=0))
    # One cluster with a gap in the labels is as one document each.
    alone = flip_test(differences, [0, 0, 2, *range(3, 12)])
    assert alone.p != pytest.approx(flip_test(differences).p)


def test_random_flips_come_near_the_exact_share_and_repeat_with_their_seed() -> None:
    differences = np.random.default_rng(4).normal(-0.35, 1, (13, 3))
    every = all_flips(differences)
    found = flip_test(differences, draws=20_000)
    assert not found.exact
    exact = (every.min(axis=1)[:, None] <= every[0] + 1e-9).mean(axis=0)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert flip_test(differences).p.tolist() == flip_test(differences).p.tolist()
    assert flip_test(differences, seed=1).p.tolist() != flip_test(differences).p.tolist()


def test_a_set_that_takes_several_parts_gives_the_same_as_its_sums() -> None:
    """5,000 documents in 20 clusters are flipped as their 20 sums; without clusters more than one part is needed."""
    values = np.random.default_rng(5).normal(-0.03, 1, (5000, 2))
    clusters = np.arange(5000) % 20
    sums = np.stack([values[clusters == number].mean(axis=0) for number in range(20)])
    assert flip_test(values, clusters).p == pytest.approx(flip_test(sums).p)
    z = stats.norm.cdf(values.mean(axis=0) / (values.std(axis=0) / np.sqrt(5000)))
    assert flip_test(values).p_alone == pytest.approx(z, abs=0.03)


def test_the_paired_t_is_the_cross_check() -> None:
    differences = np.random.default_rng(6).normal(-0.3, 1, (40, 2))
    expected = sorted(stats.ttest_1samp(differences, 0, alternative="less").pvalue)
    assert sorted(flip_test(differences).p_paired) == pytest.approx(
        [min(1, 2 * expected[0]), max(2 * expected[0], expected[1])]
    )


def test_contrasts_of_levels_are_tests_of_differences() -> None:
    values = np.random.default_rng(7).normal(0, 1, (60, 4))
    flips = flip(rows_of(values))
    assert max_test(flips, against(0, 4)).p == pytest.approx(flip_test(values[:, 1:] - values[:, :1]).p)
    mean = values[:, 2:].mean(axis=1) - values[:, 0]
    of = contrast(4, [2, 3], [0])
    assert max_test(flips, of).t == pytest.approx(flip_test(mean).t)
    assert standard_errors(flips.rows, of)[0] == pytest.approx(stats.sem(mean))


def test_a_group_is_the_mean_of_its_tasks() -> None:
    rng = np.random.default_rng(8)
    small, large = rng.normal(0, 1, (30, 2)), rng.normal(1, 2, (90, 2))
    rows = pool([rows_of(small), rows_of(large)])
    assert rows.means == pytest.approx((small.mean(axis=0) + large.mean(axis=0)) / 2)
    expected = np.sqrt(stats.sem(small) ** 2 + stats.sem(large) ** 2) / 2
    assert standard_errors(rows, np.eye(2)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="expected as many"):
        pool([rows_of(small), rows_of(large[:, :1])])


# ------------------------------------------------------------------------------ limits and bands


def test_a_limit_is_where_the_test_of_its_value_stands_at_five_percent() -> None:
    values = np.random.default_rng(9).normal(0.2, 1, (11, 1))
    flips = flip(rows_of(values))
    found = limits(flips, np.eye(1))
    for value in (found.low - 1e-6, found.low + 1e-3, -0.5, 0.0, 0.3):
        p = flip_test(values - value, alternative="greater").p_alone[0]
        assert p_beyond(flips, np.eye(1), value, "greater") == pytest.approx(p)
        assert (p <= 0.05) == (value < found.low)
    for value in (found.high + 1e-6, found.high - 1e-3):
        assert (p_beyond(flips, np.eye(1), value, "less") <= 0.05) == (value > found.high)


def test_limits_of_many_documents_are_students() -> None:
    values = np.random.default_rng(10).normal(0.2, 1, (400, 1))
    found = limits(flip(rows_of(values), draws=20_000), np.eye(1))
    expected = stats.t.interval(0.9, 399, values.mean(), stats.sem(values)[0])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("documents", "value"), [(1, 0.0), (30, 0.0), (150, 0.5), (150, -1.0)])
def test_documents_that_all_agree_leave_the_doubt_of_those_not_asked(documents: int, value: float) -> None:
    flips = flip(rows_of(np.full((documents, 1), value)))
    found = limits(flips, np.eye(1), span=(-1, 1))
    # If a share of documents would fall to -1, none of these does with a chance of 5 %.
    share = 1 - 0.05 ** (1 / documents)
    assert found.low == pytest.approx(value - share * (value + 1))
    assert found.high == pytest.approx(value + share * (1 - value))
    assert p_beyond(flips, np.eye(1), found.low - 1e-9, "greater", span=(-1, 1)) <= 0.05
    if value > -1:
        assert p_beyond(flips, np.eye(1), found.low + 1e-3, "greater", span=(-1, 1)) > 0.05


def test_few_documents_that_differ_do_not_make_a_claim_too_often() -> None:
    """2 % of documents fall from 1 to 0: so "not worse than -0.02" is claimed in at most 5 % of samples."""
    rng = np.random.default_rng(11)
    claimed = 0
    for _ in range(400):
        fallen = -(rng.random((120, 1)) < 0.02).astype(float)
        claimed += p_beyond(flip(rows_of(fallen), draws=400), np.eye(1), -0.02, "greater", span=(-1, 1)) <= 0.05
    assert claimed / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_band_is_wider_than_an_interval_and_narrower_than_bonferronis() -> None:
    values = np.random.default_rng(12).normal(0, 1, (300, 8))
    found = band(flip(rows_of(values)), np.eye(8))
    assert stats.t.ppf(0.975, 299) < found.critical < stats.t.ppf(1 - 0.025 / 8, 299) + 0.03
    assert found.high - found.low == pytest.approx(2 * found.critical * stats.sem(values))
    same = np.repeat(values[:, :1], 8, axis=1)
    assert band(flip(rows_of(same)), np.eye(8)).critical == pytest.approx(stats.t.ppf(0.975, 299), abs=0.06)


def test_a_band_of_shares_stays_between_0_and_1() -> None:
    right = (np.random.default_rng(13).random((60, 3)) < [0.02, 0.5, 1.0]).astype(float)
    found = share_band(flip(rows_of(right)))
    assert (found.low >= 0).all()
    assert (found.high <= 1).all()
    # Where all are right, the interval is not a point.
    assert found.low[2] < 0.95
    half = stats.binomtest(int(right[:, 1].sum()), 60).proportion_ci(
        1 - 2 * stats.norm.sf(found.critical), method="wilson"
    )
    assert (found.low[1], found.high[1]) == pytest.approx((half.low, half.high), abs=0.005)


@pytest.mark.parametrize("documents", [5, 30])
def test_a_band_of_documents_that_all_agree_leaves_the_doubt_of_those_not_asked(documents: int) -> None:
    found = share_band(flip(rows_of(np.tile([0.0, 1.0, 0.0], (documents, 1)))))
    limit = stats.binomtest(0, documents).proportion_ci(1 - 0.05 / 3).high  # exact, three columns together
    assert (found.low[0], found.high[0], found.high[2]) == pytest.approx((0, limit, limit))
    assert (found.low[1], found.high[1]) == pytest.approx((1 - limit, 1))


def test_a_group_of_single_documents_bounds_next_to_nothing(recwarn: pytest.WarningsRecorder) -> None:
    flips = flip(pool([rows_of([[1.0, 1.0]]), rows_of([[0.0, 0.0]])]))
    assert band(flips, against(0, 2)).high.tolist() == [np.inf]
    for found in (share_band(flips), change_band(flips, [1], [0])):
        assert (found.high - found.low > 0.8).all()
    assert not recwarn.list


def test_one_document_bounds_nothing() -> None:
    flips = flip(rows_of([[0.0, 1.0]]))
    assert band(flips, against(0, 2)).low.tolist() == [-np.inf]
    assert change_band(flips, [1], [0]).high.tolist() == [1]
    assert max_test(flips, against(0, 2), "greater").p.tolist() == [0.5]


def test_no_documents_and_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no documents"):
        rows_of(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="the first nan of document 0 in column 1"):
        rows_of([[1.0, float("nan")]])


# ------------------------------------------------------------------------------ looking while it goes on


def test_an_anytime_valid_interval_holds_at_every_look() -> None:
    rng = np.random.default_rng(14)
    counts = np.arange(1, 501)
    half = np.array([anytime_half_width(1.0, int(count), planned=500) for count in counts])
    means = rng.normal(0, 1, (400, 500)).cumsum(axis=1) / counts
    ever = (np.abs(means) > half).any(axis=1).mean()
    assert ever <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    # A plain interval that is looked at as often fails much more often.
    assert (np.abs(means) > 1.96 / np.sqrt(counts))[:, 9:].any(axis=1).mean() > 0.2
    assert 1.3 < half[-1] / (1.96 / np.sqrt(500)) < 2
    assert anytime_half_width(1.0, 9, planned=500) == np.inf
    assert anytime_half_width(1.0, 100, planned=500, intervals=8) > anytime_half_width(1.0, 100, planned=500)


def test_the_band_of_a_change_is_skewed_where_few_are_right() -> None:
    """Of 30 documents 4 were right and none is: that more were lost is likelier than that fewer were."""
    values = np.zeros((30, 3))
    values[:4, 0], values[:4, 1] = 1, 1
    found = change_band(flip(rows_of(values)), [1, 2], [0, 0])
    assert found.mean.tolist() == pytest.approx([0, -4 / 30])
    below, above = found.mean - found.low, found.high - found.mean
    assert below[1] > 1.1 * above[1]
    # All documents agree at the second step: what was not asked may differ, to both sides.
    assert found.low[0] < -0.1
    assert found.high[0] > 0.1
    # The other way round the sides change places.
    turned = change_band(flip(rows_of(values)), [0], [2])
    assert (turned.mean - turned.low)[0] < (turned.high - turned.mean)[0]


def test_a_limit_of_a_ratio_is_where_the_test_stops() -> None:
    rng = np.random.default_rng(0)
    base = (rng.random(80) < 0.4).astype(float)
    change = np.where(rng.random(80) < 0.2, -base, 0.0)
    flips = flip(rows_of(np.stack([change, base], axis=1)), draws=999)
    one, two = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    found = ratio_limits(flips, one, two)
    assert found.low < change.mean() / base.mean() < found.high
    # "Above this share" is shown for shares below the lower limit, and for no others.
    for share, shown in ((found.low - 0.01, True), (found.low + 0.01, False)):
        assert (p_beyond(flips, one - share * two, 0.0, "greater") <= 0.05) == shown
