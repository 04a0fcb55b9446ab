"""How often verdicts are wrong, and how often they see what is there, on simulated benchmarks with known truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
import pytest

from sftgen_train.trajectory import Verdict, read_curve
from sftgen_train.trajectory.simulation import Design, draw_curves

DIP_AND_BACK = (0.5, 0.44, 0.38, 0.38, 0.42, 0.46, 0.46, 0.46, 0.46)


def simulated(levels: Sequence[float], documents: int, repeats: int, runs: int) -> Iterator[Verdict]:
    rng = np.random.default_rng([documents, repeats, round(1000 * sum(levels))])
    changes = [level - levels[0] for level in levels]
    for seed in range(runs):
        yield read_curve(
            "task", draw_curves(rng, Design("", documents, repeats, levels[0]), changes), draws=400, seed=seed
        )


def allowed(share: float, runs: int) -> float:
    """What a true share may show in so many runs, three standard errors away."""
    return share + 3 * sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize(("documents", "repeats"), [(30, 10), (198, 3), (500, 3)])
def test_noise_is_rarely_called_a_change(documents: int, repeats: int) -> None:
    runs = 160
    found = list(simulated([0.5] * 9, documents, repeats, runs))
    most = allowed(0.05, runs)
    assert sum(bool(verdict.dips) for verdict in found) / runs <= most
    assert sum(verdict.fall is not None for verdict in found) / runs <= most
    assert sum(verdict.end == "above base" for verdict in found) / runs <= most
    assert sum(verdict.end in {"below base", "not recovered"} for verdict in found) / runs <= most
    # All true means of a curve lie in its band together, and its true changes in theirs.
    inside = [all(point.low <= 0.5 <= point.high for point in verdict.points) for verdict in found]
    changes = [all(point.change_low <= 0 <= point.change_high for point in verdict.points) for verdict in found]
    assert sum(inside) / runs >= 1 - most
    assert sum(changes) / runs >= 1 - most


@pytest.mark.parametrize(("documents", "repeats"), [(30, 10), (198, 3), (500, 3)])
def test_four_points_that_stay_lost_are_rarely_called_recovered(documents: int, repeats: int) -> None:
    runs = 60
    found = list(simulated(DIP_AND_BACK, documents, repeats, runs))
    assert sum(verdict.end in {"recovered", "held", "above base"} for verdict in found) / runs <= 0.05
    if documents == 500:
        assert sum(verdict.end in {"not recovered", "below base"} for verdict in found) / runs >= 0.6


def test_a_dip_of_five_points_is_seen() -> None:
    runs = 70
    once = [0.5, 0.5, 0.5, 0.45, 0.5, 0.5, 0.5, 0.5, 0.5]
    longer = [0.5, 0.5, 0.47, 0.45, 0.45, 0.47, 0.5, 0.5, 0.5]
    least = 0.8 - 2 * sqrt(0.8 * 0.2 / runs)
    assert sum(bool(verdict.dips) for verdict in simulated(once, 500, 4, runs)) / runs >= least
    assert sum(bool(verdict.dips) for verdict in simulated(longer, 500, 3, runs)) / runs >= least


def test_what_recovers_is_called_so() -> None:
    runs = 40
    found = list(simulated([*DIP_AND_BACK[:6], 0.5, 0.55, 0.55], 500, 3, runs))
    assert sum(verdict.end in {"recovered", "above base"} for verdict in found) / runs >= 0.95
