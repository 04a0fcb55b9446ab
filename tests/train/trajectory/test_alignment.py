"""The documents under every point of a curve: shared, averaged, counted."""

from __future__ import annotations

import numpy as np
import pytest

from sftgen_train.trajectory import LeftOut, align, stack

NAN = float("nan")


def test_only_documents_of_every_step_are_kept_and_the_others_counted() -> None:
    curves = align([[1, 0, 1], [1, NAN, 0], [0, 1, np.inf], [0, 0, 1]], [0, 10, 20])
    assert curves.values.tolist() == [[1, 0, 1], [0, 0, 1]]
    assert curves.kept.tolist() == [0, 3]
    assert (curves.counts, curves.partial) == ((4, 3, 3), (10, 20))
    assert curves.left_out == (LeftOut("documents", 2, "no value at some step"),)


def test_steps_come_in_order_and_an_empty_one_goes() -> None:
    curves = align([[3, NAN, 1], [4, NAN, 2]], [20, 10, 0])
    assert (curves.steps, curves.values.tolist()) == ((0, 20), [[1, 3], [2, 4]])
    assert curves.left_out == (LeftOut("steps", 1, "step 10: no document has a value"),)


def test_repeats_are_averaged_and_missing_ones_counted_or_left_out() -> None:
    values = [[[1, 0, 1], [0, 0, 0]], [[1, NAN, 0], [1, 1, 1]]]
    curves = align(values, [0, 10])
    assert curves.values == pytest.approx(np.array([[2 / 3, 0], [0.5, 1]]))
    assert curves.repeats == pytest.approx(2.75)
    assert [entry.what for entry in curves.left_out] == ["repeats"]
    complete = align(values, [0, 10], complete=True)
    assert complete.kept.tolist() == [0]
    assert [(entry.what, entry.count) for entry in complete.left_out] == [("documents", 1)]


def test_the_noise_of_repeats_is_the_variance_that_asking_again_shows() -> None:
    rng = np.random.default_rng(0)
    rates = rng.beta(2, 2, 400)
    curves = align(rng.binomial(1, rates[:, None, None], (400, 1, 4)), [0])
    assert curves.noise[0] == pytest.approx((rates * (1 - rates) / 4).mean() / 400, rel=0.1)
    assert np.isnan(align([[1.0], [0.0]], [0]).noise[0])


def test_labels_of_clusters_are_of_any_type() -> None:
    assert align([[1.0]] * 4, [0], clusters=["b", "a", "b", "c"]).clusters.tolist() == [1, 0, 1, 2]
    assert align([[1.0], [NAN], [1.0]], [0], clusters=[7, 8, 9]).clusters.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "steps", "clusters", "said"),
    [
        ([[1, 2], [3, 4]], [10, 10], None, "step 10 is named twice"),
        ([[1, 2]], [0], None, "expected documents x steps"),
        ([1, 2], [0, 1], None, "expected documents x steps"),
        ([[1, 2]], [0, 1], ["a", "b"], "one label a document"),
    ],
)
def test_what_does_not_fit_is_refused(
    values: list[object], steps: list[int], clusters: list[str] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        align(values, steps, clusters=clusters)


def test_no_documents_and_no_values() -> None:
    assert align(np.zeros((0, 2)), [0, 1]).values.shape == (0, 0)
    assert align([[NAN, NAN]], [0, 1]).steps == ()


def test_samples_become_an_array() -> None:
    values, steps, names = stack(["b", "a", "a", "b"], [10, 0, 10, 10], [1, 2, NAN, 3], [0, 0, 0, 1])
    assert (steps, names.tolist()) == ([0, 10], ["a", "b"])
    np.testing.assert_array_equal(values, [[[2, NAN], [NAN, NAN]], [[NAN, NAN], [1, 3]]])
    with pytest.raises(ValueError, match=r"document 'a' has repeat 0 twice at step 5"):
        stack(["a", "a"], [5, 5], [1, 0])
