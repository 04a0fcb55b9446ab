"""Stages of the length and the regime: known curves, intervals that cover, and every branch of the written rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sftgen_train.trajectory import align
from sftgen_train.trajectory.alignment import Curves
from sftgen_train.trajectory.claims import Fall
from sftgen_train.trajectory.lengths import length_stages
from sftgen_train.trajectory.regime import read_regime

STEPS = [0, 10, 20, 40, 80, 160, 320, 480, 640]
# The base stands one doubling before the first step.
PLACES = np.array([np.log2(step or 5) for step in STEPS])


def tokens(means: Sequence[float], documents: int = 100, seed: int = 0, spread: float = 0.3) -> Curves:
    """Lengths of documents around means at the steps."""
    random = np.random.default_rng(seed)
    noise = np.exp(random.normal(-(spread**2) / 2, spread, (documents, len(means))))
    able = np.exp(random.normal(-(spread**2) / 2, spread, documents))
    return align(np.array(means) * able[:, None] * noise, STEPS[: len(means)])


def bent(*knots: tuple[float, float], start: float = 2000, slope: float = 600) -> list[float]:
    """A line over doublings that turns at steps by so much."""
    found = start + slope * (PLACES - PLACES[0])
    for step, turn in knots:
        found = found + turn * np.maximum(0, PLACES - np.log2(step))
    return [float(value) for value in found]


def test_a_surge_and_a_contraction() -> None:
    found = length_stages(tokens(bent((40, -1100)), 300), draws=200)
    assert found
    [knot] = found.knots
    assert knot.low <= 40 <= knot.high
    assert 25 < knot.step < 65
    assert [stage.kind for stage in found.stages] == ["surge", "contraction"]
    assert found.stages[0].slope == pytest.approx(600, rel=0.25)
    assert found.sentence().startswith("surge from step 0 to ")


def test_as_few_turns_as_fit() -> None:
    line, regrown = tokens(bent(), 200), tokens(bent((20, -1400), (160, 2500)), 500, spread=0.15)
    for curves, kinds in ((line, ["surge"]), (regrown, ["surge", "contraction", "surge"])):
        found = length_stages(curves)
        assert found
        assert [stage.kind for stage in found.stages] == kinds
        assert found.misfit > 0.05
    odd = length_stages(tokens([2000, 4000] * 4 + [2000], 300), draws=100)
    assert odd
    assert odd.misfit < 0.05


def test_too_little_and_nothing_that_varies() -> None:
    assert length_stages(tokens([100, 200])) is None
    assert length_stages(tokens([100, 200, 300, 200]), knots=1) is None
    assert length_stages(tokens([100, 200, 300], documents=1)) is None
    with pytest.raises(ValueError, match="expected 0, 1 or 2"):
        length_stages(tokens([100, 200, 300]), knots=3)
    same = length_stages(align(np.full((20, 9), 7.0), STEPS), draws=20)
    assert same
    assert [stage.kind for stage in same.stages] == ["no change shown"]


def test_the_interval_of_a_knot_covers() -> None:
    rounds = 50
    held = 0
    for seed in range(rounds):
        found = length_stages(tokens(bent((40, -1100)), 100, seed, 0.5), knots=1, draws=150, seed=seed)
        assert found
        held += found.knots[0].low <= 40 <= found.knots[0].high
    error = 2 * (0.95 * 0.05 / rounds) ** 0.5
    assert 0.93 - error <= held / rounds <= 0.97 + error


def shares(*right: int, of: int = 400) -> Curves:
    """The first so many documents are right, at steps 0, 10, 20, 40."""
    return align(np.stack([np.arange(of) < number for number in right], axis=1), STEPS[: len(right)])


FELL = Fall(10, 40, -0.1, 0.001, at_end=True)


@pytest.mark.parametrize(
    ("right", "length", "fall", "word", "said"),
    [
        ([200, 300, 300, 300], [500, 500, 500, 500], None, "converged", "from step 20 to 40 the score changes by"),
        ([200, 240, 240, 300], [500, 500, 500, 500], None, "under-optimised", "the score changes by +0.150"),
        ([200, 300, 300, 300], [500, 900, 900, 500], None, "under-optimised", "the length by -4"),
        ([200, 300, 280, 250], [500, 500, 500, 900], FELL, "over-fitted", "below the peak at step 10"),
        ([200, 300, 280, 250], [500, 500, 500, 500], FELL, "cannot tell", "the length is not shown to grow"),
        ([200, 300, 300, 293], [500, 500, 500, 500], None, "cannot tell", "not within delta"),
    ],
)  # fmt: skip
def test_the_rule(right: list[int], length: list[float], fall: Fall | None, word: str, said: str) -> None:
    found = read_regime(shares(*right), tokens(length, 400, spread=0.2), fall=fall, draws=500)
    assert found.word == word
    assert said in found.sentence


def test_a_run_too_short_to_tell() -> None:
    found = read_regime(shares(200, 300), tokens([500, 500]))
    assert (found.word, found.sentence) == ("cannot tell", "no step after the base is at most half of the last one")
