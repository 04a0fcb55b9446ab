"""Simulated curves with known truth, to measure how often verdicts are wrong and intervals miss.

Documents differ in difficulty, each is a little easier or harder at each step on its own, and is answered several
times. Documents of one cluster share half of both.

    rng = np.random.default_rng(0)
    values = draw(rng, Design("MATH500", 500, 3, base=0.7), changes=[0, -0.05, 0])  # documents x steps
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from sftgen_train.trajectory.alignment import Curves, Floats, Integers, align

ABILITY = 1.8
"""Standard deviation of documents' difficulty, in logits."""
STEP_NOISE = 0.7
"""Standard deviation of what one step alone adds to a document, in logits: documents x steps."""
SHARED = 0.5
"""Of the variance of both, what the documents of a cluster have in common."""
STEPS = (0, 10, 20, 40, 80, 160, 320, 480, 640)
_LEAST = 0.01  # no true share is nearer to 0 or 1


@dataclass(frozen=True)
class Design:
    """The size and kind of a benchmark.

    Attributes:
        name: Its name.
        documents: How many documents it has.
        repeats: Answers to each.
        base: The true score of the base: a share, or a logit.
        cluster: Documents that share a source; 1 if all are independent.
        share: Whether the score is a share. Else it is a reward model's logit: normal, with the standard deviations
            of `ABILITY` and `STEP_NOISE`, and with repeats that differ by `STEP_NOISE`.
    """

    name: str
    documents: int
    repeats: int
    base: float = 0.5
    cluster: int = 1
    share: bool = True

    @property
    def clusters(self) -> Integers:
        """The number of each document's cluster."""
        return np.arange(self.documents) // self.cluster

    def levels(self, changes: Sequence[float]) -> Floats:
        """True means at each step. A change of a share is in shares, one of a logit in tenths."""
        if not self.share:
            return self.base + 10 * np.asarray(changes, dtype=np.float64)
        return np.clip(self.base + np.asarray(changes, dtype=np.float64), _LEAST, 1 - _LEAST)


BENCHMARKS = (
    Design("AIME24", 30, 10, 0.110),
    Design("AIME24, base 50 %", 30, 10, 0.5),
    Design("MATH500", 500, 3, 0.708),
    Design("LiveCodeBench v2", 511, 3, 0.206, cluster=4),
    Design("GPQA-Diamond", 198, 3, 0.375),
    Design("MMLU-Pro", 1000, 1, 0.355),
    Design("IFEval", 541, 1, 0.492),
    Design("AlpacaEval", 805, 1, -0.13, share=False),
    Design("HaluEval QA", 1000, 1, 0.508, cluster=2),
    Design("TruthfulQA", 817, 1, 0.482),
    Design("HEx-PHI", 330, 1, 0.9),
)
"""The ten benchmarks: documents, repeats and about the score of a small base model; AIME24 also at its widest."""


def draw(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> Floats:
    """The values of one simulated run: documents x steps, means over repeats.

    Args:
        rng: Random numbers.
        design: The benchmark.
        changes: True changes from the base, at each step.
    """
    shape = (design.documents, len(changes))
    ability, noise = _spread(rng, design, ABILITY, shape[:1]), _spread(rng, design, STEP_NOISE, shape)
    levels = design.levels(changes)
    if not design.share:
        answers = rng.normal(0, STEP_NOISE / design.repeats**0.5, shape)
        return np.asarray(levels + ability[:, None] + noise + answers)
    rates = expit(ability[:, None] + noise + shifts(levels))
    return np.asarray(rng.binomial(design.repeats, rates) / design.repeats)


def draw_curves(rng: np.random.Generator, design: Design, changes: Sequence[float]) -> Curves:
    """The same, aligned, at the steps of `STEPS`."""
    return align(draw(rng, design, changes), STEPS[: len(changes)], clusters=design.clusters)


def shifts(levels: ArrayLike) -> Floats:
    """The shifts in logits with which documents have these true means."""
    grid, means = _means()
    return np.asarray(np.interp(np.asarray(levels, dtype=np.float64), means, grid))


def draw_again(rng: np.random.Generator, values: Floats, repeats: float, share: bool) -> Floats:
    """The same model with other seeds: nothing changes between the steps but the answers.

    A document's true rate is its rate at the first step with one answer more, which is right as often as all are: a
    rate of a few answers would else be too sure. Of what is no share the noise of answers is not known: each document
    keeps its values and they change places between the steps.

    Args:
        rng: Random numbers.
        values: Documents x steps of a run; the first step is the base.
        repeats: Answers to a document.
        share: Whether values lie between 0 and 1.

    Returns:
        Values of the same shape.
    """
    if not share:
        return np.asarray(rng.permuted(values, axis=1))
    answers = max(1, round(repeats))
    base = values[:, 0]
    rates = (base * answers + base.mean()) / (answers + 1)
    return np.asarray(rng.binomial(answers, np.broadcast_to(rates[:, None], values.shape)) / answers)


def _spread(rng: np.random.Generator, design: Design, deviation: float, shape: tuple[int, ...]) -> Floats:
    found = rng.normal(0, deviation, shape)
    if design.cluster == 1:
        return found
    of = design.clusters
    together = rng.normal(0, deviation, (int(of[-1]) + 1, *shape[1:]))
    return np.asarray((1 - SHARED) ** 0.5 * found + SHARED**0.5 * together[of])


@cache
def _means() -> tuple[Floats, Floats]:
    """Shifts in logits and the means that documents then have."""
    grid = np.linspace(-12, 12, 1201)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return grid, expit(grid[:, None] + np.hypot(ABILITY, STEP_NOISE) * nodes) @ (weights / weights.sum())
