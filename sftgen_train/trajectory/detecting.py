"""How many documents, repeats and checkpoints it takes to see a dip: simulated, with the test that verdicts take.

What is simulated is that of the document of error rates (`simulation.draw`): documents differ in difficulty and are
easier or harder at each step on their own. Nothing is said beyond what was simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import betaincinv

from sftgen_train.trajectory.error_rates import Job, simulate
from sftgen_train.trajectory.simulation import Design

DOCUMENTS = (30, 50, 75, 100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000)
REPEATS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
WITHIN = (1, 2, 3, 4)
"""Checkpoints that may lie in a dip."""
RUNS = 400


@dataclass(frozen=True)
class Plan:
    """What is to be seen.

    Attributes:
        depth: How far the score falls, as a share.
        steps: Checkpoints after the base.
        goal: How often the dip is to be seen.
        runs: Simulated runs of each size.
        seed: Of the random numbers.
    """

    depth: float
    steps: int = 8
    goal: float = 0.8
    runs: int = RUNS
    seed: int = 0


@dataclass(frozen=True)
class Power:
    """How often a dip was seen in simulated runs.

    Attributes:
        documents: How many documents.
        repeats: Answers to each.
        within: Checkpoints in the dip.
        hits: In so many runs it was seen.
        runs: Of so many.
    """

    documents: int
    repeats: int
    within: int
    hits: int
    runs: int

    @property
    def share(self) -> float:
        """How often."""
        return self.hits / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """Its exact 95 % interval (Clopper and Pearson)."""
        low = float(betaincinv(self.hits, self.runs - self.hits + 1, 0.025)) if self.hits else 0.0
        high = float(betaincinv(self.hits + 1, self.runs - self.hits, 0.975)) if self.hits < self.runs else 1.0
        return low, high


@dataclass(frozen=True)
class Detection:
    """What a benchmark sees of a dip, and what it takes to see it.

    Attributes:
        design: The benchmark as it is.
        power: With the dip at each number of checkpoints.
        repeats: The fewest repeats with which the goal is reached where the dip is at one checkpoint, the documents as
            they are; None where none of `REPEATS` reaches it.
        documents: The same for documents, the repeats as they are; None where none of `DOCUMENTS` reaches it.
        within: The fewest checkpoints in the dip with which the benchmark as it is reaches it; None above `WITHIN`.
        unknown: Why nothing can be told; then all else is empty.
    """

    design: Design
    power: tuple[Power, ...] = ()
    repeats: Power | None = None
    documents: Power | None = None
    within: int | None = None
    unknown: str = ""


def detect(design: Design, plan: Plan) -> Detection:
    """Say what a benchmark sees of a dip.

    A size reaches the goal where the whole interval of its power does.

    Args:
        design: The benchmark, with the base's score.
        plan: What is to be seen.
    """
    if not design.share:
        return Detection(design, unknown="its score is a logit, of which no dip in points is known")
    if abs(float(design.levels((-plan.depth,))[0]) - (design.base - plan.depth)) > 1e-9:
        return Detection(design, unknown=f"a score of {design.base:g} has no room for a dip of {plan.depth:g}")
    if not WITHIN[-1] <= plan.steps <= 64:
        return Detection(design, unknown=f"{plan.steps} checkpoints after the base were not simulated, only 4 to 64")
    if design.documents > DOCUMENTS[-1] or design.repeats > REPEATS[-1]:
        most = f"up to {DOCUMENTS[-1]:,} documents and {REPEATS[-1]} repeats were simulated"
        return Detection(design, unknown=f"it has {design.documents:,} documents x {design.repeats}; {most}")
    power = tuple(simulated(design, plan, within) for within in WITHIN)
    within = next((found.within for found in power if _reaches(found, plan)), None)
    repeats = _fewest([replace(design, repeats=number) for number in REPEATS if number >= design.repeats], plan)
    documents = _fewest([replace(design, documents=number) for number in DOCUMENTS], plan)
    return Detection(design, power, repeats, documents, within)


def simulated(design: Design, plan: Plan, within: int = 1) -> Power:
    """How often a dip is seen that is equally deep at so many checkpoints and nothing at the others."""
    before = (plan.steps - within) // 2
    after = plan.steps - within - before
    changes = (0.0, *(0.0,) * before, *(-plan.depth,) * within, *(0.0,) * after)
    truth = f"dips {100 * plan.depth:g} at {within} of {plan.steps}"
    job = Job("power", (design,), truth, changes, plan.runs, plan.seed)
    hits = sum(sum(simulate(part)["dips"]) for part in job.parts())
    return Power(design.documents, design.repeats, within, int(hits), plan.runs)


def _reaches(found: Power, plan: Plan) -> bool:
    return found.interval[0] >= plan.goal


def _fewest(designs: Sequence[Design], plan: Plan) -> Power | None:
    """The power of the first size that reaches the goal, by halving: more documents or repeats see more."""
    low, high, best = 0, len(designs), None
    while low < high:
        middle = (low + high) // 2
        found = simulated(designs[middle], plan)
        if _reaches(found, plan):
            best, high = found, middle
        else:
            low = middle + 1
    return best
