"""What choosing steps after looking does: to the test of a dip where nothing changes, and to the landmarks of a dip.

    python benchmarks/adaptive_steps.py [RUNS]

A run has nine steps that were fixed beforehand and candidates between them. Six of these are chosen one after the
other, as a worker chooses them, where the score of a task moved most between two evaluated steps; then all steps, or
only the nine, are read as `sftgen trajectory` reads them. Documents differ in difficulty, and are easier or harder at
each step on their own; what two neighbouring steps have in common of that is nothing, or nearly all (a correlation of
0.9).

* False claims: the true scores of all steps are equal, in one task or in each of six. Each line has the share of runs
  in which a dip is claimed at 5 %, in six tasks after Holm.
* Landmarks: one task falls by 20 points and comes back, lowest at a candidate between two of the fixed steps. Each line
  has the share of runs whose 95 % interval holds the true number of the steps that it was made of.

The last line is one JSON object: the share of false claims over all settings with chosen steps (`ours`), and with
fixed ones (`peer`), in per cent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product

import numpy as np

from sftgen_train.queue.adaptive import choose
from sftgen_train.trajectory.alignment import Floats, align
from sftgen_train.trajectory.landmarks import landmarks, measured
from sftgen_train.trajectory.max_t import flip_test
from sftgen_train.trajectory.simulation import ABILITY, STEP_NOISE, shifts

CHOSEN, FIXED, LEVEL, DEPTH = 6, 9, 0.05, 0.2
SIZES = ((198, 3), (500, 3), (30, 10))
SEVERAL = 6
NAMES = ("dip depth", "peak", "end", "area")


def answers(documents: int, repeats: int, levels: Sequence[float], alike: float, rng: np.random.Generator) -> Floats:
    """Simulated means over repeats: documents x steps, of these true scores."""
    noise = rng.normal(0, STEP_NOISE, (documents, len(levels)))
    for step in range(1, len(levels)):
        noise[:, step] = alike * noise[:, step - 1] + np.sqrt(1 - alike**2) * noise[:, step]
    rates = 1 / (1 + np.exp(-(rng.normal(0, ABILITY, documents)[:, None] + noise + shifts(levels))))
    return np.asarray(rng.binomial(repeats, rates) / repeats)


def chosen(tasks: Sequence[Floats], between: int) -> tuple[list[int], list[int]]:
    """All evaluated steps, and the fixed ones among them."""
    count = tasks[0].shape[1]
    fixed = list(range(0, count, between + 1))

    def means(step: int) -> dict[tuple[str, str], float]:
        return {(f"task {place}", "score"): float(values[:, step].mean()) for place, values in enumerate(tasks)}

    known = {step: means(step) for step in fixed}
    for _ in range(CHOSEN):
        choice = choose(known, [step for step in range(count) if step not in known])
        if choice is None:
            break
        known[choice.step] = means(choice.step)
    return sorted(known), fixed


def claims(tasks: int, size: tuple[int, int], between: int, alike: float, rng: np.random.Generator) -> list[bool]:
    """Whether a dip is claimed though nothing changes: over all steps, and over the fixed ones."""
    level = [0.5] * ((FIXED - 1) * (between + 1) + 1)
    drawn = [answers(*size, level, alike, rng) for _ in range(tasks)]
    seed = int(rng.integers(2**32))

    def dips(steps: list[int]) -> bool:
        found = [flip_test(values[:, steps[1:]] - values[:, :1], draws=499, seed=seed) for values in drawn]
        return bool(min(tests.p_step_down.min() for tests in found) * tasks <= LEVEL)  # Holm's first step

    return [dips(steps) for steps in chosen(drawn, between)]


def held(size: tuple[int, int], between: int, alike: float, rng: np.random.Generator) -> list[list[bool]]:
    """Whether the interval of each landmark holds the truth: over all steps, and over the fixed ones."""
    count = (FIXED - 1) * (between + 1) + 1
    lowest = 2 * (between + 1) + 1
    true = 0.6 - DEPTH * np.clip(1 - np.abs(np.arange(count) - lowest) / (2 * (between + 1)), 0, 1)
    values = answers(*size, true.tolist(), alike, rng)
    found = []
    for steps in chosen([values], between):
        truth = measured(true[steps][None], steps, 0)
        made = {each.name: each.seen for each in landmarks(align(values[:, steps], steps), draws=400)}
        found.append([made[name].low <= truth[name][0] <= made[name].high for name in NAMES])
    return found


def main() -> None:
    """Simulate every setting."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    error = 100 * (LEVEL * (1 - LEVEL) / runs) ** 0.5
    all_found = []
    for tasks, size, between, alike in product((1, SEVERAL), SIZES, (1, 3), (0.0, 0.9)):
        rng = np.random.default_rng([tasks, size[0], between, round(10 * alike)])
        found = 100 * np.array([claims(tasks, size, between, alike, rng) for _ in range(runs)]).mean(axis=0)
        all_found.append(found)
        where = f"{tasks} x {size[0]} documents x {size[1]}, {between} between, {alike}"
        print(f"{where}: a dip in {found[0]:.1f} %, fixed steps {found[1]:.1f} % (s.e. {error:.1f})", flush=True)
    for size, between, alike in product(SIZES, (1, 3), (0.0, 0.9)):
        rng = np.random.default_rng([size[0], between, round(10 * alike)])
        shares = 100 * np.array([held(size, between, alike, rng) for _ in range(runs)]).mean(axis=0)
        told = ", ".join(f"{name} {of[0]:.0f} % ({of[1]:.0f} %)" for name, of in zip(NAMES, shares.T, strict=True))
        print(f"{size[0]} documents x {size[1]}, {between} between, {alike}: {told} (fixed steps)", flush=True)
    ours, peer = np.array(all_found).mean(axis=0)
    facts = {"ratio": round(ours / peer, 3), "ours": round(ours, 2), "peer": round(peer, 2)}
    print(json.dumps({"name": "adaptive_steps", **facts, "unit": "% of runs with a false dip"}))


if __name__ == "__main__":
    main()
