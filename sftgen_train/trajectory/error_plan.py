"""What is simulated for the self-test and for the document of error rates, and which goals are asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sftgen_train.trajectory.error_rates import (
    FLAT,
    SHAPE_OF_DIP,
    TRUTHS,
    Found,
    Job,
    covered,
    covered_each,
    covered_mean,
    false_claims,
    named,
    over_tasks,
    simulate_all,
)
from sftgen_train.trajectory.rate import Rate
from sftgen_train.trajectory.simulation import BENCHMARKS, Design

STAYS = "dips 12, stays 4 below"
_ABOVE, _EQUAL = "dips 12, ends 5 above", "dips 12, ends equal"
SIZES = ((3, 3), (5, 10), (10, 3), (30, 1), (30, 10), (198, 3), (500, 3), (817, 1))
"""Documents and repeats, for the interval of a single score."""
GROUPS = (
    (Design("MATH500", 500, 3, 0.708), Design("AIME24", 30, 10, 0.11)),
    (Design("IFEval", 541, 1, 0.492), Design("TruthfulQA", 817, 1, 0.482)),
)
ONE_STEP = (0.0, 0.0, 0.0, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0)
FOUR_STEPS = tuple(-0.05 * part for part in SHAPE_OF_DIP)
DOCUMENTS, REPEATS, DEPTHS = (30, 100, 198, 500, 1000), (1, 2, 3, 4, 8), (0.02, 0.03, 0.05, 0.08, 0.12)
FEW = tuple(design for design in BENCHMARKS if design.documents < 100)
"""Benchmarks for which symmetric intervals fail first; they are simulated more often."""
MANY = tuple(design for design in BENCHMARKS if design.documents >= 100)
SETTLED = (BENCHMARKS[1], BENCHMARKS[4], BENCHMARKS[2], BENCHMARKS[6])
"""Benchmarks for which the words about the end are told."""


@dataclass(frozen=True)
class Section:
    """Rates that stand in one table.

    Attributes:
        title: What it is about.
        rates: The rates; those without a goal are at most 100 %.
    """

    title: str
    rates: tuple[Rate, ...]


@dataclass(frozen=True)
class Curve:
    """One line of a plot of power: how often a dip is seen.

    Attributes:
        plot: Name of the plot.
        label: Of the line.
        points: Place on the axis and share.
    """

    plot: str
    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        sections: The tables.
        curves: The lines of the plots.
        runs: Simulated runs in all.
        seed: Of the random numbers.
    """

    sections: tuple[Section, ...]
    curves: tuple[Curve, ...]
    runs: int
    seed: int

    @property
    def missed(self) -> tuple[Rate, ...]:
        """What does not meet its goal."""
        return tuple(rate for section in self.sections for rate in section.rates if rate.met == "missed")


Seen = Callable[[int, int], None]


@dataclass(frozen=True)
class Further:
    """What another room measures for the document.

    Attributes:
        jobs: Its jobs.
        tell: Its tables and the lines of its plots, from what its jobs found.
    """

    jobs: tuple[Job, ...]
    tell: Callable[[Mapping[Job, Found]], tuple[Sequence[Section], Sequence[Curve]]]


def quick(runs: int, *, seed: int = 0, processes: int = 1, seen: Seen = lambda done, of: None) -> Measured:
    """The self-test: the smallest benchmark and two larger ones, false claims and power.

    Args:
        runs: Simulated runs of each kind.
        seed: Of the random numbers.
        processes: Of this machine.
        seen: As `simulate_all`.
    """
    some = (BENCHMARKS[0], BENCHMARKS[4], BENCHMARKS[2])
    jobs = [*_verdicts(some, ("no change", STAYS), runs, seed), *_goals(runs, seed)]
    found = simulate_all(jobs, processes=processes, seen=seen)
    return Measured(tuple(_claims(jobs, found)), (), sum(job.runs for job in jobs), seed)


def whole(
    scale: float = 1.0,
    *,
    further: Sequence[Further] = (),
    seed: int = 0,
    processes: int = 1,
    seen: Seen = lambda done, of: None,
) -> Measured:
    """Everything in the document of error rates.

    Args:
        scale: How many times the usual number of runs.
        further: What other rooms measure.
        seed: Of the random numbers.
        processes: Of this machine.
        seen: As `simulate_all`.
    """

    def times(runs: int) -> int:
        return max(2, round(scale * runs))

    jobs = [
        *_verdicts(FEW, ("no change", STAYS), times(1500), seed),
        *_verdicts(MANY, ("no change",), times(600), seed),
        *_verdicts(MANY, (STAYS,), times(400), seed),
        *_verdicts(SETTLED, (_ABOVE, _EQUAL), times(150), seed),
        *(Job("group", group, "no change", FLAT, times(400), seed) for group in GROUPS),
        *_goals(times(400), seed),
        *_single_scores(times, seed),
        *_intervals(times, seed),
    ]
    cells = _cells(times(200), seed)
    of_rooms = [job for each in further for job in each.jobs]
    everything = list(dict.fromkeys([*jobs, *(job for *_, job in cells), *of_rooms]))
    of = dict(zip(everything, simulate_all(everything, processes=processes, seen=seen), strict=True))
    found = [of[job] for job in jobs]
    false, *others_told = _claims(jobs, found)
    flat = [of[job] for job in jobs if job.kind == "verdict" and job.truth == "no change"]
    told = [each.tell(of) for each in further]
    sections = (
        Section(false.title, (*false.rates, over_tasks(flat))),
        *others_told,
        *_coverage(jobs, found),
        *(section for of_room, _ in told for section in of_room),
        _ends(of),
    )
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for plot, line, place, job in cells:
        curves.setdefault((plot, line), []).append((place, sum(of[job]["dips"]) / job.runs))
    lines = tuple(Curve(*names, tuple(points)) for names, points in curves.items())
    lines += tuple(line for _, of_room in told for line in of_room)
    return Measured(sections, lines, sum(job.runs for job in everything), seed)


# ------------------------------------------------------------------------------ jobs

_Cell = tuple[str, str, float, Job]


_Times = Callable[[int], int]
"""How many runs are simulated of so many usual ones."""


def _single_scores(times: _Times, seed: int) -> list[Job]:
    """What the interval of one score is measured on."""
    return [
        *(Job("mean", (Design("", *size),), "no change", FLAT, times(1000), seed) for size in SIZES),
        Job("mean", (Design("", 805, 1, share=False),), "no change", FLAT, times(1000), seed),
        Job("lengths", (Design("", 198, 1),), "no change", FLAT, times(2000), seed),
        Job("lengths", (Design("", 30, 1),), "no change", FLAT, times(2000), seed),
        Job("ratio", (Design("", 120, 1),), "no change", FLAT, times(400), seed),
    ]


def _intervals(times: _Times, seed: int) -> list[Job]:
    """What the intervals of landmarks, arms, lengths, prices and answers are measured on."""
    return [
        *(
            Job("landmarks", (design,), truth, TRUTHS[truth], times(600), seed)
            for truth in ("no change", STAYS, _ABOVE)
            for design in (*FEW, BENCHMARKS[4])
        ),
        *(
            Job("arms", (design,), truth, TRUTHS[truth], times(400), seed)
            for truth in ("no change", _EQUAL)
            for design in (*FEW, BENCHMARKS[3], BENCHMARKS[4])
        ),
        *(Job("stages", (Design("", n, 1),), "turn at step 40", FLAT, times(500), seed) for n in (30, 198)),
        *(
            Job("price", (design,), "reasoning + 15, attacks + 10", FLAT[:2], times(500), seed)
            for design in (BENCHMARKS[0], BENCHMARKS[2])
        ),
        *(
            Job("answers", (design,), "second 4 points better", (0.0, 0.04), times(500), seed)
            for design in (*FEW, BENCHMARKS[2], BENCHMARKS[4])
        ),
        *(
            Job("parts", (Design("", n, k),), "truncated + 30", FLAT[:2], times(500), seed)
            for n, k in ((30, 10), (198, 3))
        ),
        *(
            Job("prices", (design,), "reasoning + 15 and + 20, attacks + 10 and + 5", FLAT[:2], times(500), seed)
            for design in (BENCHMARKS[0], BENCHMARKS[2])
        ),
        Job("equal", (BENCHMARKS[2],), "second learns later", FLAT[:3], times(500), seed),
    ]


def _verdicts(designs: Iterable[Design], truths: Iterable[str], runs: int, seed: int) -> list[Job]:
    return [Job("verdict", (design,), truth, TRUTHS[truth], runs, seed) for truth in truths for design in designs]


def _goals(runs: int, seed: int) -> list[Job]:
    """The two dips that have to be seen."""
    return [
        Job("power", (Design("", 500, 4),), "dips 5 at one checkpoint", ONE_STEP, runs, seed),
        Job("power", (Design("", 500, 3),), "dips 5 at two checkpoints, 3 beside them", FOUR_STEPS, runs, seed),
    ]


def _cells(runs: int, seed: int) -> list[_Cell]:
    """Cells of the plots: plot, line, place on the axis, job. A job stands in several plots."""

    def cell(documents: int, repeats: int, depth: float) -> Job:
        changes = tuple(depth / 0.05 * change for change in ONE_STEP)
        return Job("power", (Design("", documents, repeats),), f"dips {100 * depth:g}", changes, runs, seed)

    by_documents = [
        ("documents", f"{k} repeats" if k > 1 else "1 repeat", float(n), cell(n, k, 0.05))
        for k, n in product((1, 3, 8), DOCUMENTS)
    ]
    by_repeats = [
        ("repeats", f"{n} documents", float(k), cell(n, k, 0.05)) for n, k in product((198, 500, 1000), REPEATS)
    ]
    by_depth = [
        ("depth", f"{n} documents", 100 * depth, cell(n, 3, depth))
        for n, depth in product((30, 198, 500, 1000), DEPTHS)
    ]
    return [*by_documents, *by_repeats, *by_depth]


# ------------------------------------------------------------------------------ tables


def _claims(jobs: Sequence[Job], found: Sequence[Found]) -> list[Section]:
    """False claims, by what is true, and the dips that are seen."""
    pairs = list(zip(jobs, found, strict=True))
    verdicts = [(job, result) for job, result in pairs if job.kind in {"verdict", "group"}]
    nothing = [rate for job, result in verdicts if job.truth == "no change" for rate in false_claims(job, result)]
    lost = [rate for job, result in verdicts if job.truth == STAYS for rate in false_claims(job, result)]
    seen = [
        Rate("dips", named(job), job.truth, int(sum(result["dips"])), job.runs, low=0.8)
        for job, result in pairs
        if job.kind == "power"
    ]
    return [
        Section("Nothing changes", tuple(nothing)),
        Section("Four points stay lost", tuple(lost)),
        Section("Dips that are there", tuple(seen)),
    ]


def _coverage(jobs: Sequence[Job], found: Sequence[Found]) -> list[Section]:
    pairs = list(zip(jobs, found, strict=True))
    curves, scores, others, answers = [], [], [], []
    for job, result in pairs:
        if job.kind in {"landmarks", "arms", "stages", "price", "prices", "equal"}:
            others += covered_each(job, result)
        if job.kind in {"answers", "parts"}:
            answers += covered_each(job, result)
        if job.kind in {"verdict", "group"} and job.truth in {"no change", STAYS}:
            curves += covered(job, result)
        if job.kind in {"mean", "lengths", "ratio"}:
            scores.append(covered_mean(job, result))
            if len(result) > 1:
                scores += [
                    Rate(name.rpartition(" ")[2], named(job), job.truth, int(sum(values)), len(values))
                    for name, values in result.items()
                ]
    return [
        Section("Intervals of a curve that hold the truth", tuple(curves)),
        Section("Intervals of one score that hold the truth", tuple(scores)),
        Section("Intervals of landmarks, two arms, lengths and the trade-off", tuple(others)),
        Section("Intervals of answers won and lost, and of the parts of a change", tuple(answers)),
    ]


def _ends(of: dict[Job, Found]) -> Section:
    """What is said of the end, for several truths: no goals."""
    rates = []
    for job, result in of.items():
        if job.kind != "verdict" or job.designs[0] not in SETTLED:
            continue
        for name, words in (
            ("nothing lost", "recovered, held or above base"),
            ("above base", "above base"),
            ("below base", "not recovered, or below base"),
            ("cannot tell", "cannot tell"),
        ):
            rates.append(Rate(words, named(job), job.truth, int(sum(result[name])), job.runs))
    return Section("What is said of the end", tuple(rates))
