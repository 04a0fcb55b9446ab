"""How often verdicts are wrong, see what is there, and intervals hold the truth: measured on simulated curves.

rates = measure(jobs(verdicts=400, cells=200), processes=2)
[rate for rate in rates if rate.met == "missed"]
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from zlib import crc32

import numpy as np

from sftgen_train.trajectory.alignment import Curves, align
from sftgen_train.trajectory.claims import SIGNIFICANCE, Verdict
from sftgen_train.trajectory.landmarks import landmarks
from sftgen_train.trajectory.max_t import flip_test
from sftgen_train.trajectory.rate import Rate
from sftgen_train.trajectory.simulated_answers import of_answers, of_equal_in_domain, of_parts, of_prices
from sftgen_train.trajectory.simulated_intervals import of_arms, of_landmarks, of_lengths, of_price
from sftgen_train.trajectory.simulation import BENCHMARKS, STEPS, Design, draw, draw_again, draw_curves
from sftgen_train.trajectory.so_far import Progress, so_far
from sftgen_train.trajectory.statistics import estimate, holm
from sftgen_train.trajectory.verdicts import read_curve, read_group

FLAT = (0.0,) * 9
STAYS_LOST = (0.0, -0.06, -0.12, -0.12, -0.08, -0.04, -0.04, -0.04, -0.04)
ENDS_ABOVE = (0.0, -0.06, -0.12, -0.12, -0.08, -0.04, 0.0, 0.05, 0.05)
ENDS_EQUAL = (0.0, -0.06, -0.12, -0.12, -0.08, -0.04, 0.0, 0.0, 0.0)
SHAPE_OF_DIP = (0.0, 0.0, 0.6, 1.0, 1.0, 0.6, 0.0, 0.0, 0.0)
"""A dip over four checkpoints, as a share of its depth."""
TRUTHS = {
    "no change": FLAT,
    "dips 12, stays 4 below": STAYS_LOST,
    "dips 12, ends 5 above": ENDS_ABOVE,
    "dips 12, ends equal": ENDS_EQUAL,
}
DRAWS = 499
"""Flips a test: fewer than a run's verdict takes, with which p = 0.05 is possible too."""
CHUNK = 25  # runs of one design that a process simulates in one go
BASES = (0.1, 0.3, 0.5, 0.7, 0.9)
NOTHING_LOST = frozenset({"recovered", "held", "above base"})
LOST = frozenset({"not recovered", "below base"})


@dataclass(frozen=True)
class Job:
    """Some simulated runs of one kind. The same job gives the same numbers, wherever it runs.

    Attributes:
        kind: A key of `KINDS`.
        designs: The benchmarks, one but for a group.
        truth: Its name.
        changes: True changes at the steps.
        runs: How many.
        seed: Of the random numbers.
        part: Which part of all runs of this kind.
        measure: Simulates a run of a kind that is none of `KINDS`: a function of a module, so that processes find it.
    """

    kind: str
    designs: tuple[Design, ...]
    truth: str
    changes: tuple[float, ...]
    runs: int
    seed: int = 0
    part: int = 0
    measure: Callable[[Job, np.random.Generator], Mapping[str, float]] | None = None

    def random(self) -> np.random.Generator:
        """Random numbers of this job alone."""
        return np.random.default_rng(
            [self.seed, self.part, crc32(repr((self.kind, self.designs, self.truth)).encode())]
        )

    def parts(self) -> Iterator[Job]:
        """The same runs in pieces that processes can share."""
        for part in range(-(-self.runs // CHUNK)):
            yield replace(self, part=part, runs=min(CHUNK, self.runs - part * CHUNK))


Found = Mapping[str, Sequence[float]]
"""For each thing that was counted its value in every run: 1 or 0, or a p-value."""


# ------------------------------------------------------------------------------ what is counted


def of_verdict(verdict: Verdict, levels: Sequence[float]) -> dict[str, float]:
    """What a verdict claims, and which of its intervals hold the true means."""
    changes = [level - levels[0] for level in levels]
    end = verdict.end
    points = list(zip(verdict.points, levels, changes, strict=True))
    return {
        "dips": bool(verdict.dips),
        "rises": bool(verdict.rises),
        "falls after a peak": verdict.fall is not None,
        "above base": end == "above base",
        "below base": end in LOST,
        "nothing lost": end in NOTHING_LOST,
        "not recovered": end == "not recovered",
        "cannot tell": end == "cannot tell",
        "checkpoint noise": verdict.noise is not None and verdict.noise.p <= SIGNIFICANCE,
        "band of changes": all(point.change_low <= change <= point.change_high for point, _, change in points[1:]),
        "band of scores": all(point.low <= level <= point.high for point, level, _ in points),
        "lower limit": verdict.end_low <= changes[-1],
        "upper limit": changes[-1] <= verdict.end_high,
        "p": verdict.p.get("dips", 1.0),
    }


def _read(job: Job, rng: np.random.Generator) -> dict[str, float]:
    (design,) = job.designs
    curves = draw_curves(rng, design, job.changes)
    delta = 0.02 if design.share else 0.2
    seed = int(rng.integers(2**32))
    verdict = read_curve(design.name, curves, delta=delta, share=design.share, draws=DRAWS, seed=seed)
    levels = design.levels(job.changes)
    found = of_verdict(verdict, levels.tolist())
    live = so_far(verdict, [curves], Progress(STEPS[len(job.changes) - 1], STEPS[-1], len(job.changes) - 1))
    found["anytime-valid"] = all(
        point.change_low <= change <= point.change_high
        for point, change in zip(live.points[1:], levels[1:] - levels[0], strict=True)
    )
    return found


def _group(job: Job, rng: np.random.Generator) -> dict[str, float]:
    curves = [draw_curves(rng, design, job.changes) for design in job.designs]
    verdict = read_group("group", curves, draws=DRAWS, seed=int(rng.integers(2**32)))
    return of_verdict(verdict, np.mean([design.levels(job.changes) for design in job.designs], axis=0).tolist())


def _power(job: Job, rng: np.random.Generator) -> dict[str, float]:
    (design,) = job.designs
    values = draw(rng, design, job.changes)
    tests = flip_test(values[:, 1:] - values[:, :1], design.clusters, draws=DRAWS, seed=int(rng.integers(2**32)))
    return {"dips": bool((tests.p_step_down <= SIGNIFICANCE).any())}


def _mean(job: Job, rng: np.random.Generator) -> dict[str, float]:
    found: dict[str, float] = {}
    for base in BASES if job.designs[0].share else (0.0,):
        design = replace(job.designs[0], base=base)
        interval = estimate(draw(rng, design, (0.0,))[:, 0].tolist(), share=design.share)
        found[f"interval of a mean, {base}"] = interval.low <= base <= interval.high
    return found


def _lengths(job: Job, rng: np.random.Generator) -> dict[str, float]:
    """Lengths of answers: skewed, with a long tail."""
    interval = estimate(rng.lognormal(7, 0.6, job.designs[0].documents).tolist(), share=False)
    return {"interval of a mean": interval.low <= np.exp(7 + 0.6**2 / 2) <= interval.high}


def _ratio(job: Job, rng: np.random.Generator) -> dict[str, float]:
    """Prompts with one to three instructions, easier ones with more of them: counted by instruction."""
    asked = rng.integers(1, 4, job.designs[0].documents)
    right = rng.binomial(asked, 0.4 + 0.15 * asked)
    truth = sum(number * (0.4 + 0.15 * number) for number in (1, 2, 3)) / 6

    def ratio(pairs: Sequence[tuple[float, float]]) -> float:
        return float(sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs))

    interval = estimate(list(zip(right.tolist(), asked.tolist(), strict=True)), aggregation=ratio)
    return {"interval of a ratio": interval.low <= truth <= interval.high}


def _of(
    simulate: Callable[[np.random.Generator, Design, Sequence[float]], Mapping[str, float]],
) -> Callable[[Job, np.random.Generator], Mapping[str, float]]:
    return lambda job, rng: simulate(rng, job.designs[0], job.changes)


KINDS: Mapping[str, Callable[[Job, np.random.Generator], Mapping[str, float]]] = {
    "verdict": _read, "group": _group, "power": _power, "mean": _mean, "lengths": _lengths, "ratio": _ratio,
    "landmarks": _of(of_landmarks), "arms": _of(of_arms), "stages": _of(of_lengths), "price": _of(of_price),
    "answers": _of(of_answers), "parts": _of(of_parts), "prices": _of(of_prices), "equal": _of(of_equal_in_domain),
}  # fmt: skip


def simulate(job: Job) -> dict[str, list[float]]:
    """Every count of a job, run by run."""
    rng = job.random()
    measure = job.measure or KINDS[job.kind]
    rows = [measure(job, rng) for _ in range(job.runs)]
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def simulate_all(
    jobs: Sequence[Job], *, processes: int = 1, seen: Callable[[int, int], None] = lambda done, of: None
) -> list[Found]:
    """Simulate jobs, shared among processes.

    Args:
        jobs: The jobs.
        processes: Of this machine; the numbers do not depend on it.
        seen: Is told how many parts of how many are done.

    Returns:
        What was found, a job each.
    """
    parts = [(place, part) for place, job in enumerate(jobs) for part in job.parts()]
    found: list[dict[str, list[float]]] = [{} for _ in jobs]
    if processes > 1:
        # One thread a process: several would wait for each other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            _gather(parts, pool.map(simulate, [part for _, part in parts]), found, seen)
    else:
        _gather(parts, (simulate(part) for _, part in parts), found, seen)
    return list(found)


def _gather(
    parts: Sequence[tuple[int, Job]],
    results: Iterable[dict[str, list[float]]],
    found: Sequence[dict[str, list[float]]],
    seen: Callable[[int, int], None],
) -> None:
    for done, ((place, _), result) in enumerate(zip(parts, results, strict=True), 1):
        for name, values in result.items():
            found[place].setdefault(name, []).extend(values)
        seen(done, len(parts))


# ------------------------------------------------------------------------------ goals

_false = partial(Rate, high=SIGNIFICANCE)
_CLAIMS = {
    "no change": ("dips", "rises", "falls after a peak", "above base", "below base", "checkpoint noise"),
    "dips 12, stays 4 below": ("nothing lost",),
}
_WORDS = {
    "dips": "dips",
    "rises": "some step above the base",
    "falls after a peak": "falls after a peak",
    "above base": "above base",
    "below base": "not recovered, or below base",
    "nothing lost": "recovered, held or above base",
    "checkpoint noise": "checkpoints differ (p at most 0.05)",
}
INTERVALS = {
    "band of changes": "band of the changes, all steps together",
    "band of scores": "band of the scores, all steps together",
    "lower limit": "lower 95 % limit of the end's change",
    "upper limit": "upper 95 % limit of the end's change",
    "anytime-valid": "anytime-valid intervals of the changes, all together",
}


def false_claims(job: Job, found: Found) -> list[Rate]:
    """Claims that are wrong with this truth."""
    data = named(job)
    return [
        _false(_WORDS[claim], data, job.truth, int(sum(found[claim])), len(found[claim]))
        for claim in _CLAIMS.get(job.truth, ())
        if job.kind == "verdict" or claim != "checkpoint noise"
    ]


def covered(job: Job, found: Found) -> list[Rate]:
    """How often the intervals of a verdict hold the truth."""
    rates = []
    for name, words in INTERVALS.items():
        if name in found:
            high = 1.0 if name == "anytime-valid" else 0.97
            low = 0.95 if name == "anytime-valid" else 0.93
            rates.append(Rate(words, named(job), job.truth, int(sum(found[name])), len(found[name]), low, high))
    return rates


CAUTIOUS = frozenset(
    {
        "difference of dip depth", "difference of peak", "differences at equal in-domain score, all together",
        "difference of pass@k",
    }
)  # fmt: skip
"""Intervals that hold more often than 95 %: the extreme step is not known, each of several levels has its own, or only
a few documents differ."""


def covered_each(job: Job, found: Found) -> list[Rate]:
    """How often each interval of a kind holds the truth; one that allows for several highest steps holds more often."""
    return [
        Rate(name, named(job), job.truth, int(sum(values)), len(values), 0.93, 1.0 if name in CAUTIOUS else 0.97)
        for name, values in found.items()
    ]


def covered_mean(job: Job, found: Found) -> Rate:
    """How often the interval that is printed for one score holds the truth, over low and high scores."""
    hits = sum(sum(values) for values in found.values())
    runs = sum(len(values) for values in found.values())
    claim = {"mean": "interval of a score", "lengths": "interval of a mean length", "ratio": "interval of a ratio"}
    return Rate(claim[job.kind], named(job), job.truth, int(hits), runs, 0.93, 0.97)


def over_tasks(found: Sequence[Found]) -> Rate:
    """Whether any of several tasks is said to dip, after Holm's adjustment over tasks: nothing changed in any."""
    # Of some tasks more runs are simulated.
    runs = zip(*(result["p"] for result in found), strict=False)
    wrong = [min(holm(list(ps))) <= SIGNIFICANCE for ps in runs]
    return _false("any of the tasks dips, over tasks", f"{len(found)} tasks", "no change", sum(wrong), len(wrong))


def named(job: Job) -> str:
    """The data of a job in words: name, documents and repeats."""
    several = " + ".join(design.name for design in job.designs)
    if len(job.designs) > 1:
        return several
    (design,) = job.designs
    size = f"{design.documents} x {design.repeats}"
    clusters = f", clusters of {design.cluster}" if design.cluster > 1 else ""
    kind = "" if design.share else ", logits"
    name = {"lengths": "lengths", "ratio": "instructions followed", "stages": "lengths"}.get(job.kind, design.name)
    return f"{name} ({size}{clusters}{kind})" if name else f"{size}{clusters}{kind}"


def again(curves: Curves, runs: int, *, share: bool = True, delta: float = 0.02, seed: int = 0) -> list[Rate]:
    """A/A test of a run's own task: the same model with other seeds, as often as the run has steps.

    Args:
        curves: The task's curve; only its first step says how good the model is.
        runs: How often it is resampled.
        share: Whether values lie between 0 and 1.
        delta: The loss that does not matter.
        seed: Of the random numbers.

    Returns:
        How often a dip, a gain or a loss was claimed. None for a curve of one step.
    """
    if len(curves.steps) < 2 or not len(curves.values):
        return []
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for run in range(runs):
        values = draw_again(rng, curves.values, curves.repeats, share)
        same = align(values, curves.steps, clusters=curves.clusters)
        verdict = read_curve("task", same, base=curves.steps[0], delta=delta, share=share, draws=DRAWS, seed=seed + run)
        counts.update(name for name, hit in of_verdict(verdict, values.mean(axis=0).tolist()).items() if hit is True)
    data = f"{len(curves.values)} documents, {len(curves.steps)} steps"
    claims = ("dips", "rises", "falls after a peak", "above base", "below base")
    return [_false(_WORDS[claim], data, "no change", counts[claim], runs) for claim in claims]


def fingerprint() -> str:
    """What the tests and intervals give for fixed data: another fingerprint means that they have changed."""
    parts: list[float] = []
    for number, (design, changes) in enumerate(
        ((BENCHMARKS[0], STAYS_LOST), (BENCHMARKS[3], ENDS_ABOVE), (BENCHMARKS[7], FLAT), (Design("", 40, 1), FLAT))
    ):
        rng = np.random.default_rng(number)
        verdict = read_curve("", draw_curves(rng, design, changes), share=design.share, draws=DRAWS)
        score = estimate(draw(rng, design, (0.0,))[:12, 0].tolist(), share=design.share)
        for point in verdict.points:
            parts += [point.mean, point.low, point.high, point.change_low, point.change_high, point.p_step_down]
        for mark in landmarks(draw_curves(rng, design, changes), share=design.share, draws=DRAWS):
            parts += [mark.seen.low, mark.seen.high] if mark.distribution is None else []
        parts += [verdict.end_low, verdict.end_high, *(p for _, p in sorted(verdict.p.items())), score.low, score.high]
    text = " ".join(f"{value:.6f}" for value in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
