"""Answers won and lost, pass@k and Bayes@N, against truth and brute force."""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import numpy as np
import pytest

from sftgen_train.trajectory.churn import churn
from sftgen_train.trajectory.passing import IncompleteError, bayes, curve_of, pass_at_k

NAN = float("nan")


def test_excess_churn_is_0_in_expectation_where_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    runs, excess, moved, held = 150, [], [], []
    for seed in range(runs):
        rates = rng.beta(0.5, 0.5, (60, 1))
        first, second = (rng.binomial(1, rates, (60, repeats)) for repeats in (4, 3))
        found = churn(first, second, draws=300, seed=seed)
        excess.append(found.excess.value)
        moved.append(found.moved.value)
        held.append(found.excess.low <= 0 <= found.excess.high)
    for values in (excess, moved):
        assert abs(np.mean(values)) <= 3 * np.std(values) / sqrt(runs)
    assert np.mean(held) >= 0.95 - 3 * sqrt(0.95 * 0.05 / runs)


def test_what_changes_is_excess() -> None:
    rng = np.random.default_rng(0)
    rates = np.concatenate([np.full(200, 0.9), np.full(200, 0.1)])[:, None]
    first, second = rng.binomial(1, rates, (400, 4)), rng.binomial(1, rates[::-1], (400, 4))
    found = churn(first, second)
    # Each document moves by 0.8; answering twice alone would win and lose 0.09 each.
    assert found.by_chance.value == pytest.approx(0.09, abs=0.02)
    assert (found.won.value, found.lost.value) == pytest.approx((0.41, 0.41), abs=0.03)
    assert found.excess.value == pytest.approx(0.64, abs=0.05)
    assert found.moved.value == pytest.approx(0.64, abs=0.05)
    assert found.excess.low > 0.5
    parts = (found.won, found.lost, found.kept, found.missed)
    assert sum(part.value for part in parts) == pytest.approx(1)


def test_guessing_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    count, options = 20_000, 4
    # 50 % known before; of these a fifth is forgotten, and a tenth of the others learnt.
    known = rng.random(count) < 0.5
    later = np.where(known, rng.random(count) < 0.8, rng.random(count) < 0.1)
    first, second = ((of | (rng.random(count) < 1 / options)).astype(float)[:, None] for of in (known, later))
    raw, found = churn(first, second, draws=200), churn(first, second, options=options, draws=200)
    assert found.lost.value == pytest.approx(0.1, abs=0.01)
    assert found.won.value == pytest.approx(0.05, abs=0.01)
    assert raw.lost.value > 0.14
    assert np.isnan(raw.excess.value)


@pytest.mark.parametrize(
    ("first", "second", "options", "said"),
    [
        ([[1, 0]], [[1], [0]], None, "expected the same documents"),
        ([[2.0]], [[1.0]], None, "outside of 0 to 1"),
        ([[1.0]], [[1.0]], 1, "expected 2 or more"),
        ([[NAN]], [[1.0]], None, "no documents"),
    ],
)
def test_what_cannot_be_compared_is_said(first: object, second: object, options: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        churn(first, second, options=options)  # type: ignore[arg-type]


def test_pass_at_k_is_the_share_of_all_choices() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 2, (12, 6)).astype(float)
    scores[0, 4:] = NAN
    for drawn in range(1, 6):
        expected = []
        for row in scores:
            there = row[np.isfinite(row)]
            chosen = [max(choice) for choice in combinations(there, drawn)]
            expected.append(np.mean(chosen) if chosen else NAN)
        assert pass_at_k(scores, drawn) == pytest.approx(np.asarray(expected), nan_ok=True)
    assert [curve_of(answers) for answers in (1, 2, 4, 5)] == [(1,), (1, 2), (1, 2, 4), (1, 2, 4, 5)]
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        pass_at_k([[0.5, 1]], 1)


def test_bayes_at_n_is_the_mean_of_beliefs() -> None:
    rng = np.random.default_rng(0)
    scores = np.asarray([[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    drawn = rng.beta(scores.sum(axis=1) + 1, 5 - scores.sum(axis=1), (20_000, 3)).mean(axis=1)
    found = bayes(scores)
    assert (found.mean, found.deviation) == pytest.approx((drawn.mean(), drawn.std()), rel=0.02)
    with pytest.raises(IncompleteError, match="1 of 2 documents lack answers; grade them first"):
        bayes([[1, NAN], [0, 1]])
