"""How often `sftgen gate` is wrong, and how often it sees a drop, on simulated benchmarks with known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from sftgen_train.gating.decision import EXIT_CODES, Pairs, decide
from sftgen_train.gating.policy import Rule
from sftgen_train.trajectory.claims import SIGNIFICANCE
from sftgen_train.trajectory.error_plan import Curve, Further, Section
from sftgen_train.trajectory.error_rates import DRAWS, Found, Job
from sftgen_train.trajectory.rate import Rate
from sftgen_train.trajectory.simulation import BENCHMARKS, Design, draw

ALLOWED = 0.02
"""Points that the simulated policies allow."""
SHARE = 0.1
"""The share of the baseline that a policy with `max_relative_drop` allows."""
SIX = tuple(BENCHMARKS[place] for place in (0, 2, 3, 4, 6, 10))
"""Six benchmarks of 30 to 541 documents."""
DOCUMENTS, DROPS = (200, 500, 1000), (0.04, 0.06, 0.1)
_TABLE, _RELATIVE, _POWER = "gate", "gate, shares", "gate, one drops"
_WRONG: Mapping[str, tuple[str, ...]] = {
    "no drop": ("NO-GO",), "drop of 2 in each, 2 allowed": ("GO", "NO-GO"), "drop of 4 in one, 2 allowed": ("GO",),
    "drop of a tenth in each, a tenth allowed": ("GO", "NO-GO"),
}  # fmt: skip
"""Answers that are wrong, by what is true."""


def further(scale: float = 1.0, seed: int = 0) -> Further:
    """What the document of error rates says of the gate.

    Args:
        scale: How many times the usual number of runs.
        seed: Of the random numbers.
    """
    runs = [max(2, round(scale * number)) for number in (400, 150)]
    jobs = [
        Job(kind, designs, truth, changes, runs[0], seed, measure=_decided)
        for kind, designs, truth, changes in (
            (_TABLE, SIX, "no drop", (0.0, 0.0)),
            (_TABLE, SIX, "drop of 2 in each, 2 allowed", (0.0, -ALLOWED)),
            (_TABLE, SIX, "drop of 2 in each, 2 allowed", (0.0, -ALLOWED, -ALLOWED, -ALLOWED)),
            (_POWER, SIX, "drop of 4 in one, 2 allowed", (0.0, -0.04)),
            (_RELATIVE, SIX, "drop of a tenth in each, a tenth allowed", (0.0, -SHARE)),
        )
    ]
    equal = {n: tuple(Design(f"{n} documents, number {place}", n, 3) for place in range(6)) for n in DOCUMENTS}
    cells = [
        Job(_POWER, equal[n], f"drop of {100 * drop:g} in one" if drop else "no drop", (0.0, -drop), runs[1], seed,
            measure=_decided)
        for drop, n in product((0.0, *DROPS), DOCUMENTS)
    ]  # fmt: skip

    def tell(of: Mapping[Job, Found]) -> tuple[Sequence[Section], Sequence[Curve]]:
        wrong = [_rate(job, of[job], answer, high=SIGNIFICANCE) for job in jobs for answer in _WRONG[job.truth]]
        answers = [_rate(job, of[job], answer) for job in cells for answer in EXIT_CODES]
        lines = [Curve("gate", f"drop of {100 * drop:g} points", _shown(of, cells, drop)) for drop in DROPS]
        return [Section("Answers of the gate that are wrong", tuple(wrong)),
                Section("Answers of the gate", tuple(answers))], lines  # fmt: skip

    return Further((*jobs, *cells), tell)


def _shown(of: Mapping[Job, Found], cells: Sequence[Job], drop: float) -> tuple[tuple[float, float], ...]:
    """Documents of each benchmark, and how often a drop in one of them is shown."""
    having = [job for job in cells if job.changes[-1] == -drop]
    return tuple((float(job.designs[0].documents), sum(of[job]["NO-GO"]) / job.runs) for job in having)


def _decided(job: Job, rng: np.random.Generator) -> dict[str, float]:
    """One run that is judged: what the gate answers."""
    relative = job.kind == _RELATIVE
    pairs, rules = {}, {}
    for place, design in enumerate(job.designs):
        scale = design.base if relative else 1.0 if place == 0 or job.kind == _TABLE else 0.0
        values = draw(rng, design, [scale * change for change in job.changes])
        steps = tuple(range(1, values.shape[1]))
        base = np.repeat(values[:, :1], len(steps), axis=1)
        pairs[design.name] = Pairs(steps, (0,) * len(steps), values[:, 1:] - base, design.clusters, baseline=base)
        rules[design.name] = Rule(
            tier="critical",
            max_drop=1.0 if relative else ALLOWED,
            max_relative_drop=SHARE if relative else None,
            min_pairs=10,
        )
    outcome = decide(rules, pairs, draws=DRAWS, seed=int(rng.integers(2**32))).outcome
    return {answer: float(answer == outcome) for answer in EXIT_CODES}


def _rate(job: Job, found: Found, answer: str, high: float = 1.0) -> Rate:
    sizes = [design.documents for design in job.designs]
    steps = len(job.changes) - 1
    data = f"6 benchmarks of {min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"6 benchmarks of {sizes[0]}"
    judged = f", {steps} steps judged" if steps > 1 else ""
    return Rate(answer, f"{data} documents{judged}", job.truth, int(sum(found[answer])), job.runs, high=high)
