"""Verdicts on tables of means, and on the published ones."""

from __future__ import annotations

import numpy as np
import pytest

from sftgen_train.trajectory.published import read_means, read_published, together
from sftgen_train.trajectory.reference import source


def test_the_published_tables_are_read_as_their_authors_tell_them() -> None:
    found = read_published("math500")
    large, small = found["Qwen3-4B Math-CoT"], found["Qwen3-1.7B Math-CoT"]
    assert (large.dips, large.end) == ((10, 20), "above base")
    assert small.dips
    assert small.lowest == 40
    assert small.end != "above base"
    assert small.end_low < 0
    assert found["Qwen3-4B Math-NoCoT"].dips == ()
    assert "arXiv 2604.06628" in source()


def test_a_small_benchmark_tells_less() -> None:
    means = {0: 0.7, 10: 0.6, 20: 0.7}
    assert read_means(means, 5000, 3).dips == (10,)
    assert read_means(means, 5000, 3).end == "held" or read_means(means, 5000, 3).end == "recovered"
    assert read_means(means, 30, 3).dips == ()
    assert read_means(means, 30, 3).end == "cannot tell"


def test_limits_are_those_of_a_normal_with_widened_binomial_variance() -> None:
    found = read_means({0: 0.5, 10: 0.4}, 400, 4)
    shared = together(np.array([0.5, 0.4]))
    variances = [p * (1 - p) / 400 * (0.25 + 0.75 * part) for p, part in zip((0.5, 0.4), shared, strict=True)]
    assert found.end_high == pytest.approx(-0.1 + 1.6449 * sum(variances) ** 0.5, abs=1e-4)
    # Wider than if all answers were independent, narrower than if repeats told nothing.
    assert sum(variances) > 1.3 * (0.25 + 0.24) / 1600
    assert sum(variances) < (0.25 + 0.24) / 400
    assert found.end == "not recovered"


@pytest.mark.parametrize("means", [{}, {0: 0.5}, {0: 50.0, 10: 49.0}])
def test_what_is_no_table_is_refused(means: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="at least two steps, each between 0 and 1"):
        read_means(means, 500, 3)


def test_equal_scores_without_variance() -> None:
    assert read_means({0: 1.0, 10: 1.0}, 500, 3).dips == ()
    assert read_means({0: 1.0, 10: 1.0}, 500, 3).end == "held"
