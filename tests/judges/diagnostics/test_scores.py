"""Intervals of precision, recall, F1 and rates against simulated truth."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from sftgen_judges.diagnostics.rates import difference, factor, ratio
from sftgen_judges.diagnostics.validation.scores import Scores, counted, product, proportion, score
from sftgen_judges.plugins.contracts import Interval


def scored(right: list[list[bool]], found: list[list[bool]]) -> Scores:
    return score([counted(*pair) for pair in zip(right, found, strict=True)])


def test_counts_and_rates_of_a_small_table() -> None:
    found = scored([[True, True, False], [False, True]], [[True, False, False], [True, True]])
    assert (found.units, found.documents, found.positives, found.found) == (5, 2, 3, 3)
    assert found.precision.value == found.recall.value == found.f1.value == pytest.approx(2 / 3)
    assert found.trivial_f1 == pytest.approx(2 * 3 / 8)
    assert found.f1.low < 2 / 3 < found.f1.high


def test_nothing_found_and_everything_right() -> None:
    nothing = scored([[True, False]] * 4, [[False, False]] * 4)
    assert (nothing.precision.value, nothing.precision.low, nothing.precision.high) == (0, 0, 1)
    assert nothing.f1.value == 0
    right = scored([[True, False]] * 30, [[True, False]] * 30)
    assert (right.f1.value, right.f1.high) == (1, 1)
    assert 0.85 < right.f1.low < 0.95


def test_units_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="not of the same units"):
        scored([[True]], [[True, False]])
    with pytest.raises(ValueError, match="no unit"):
        score([])


def labelled(rng: np.random.Generator, documents: int) -> tuple[list[list[bool]], list[list[bool]]]:
    """Labels that are right more often in some documents than in others."""
    right, found = [], []
    for _ in range(documents):
        good = rng.beta(4, 1)
        truth = rng.random(8) < 0.2
        right.append(truth.tolist())
        found.append(np.where(rng.random(8) < good, truth, ~truth & (rng.random(8) < 0.3)).tolist())
    return right, found


def test_intervals_hold_what_they_promise_though_segments_of_a_document_agree() -> None:
    rng = np.random.default_rng(0)
    whole = scored(*labelled(rng, 20_000))
    truth = [whole.precision.value, whole.recall.value, whole.f1.value]
    held = np.zeros(3)
    for _ in range(400):
        some = scored(*labelled(rng, 80))
        rates = (some.precision, some.recall, some.f1)
        held += [rate.low <= real <= rate.high for rate, real in zip(rates, truth, strict=True)]
    # 0.95 with a standard error of .011; .94, .95 and .96 over 1,200.
    assert (held / 400 > 0.91).all(), held / 400


def test_documents_that_agree_with_themselves_count_once() -> None:
    ones, zeros = np.repeat([8.0, 0.0], 20), np.full(40, 8.0)
    alone = proportion(np.full(320, 0.5) + np.tile([0.5, -0.5], 160), np.ones(320))
    together = proportion(ones, zeros)
    assert together.value == alone.value == 0.5
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_rate_covers_the_truth_and_knows_how_much_was_read() -> None:
    rng = np.random.default_rng(1)
    population = rng.gamma(2, 500, 400)
    counts = rng.poisson(population / 100).astype(float)
    truth = 1000 * counts.sum() / population.sum()
    held: dict[int | None, int] = {None: 0, 400: 0}
    widths = {}
    for _ in range(300):
        drawn = rng.choice(400, 200, replace=False)
        for of in held:
            rate = ratio(counts[drawn], population[drawn], scale=1000, of=of)
            held[of] += rate.low <= truth <= rate.high
            widths[of] = rate.high - rate.low
    assert 0.92 < held[400] / 300 < 0.98
    assert held[None] / 300 > 0.98  # for these 400 it is too wide
    assert widths[400] == pytest.approx(widths[None] * 0.5**0.5, rel=0.01)
    read = ratio(counts, population, of=400)
    assert read.low == read.value == read.high


def test_few_documents_have_no_interval() -> None:
    assert not ratio(np.ones(9), np.ones(9)).known
    assert not ratio(np.zeros(0), np.zeros(0)).known
    assert not factor((np.ones(9), np.ones(9)), (np.ones(9), np.ones(9))).known
    assert not factor((np.zeros(20), np.ones(20)), (np.ones(20), np.ones(20))).known


def test_none_seen_is_not_none() -> None:
    nothing = ratio(np.zeros(20), np.full(20, 50.0), scale=1000)
    assert nothing.value == nothing.low == 0
    assert nothing.high == pytest.approx(3.69, abs=0.01)  # events in 1,000 tokens, as the exact Poisson bound says
    ones = np.full(20, 50.0)
    assert difference((np.zeros(20), ones), (np.zeros(20), ones), scale=1000).high > 2


def test_rare_events_are_covered_too() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        tokens = rng.gamma(4, 50, 30)
        rate = ratio(rng.poisson(tokens * 0.0005).astype(float), tokens, scale=1000)  # three events in all
        held += rate.low <= 0.5 <= rate.high
    assert held / 400 > 0.93


def test_a_change_of_density_is_told_from_one_of_length() -> None:
    rng = np.random.default_rng(2)
    false = wrong = lost = 0
    for _ in range(300):
        harder = rng.gamma(3, 1, 60)
        then = 100 * harder * rng.gamma(4, 0.25, 60)
        now = 3 * then * rng.gamma(4, 0.25, 60)  # three times as long
        before, same = rng.poisson(then * 0.02).astype(float), rng.poisson(now * 0.02).astype(float)
        denser = rng.poisson(now * 0.04).astype(float)
        unchanged = factor((before, then), (same, now))
        doubled = factor((before, then), (denser, now))
        false += not unchanged.low <= 1 <= unchanged.high
        wrong += not doubled.low <= 2 <= doubled.high
        risen = difference((before, then), (denser, now), scale=1000)
        lost += not risen.low <= 20 <= risen.high
    assert max(false, wrong, lost) / 300 < 0.08


def test_a_share_of_a_share_is_as_far_off_as_its_parts() -> None:
    ones = np.ones(30)
    asr, nothing = proportion(np.repeat([1.0, 0.0], [12, 18]), ones), proportion(0 * ones, ones)
    assert product(asr, nothing).high == pytest.approx(asr.value * nothing.high)
    assert (product(nothing, nothing).low, product(proportion(ones, ones), asr).value) == (0, asr.value)


@pytest.mark.parametrize(("one", "other"), [(0.1, 0.1), (0.4, 0.05), (0.9, 0.95)])
def test_the_interval_of_a_share_of_a_share_covers_the_truth(one: float, other: float) -> None:
    rng, runs = np.random.default_rng(0), 500

    def drawn(rate: float, n: int) -> Interval:
        return proportion((rng.random(n) < rate).astype(float), np.ones(n))

    found = [product(drawn(one, 300), drawn(other, 30)) for _ in range(runs)]
    covered = sum(interval.low <= one * other <= interval.high for interval in found) / runs
    assert 0.95 - 4 * sqrt(0.95 * 0.05 / runs) <= covered <= 0.99
