"""What all verdicts and bands of a long run cost, beside plain flip tests of each step.

    python benchmarks/trajectory.py [--million]

Ten tasks with 40,000 samples a step in all, at 9 steps: arrays are aligned, every task and three groups get tests over
all steps, limits, bands, peaks and noise, then Holm's adjustment over tasks. HaluEval's documents stand in pairs.

The peer is the usual way to test one checkpoint against the base: 10,000 draws of signs for the paired differences of
one task at one step, in a loop of numpy calls. It gives one p-value a task and step: no correction, limits, bands or
peaks. It is run for one step and counted eight times.

`--million` also reads one task of a million documents, to see the memory. The last line is one JSON object; `ratio`
compares the seconds of processors, which others on the machine change less.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sftgen_train.trajectory import Curves, adjust_over_tasks, align, read_curve, read_group

STEPS = (0, 5, 10, 20, 40, 80, 160, 320, 640)
TASKS = {  # documents and repeats
    "mmlu_pro": (12032, 1), "halueval": (20000, 1), "math500": (500, 3), "aime24": (30, 10), "lcb_v2": (511, 2),
    "ifeval": (541, 1), "truthfulqa": (817, 1), "alpaca_eval": (805, 1), "gpqa_diamond": (198, 10),
    "countdown": (1003, 1),
}  # fmt: skip
GROUPS = (
    ("math500", "aime24"), ("lcb_v2", "gpqa_diamond", "mmlu_pro"), ("ifeval", "alpaca_eval", "halueval", "truthfulqa")
)  # fmt: skip
LEVELS = np.array([0, -0.02, -0.08, -0.12, -0.1, -0.05, 0, 0.02, 0.03])
PEER_DRAWS = 10_000


def made() -> dict[str, np.ndarray[Any, Any]]:
    """Scores of documents at every step, one number a repeat."""
    rng = np.random.default_rng(0)
    found = {}
    for task, (documents, repeats) in TASKS.items():
        rates = np.clip(rng.beta(2, 2, (documents, 1)) + LEVELS, 0, 1)
        found[task] = (rng.random((documents, len(STEPS), repeats)) < rates[:, :, None]).astype(float)
    return found


def verdicts(scores: dict[str, np.ndarray[Any, Any]]) -> int:
    """Read everything; returns how many verdicts there are."""
    curves: dict[str, Curves] = {}
    for task, values in scores.items():
        pairs = np.arange(len(values)) // 2 if task == "halueval" else None
        curves[task] = align(values, STEPS, clusters=pairs)
    tasks = adjust_over_tasks([read_curve(task, curve) for task, curve in curves.items()])
    groups = adjust_over_tasks([read_group(" ".join(group), [curves[task] for task in group]) for group in GROUPS])
    return len(tasks) + len(groups)


def peer(scores: dict[str, np.ndarray[Any, Any]]) -> None:
    """One p-value a task, for one step."""
    rng = np.random.default_rng(0)
    for values in scores.values():
        differences = values[:, 3].mean(axis=1) - values[:, 0].mean(axis=1)
        seen, below = differences.mean(), 0
        for _ in range(PEER_DRAWS):
            signs = rng.choice((-1.0, 1.0), size=len(differences))
            below += bool((signs * differences).mean() <= seen)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, seconds of processors, and the result."""
    started, used = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - started, time.process_time() - used, result


def megabytes() -> int:
    """Peak memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measure and print."""
    scores = made()
    samples = sum(values.size for values in scores.values())
    before = megabytes()
    rounds = [timed(lambda: verdicts(scores)) for _ in range(3)]
    seconds, used = (sorted(taken)[1] for taken in list(zip(*rounds, strict=True))[:2])
    after = megabytes()
    print(f"{samples:,} samples, {rounds[0][2]} verdicts: {seconds:.2f} s, {used:.2f} s of processors (medians of 3)")
    print(f"{1000 * used / samples:.4f} ms of processors a sample")
    print(f"peak memory {before} MB with the arrays, {after} MB after")
    found: dict[str, Any] = {}
    if "--million" in sys.argv[1:]:
        rng = np.random.default_rng(1)
        many = (rng.random((1_000_000, len(STEPS))) < 0.5 + LEVELS).astype(float)
        held = megabytes()
        took, cpu, verdict = timed(lambda: read_curve("many", align(many, STEPS)))
        print(f"1,000,000 documents: {took:.1f} s, {cpu:.1f} s of processors, {verdict.end};")
        print(f"{held} MB with the array, {megabytes()} MB after")
        found = {"million_cpu_seconds": round(cpu, 1)}
    plain, plain_used = (8 * taken for taken in timed(lambda: peer(scores))[:2])
    print(f"plain flip tests of each step: {plain:.1f} s, {plain_used:.1f} s of processors")
    print(
        json.dumps(
            {
                "name": "trajectory",
                "ratio": round(plain_used / used, 1),
                "ours": round(used, 2),
                "peer": round(plain_used, 1),
                "unit": "CPU s",
                "samples": samples,
                "seconds": round(seconds, 2),
                "peer_seconds": round(plain, 1),
                "peak_mb": after,
                **found,
            }
        )
    )


if __name__ == "__main__":
    main()
