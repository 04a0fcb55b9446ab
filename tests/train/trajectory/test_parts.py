"""What a change is made of: exact sums, known splits, undefined factors, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftgen_train.trajectory.parts import Parts, among_finished, split, split_steps


def parts_of(parts: Parts) -> list[float]:
    return [parts.truncation.change, parts.finished.change, parts.before_cut.change]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_parts_sum_to_the_change_of_the_mean(documents: int, repeats: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(0, 3, (documents, 2, repeats)).round(random.integers(0, 3))
    truncated = random.random(scores.shape) < random.choice([0.0, 0.3, 1.0], (1, 2, 1))
    scores[random.random(scores.shape) < 0.2] = np.nan
    shared = np.isfinite(scores).any(axis=2).all(axis=1)
    if not shared.any():
        with pytest.raises(ValueError, match="no document"):
            split(scores, truncated, draws=2)
        return
    parts = split(scores, truncated, draws=20)
    before, after = np.nanmean(scores[shared], axis=2).mean(axis=0)
    assert parts.documents == shared.sum()
    assert [parts.before, parts.after] == pytest.approx([before, after], abs=1e-9)
    assert sum(parts_of(parts)) == pytest.approx(after - before, abs=1e-9)


def test_known_splits() -> None:
    # Half of the answers are truncated later, none of them right; finished ones are as good as before.
    base, cut = [1.0] * 80 + [0.0] * 20, [n % 2 == 0 for n in range(100)]
    later = [0.0 if truncated else score for score, truncated in zip(base, cut, strict=True)]
    parts = split(np.stack([base, later], axis=1), np.stack([np.zeros(100), cut], axis=1))
    assert parts_of(parts) == pytest.approx([-0.4, 0, 0])
    assert parts.truncation.before == 0
    assert parts.truncation.after == 0.5
    assert parts.truncation.low < -0.4 < parts.truncation.high < 0
    assert np.isnan(parts.before_cut.before)
    assert parts.sentence().startswith("-0.400 = -0.400 by more truncation (")
    # The same loss without truncation is one of ability.
    assert parts_of(split(np.stack([base, later], axis=1), np.zeros((100, 2)))) == pytest.approx([0, -0.4, 0])
    # All factors move: by hand, from t 0 -> .5, finished .8 -> .4, cut (.8 where unknown) .6.
    mixed = split(np.array([[0.8, 0.4], [0.8, 0.6]]), np.array([[False, False], [False, True]]), draws=10)
    # With truncated answers at .6 from the start: Shapley of (1-t)F + tC from (0, .8, .6) to (.5, .4, .6).
    assert parts_of(mixed) == pytest.approx([0.0, -0.3, 0.0])


def test_all_truncated_and_none() -> None:
    scores = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert parts_of(split(scores, np.ones((2, 2)), draws=10)) == pytest.approx([0, 0, 0.5])
    assert parts_of(split(scores, np.zeros((2, 2)), draws=10)) == pytest.approx([0, 0.5, 0])
    # From none to all: no step shows a factor at both ends, so all of it is truncation.
    assert parts_of(split(scores, np.array([[0, 1], [0, 1]]), draws=10)) == pytest.approx([0.5, 0, 0])


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="expected documents x 2 steps"):
        split(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="documents x repeats"):
        among_finished(np.zeros(3), np.zeros(3))


def test_truncation_is_no_part_of_a_mean_among_finished() -> None:
    # A judge failed on the first; the next two were truncated; of the other five two succeeded.
    success = np.array([np.nan, np.nan, 1.0, 1, 1, 0, 0, 0])[:, None]
    truncated = np.array([0, 1, 1, 0, 0, 0, 0, 0])[:, None]
    found = among_finished(success, truncated)
    assert (found.mean, found.answers, found.truncated) == (0.4, 5, 0.25)
    assert found.low < 0.4 < found.high
    nothing = among_finished(success, np.ones((8, 1)))
    assert np.isnan([nothing.mean, nothing.low]).all()
    assert nothing.truncated == 1


def test_no_attack_among_few_does_not_show_that_none_succeeds() -> None:
    none = among_finished(np.zeros((200, 1)), np.zeros((200, 1)))
    assert (none.mean, none.low, none.high) == (0, 0, pytest.approx(1 - 0.025 ** (1 / 200)))
    assert (none.truncated, none.truncated_high) == (0, none.high)
    every = among_finished(np.ones((50, 2)), np.zeros((50, 2)), np.repeat(range(25), 2))
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / 25)), 1)
    # The lowest harmfulness is 1: it is no share.
    harmless = among_finished(np.ones((50, 1)), np.zeros((50, 1)), share=False)
    assert (harmless.low, harmless.high) == (1, 1)


def test_one_document_tells_no_interval_of_a_part() -> None:
    alone = split(np.array([[1.0, 0.0]]), np.zeros((1, 2)))
    assert (alone.change, alone.finished.change) == pytest.approx((-1, -1))
    assert np.isnan([alone.low, alone.high, alone.finished.low, alone.truncation.high]).all()


def test_intervals_cover() -> None:
    """Of 200 documents x 2 repeats: the true parts are in 95 % of the intervals."""
    random, rounds, held = np.random.default_rng(1), 150, np.zeros(3)
    # t .1 -> .4, finished .8 -> .7, before the cut .3 -> .2: averaged over all orders, as the text says.
    truth = np.array([-0.15, -0.075, -0.025])
    for seed in range(rounds):
        cut = random.random((200, 2, 2)) < np.array([0.1, 0.4])[:, None]
        right = np.where(cut, np.array([0.3, 0.2])[:, None], np.array([0.8, 0.7])[:, None])
        parts = split(random.random(cut.shape) < right, cut, draws=200, seed=seed)
        ends = [(each.low, each.high) for each in (parts.truncation, parts.finished, parts.before_cut)]
        held += [low <= true <= high for (low, high), true in zip(ends, truth, strict=True)]
    # Two standard errors around 93 to 97 %.
    error = 2 * (0.95 * 0.05 / rounds) ** 0.5
    assert ((held / rounds >= 0.93 - error) & (held / rounds <= 0.97 + error)).all(), held / rounds


def test_several_changes_are_split_on_the_same_documents() -> None:
    random = np.random.default_rng(0)
    scores = (random.random((80, 4, 2)) < [[[0.6], [0.3], [0.5], [0.7]]]).astype(float)
    truncated = (random.random((80, 4, 2)) < [[[0.0], [0.4], [0.2], [0.1]]]).astype(float)
    scores[:10, 2] = np.nan  # these count for no change, also not for one between other steps
    first, second = split_steps(scores, truncated, [(0, 1), (1, 3)])
    alone = split(scores[10:, [0, 1]], truncated[10:, [0, 1]])
    assert (first.low, first.finished.high) == pytest.approx((alone.low, alone.finished.high))
    assert first.truncation.change == pytest.approx(alone.truncation.change)
    assert (first.documents, first.after) == (70, pytest.approx(second.before))
    with pytest.raises(ValueError, match="no document has a value at every step"):
        split_steps(np.full((3, 3), np.nan), np.zeros((3, 3)), [(0, 1)])
