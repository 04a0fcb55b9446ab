"""What choosing steps after looking does to the test of a dip: false claims where nothing changes.

    python benchmarks/adaptive_steps.py [RUNS]

A run has nine steps that were fixed beforehand and candidates between them. Six of these are chosen one after the
other, as a worker chooses them, where the score moved most between two evaluated steps; then all steps, or only the
nine, are tested as `sftgen trajectory` tests them at 5 %. The true scores of all steps are equal. Documents differ in
difficulty, and are easier or harder at each step on their own; what two neighbouring steps have in common of that is
nothing, or nearly all (a correlation of 0.9). Each line: documents, repeats, candidates between two steps, correlation,
and the share of runs in which a dip is claimed.
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
from scipy.special import expit

from sftgen_train.queue.adaptive import choose
from sftgen_train.trajectory.max_t import flip_test
from sftgen_train.trajectory.simulation import ABILITY, STEP_NOISE

CHOSEN, FIXED, LEVEL = 6, 9, 0.05
SIZES = ((198, 3), (500, 3), (30, 10))
KEY = ("task", "score")


def claims(documents: int, repeats: int, between: int, alike: float, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether a dip is claimed over all steps, and over the fixed ones."""
    count = (FIXED - 1) * (between + 1) + 1
    noise = rng.normal(0, STEP_NOISE, (documents, count))
    for step in range(1, count):
        noise[:, step] = alike * noise[:, step - 1] + np.sqrt(1 - alike**2) * noise[:, step]
    rates = expit(rng.normal(0, ABILITY, documents)[:, None] + noise)
    values = rng.binomial(repeats, rates) / repeats
    fixed = list(range(0, count, between + 1))
    means = {step: {KEY: float(values[:, step].mean())} for step in fixed}
    for _ in range(CHOSEN):
        choice = choose(means, [step for step in range(count) if step not in means])
        if choice is None:
            break
        means[choice.step] = {KEY: float(values[:, choice.step].mean())}
    seed = int(rng.integers(2**32))

    def dips(steps: list[int]) -> bool:
        tests = flip_test(values[:, steps[1:]] - values[:, :1], draws=499, seed=seed)
        return bool((tests.p_step_down <= LEVEL).any())

    return dips(sorted(means)), dips(fixed)


def main() -> None:
    """Simulate every setting."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    for (documents, repeats), between, alike in product(SIZES, (1, 3), (0.0, 0.9)):
        rng = np.random.default_rng([documents, between, round(10 * alike)])
        found = np.array([claims(documents, repeats, between, alike, rng) for _ in range(runs)]).mean(axis=0)
        error = 100 * (LEVEL * (1 - LEVEL) / runs) ** 0.5
        print(
            f"{documents} x {repeats}, {between} between, {alike}: all steps {100 * found[0]:.1f} %, "
            f"fixed steps {100 * found[1]:.1f} % (s.e. {error:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
