"""What became of a score, as claims that are shown or as `cannot tell` with what would settle it.

    curves = align(values, steps, clusters=labels)
    verdict = read_curve("sftgen_math500", curves, delta=0.02)
    verdict.end, verdict.sentence()

`sftgen_train.trajectory.words.WORDS` defines every word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from sftgen_train.trajectory.alignment import Curves, Floats, LeftOut, require_shares
from sftgen_train.trajectory.claims import DELTA, SIGNIFICANCE, Claim, Fall, Point, Verdict, first_shown
from sftgen_train.trajectory.flips import DRAWS, Flips, Rows, against, contrast, flip, pool, rows_of, standard_errors
from sftgen_train.trajectory.intervals import band, change_band, limits, p_beyond, share_band
from sftgen_train.trajectory.max_t import Tests, max_test
from sftgen_train.trajectory.noise import noise_of
from sftgen_train.trajectory.settling import settle
from sftgen_train.trajectory.statistics import holm


def read_curve(
    name: str,
    curves: Curves,
    *,
    base: int | None = 0,
    delta: float = DELTA,
    last: int = 1,
    share: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """Read one task's curve.

    Args:
        name: The task.
        curves: Its values, aligned.
        base: The step that the others are compared with. Without it nothing is said of dip and recovery.
        delta: The loss that does not matter, in the unit of the values.
        last: How many last steps are the end: 1 or 2.
        share: Whether values lie between 0 and 1.
        draws: Random flips.
        seed: Of the random numbers.

    Raises:
        ValueError: `delta` is negative, `last` is neither 1 nor 2, or a share is outside of 0 to 1.
    """
    if share:
        require_shares(curves)
    rows = rows_of(curves.values, curves.clusters) if curves.values.size else None
    asked = _Asked(name, base, delta, last, share)
    verdict = _read(asked, (curves,), rows, draws, seed)
    return replace(verdict, noise=noise_of(curves.values, curves.steps, curves.clusters))


def read_group(
    name: str,
    tasks: Sequence[Curves],
    *,
    base: int | None = 0,
    delta: float = DELTA,
    last: int = 1,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """Read the mean of several tasks' means, at the steps that all of them have; documents are flipped within tasks.

    Args:
        name: The group.
        tasks: The curves of its tasks: shares.
        base: As `read_curve`.
        delta: As `read_curve`.
        last: As `read_curve`.
        draws: As `read_curve`.
        seed: As `read_curve`.

    Raises:
        ValueError: As `read_curve`, or no tasks.
    """
    if not tasks:
        raise ValueError(f"group {name}: expected at least one task")
    steps = tuple(sorted(set.intersection(*(set(curves.steps) for curves in tasks))))
    same = tuple(_only(curves, steps) for curves in tasks)
    for curves in same:
        require_shares(curves)
    rows = pool([rows_of(curves.values, curves.clusters) for curves in same]) if _all_there(same) else None
    return _read(_Asked(name, base, delta, last, share=True), same, rows, draws, seed)


def adjust_over_tasks(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same verdicts with `over_tasks` filled: for each claim, Holm's adjustment over the tasks.

    A sentence such as "three tasks dip" is about several tasks; `claims_over_tasks` are those that it may name.
    """
    claims = {claim for verdict in verdicts for claim in verdict.p}
    adjusted: list[dict[Claim, float]] = [{} for _ in verdicts]
    for claim in claims:
        # A task about which the claim cannot be tested is no part of the sentence.
        having = [index for index, verdict in enumerate(verdicts) if claim in verdict.p]
        for index, p in zip(having, holm([verdicts[index].p[claim] for index in having]), strict=True):
            adjusted[index][claim] = p
    return [
        replace(verdict, over_tasks={claim: found[claim] for claim in verdict.p})
        for verdict, found in zip(verdicts, adjusted, strict=True)
    ]


# ------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class _Asked:
    """What is asked of a curve."""

    name: str
    base: int | None
    delta: float
    last: int
    share: bool

    def __post_init__(self) -> None:
        if not self.delta >= 0:
            raise ValueError(f"{self.name}: delta is {self.delta}: expected 0 or more")
        if self.last not in {1, 2}:
            raise ValueError(f"{self.name}: the end is the last {self.last} steps: expected 1 or 2")


@dataclass(frozen=True)
class _Case:
    """A curve with its flips, while it is read. Steps are given by their place."""

    asked: _Asked
    tasks: tuple[Curves, ...]
    flips: Flips

    @property
    def steps(self) -> tuple[int, ...]:
        return self.tasks[0].steps

    @cached_property
    def means(self) -> Floats:
        return self.flips.rows.means

    @property
    def start(self) -> int | None:
        """The base."""
        return self.steps.index(self.asked.base) if self.asked.base in self.steps else None

    @property
    def after(self) -> list[int]:
        """The steps after the base; all where there is none."""
        return list(range(0 if self.start is None else self.start + 1, len(self.steps)))

    @property
    def end(self) -> list[int]:
        # One late step is the end if no second one stands after the base.
        return self.after[-min(self.asked.last, max(1, len(self.after) - 1)) :]

    @property
    def span(self) -> tuple[float, float] | None:
        """What a change can be."""
        return (-1.0, 1.0) if self.asked.share else None

    def versus(self, plus: Sequence[int], minus: Sequence[int]) -> Floats:
        return contrast(len(self.steps), plus, minus)


def _read(asked: _Asked, tasks: tuple[Curves, ...], rows: Rows | None, draws: int, seed: int) -> Verdict:
    left_out = tuple(entry for curves in tasks for entry in curves.left_out)
    if rows is None:
        why = "no document has a value at every step" if tasks[0].steps else "no step has a value"
        return Verdict(asked.name, (), None, 0, 0, asked.delta, "cannot tell", why, tasks=len(tasks), left_out=left_out)
    case = _Case(asked, tasks, flip(rows, draws=draws, seed=seed))
    points, tests = _points(case)
    verdict = Verdict(
        asked.name,
        points,
        None if case.start is None else asked.base,
        sum(len(curves.values) for curves in tasks),
        len(rows),
        asked.delta,
        "cannot tell",
        "",
        tasks=len(tasks),
        exact=case.flips.exact,
        left_out=left_out,
    )
    if tests is not None:
        rises = max_test(case.flips, against(case.start or 0, len(case.steps)), "greater")
        verdict = replace(verdict, dips=_shown(case, tests), rises=_shown(case, rises))
    if case.after:
        end_steps = tuple(case.steps[index] for index in case.end)
        verdict = replace(verdict, end_steps=end_steps, end_mean=float(case.means[case.end].mean()))
    verdict = _with_fall(verdict, case)
    if len(case.steps) == 1:
        return replace(verdict, why="one step only")
    if case.start is None:
        return replace(
            verdict, why="no base was named" if asked.base is None else f"no base: step {asked.base} has no value"
        )
    if tests is None:
        return replace(verdict, why=f"no step after the base, step {asked.base}")
    return _with_end(verdict, case, case.start, tests)


def _shown(case: _Case, tests: Tests) -> tuple[int, ...]:
    return tuple(case.steps[index] for index, p in zip(case.after, tests.p_step_down, strict=True) if p <= SIGNIFICANCE)


def _points(case: _Case) -> tuple[tuple[Point, ...], Tests | None]:
    count, start = len(case.steps), case.start
    levels = share_band(case.flips) if case.asked.share else band(case.flips, np.eye(count))
    documents = [sum(curves.counts[index] for curves in case.tasks) for index in range(count)]
    changes = np.full((count, 7), np.nan)
    tests = None
    if start is not None:
        changes[start] = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
        if start + 1 < count:
            contrasts = against(start, count)
            tests = max_test(case.flips, contrasts, "less")
            found = band(case.flips, contrasts)
            if case.asked.share:
                found = change_band(case.flips, range(start + 1, count), [start] * (count - start - 1))
            columns = (tests.change, found.low, found.high, tests.t, tests.p, tests.p_step_down, tests.p_paired)
            changes[start + 1 :] = np.stack(columns, axis=1)
    points = (
        Point(step, number, *map(float, (mean, low, high)), *map(float, others))
        for step, number, mean, low, high, others in zip(
            case.steps, documents, levels.mean, levels.low, levels.high, changes, strict=True
        )
    )
    return tuple(points), tests


def _with_fall(verdict: Verdict, case: _Case) -> Verdict:
    """Whether a later step is below an earlier peak."""
    pairs = list(combinations(case.after, 2))
    if not pairs:
        return verdict
    tests = max_test(case.flips, np.concatenate([case.versus([b], [a]) for a, b in pairs], axis=1), "less")
    own = [index for index, (a, b) in enumerate(pairs) if _is_own_fall(case, verdict, a, b)]
    clearest = min(own, key=lambda index: (tests.p[index], tests.t[index]), default=None)
    p = 1.0 if clearest is None else float(tests.p[clearest])
    verdict = replace(verdict, p={**verdict.p, "falls after a peak": p})
    if clearest is None or p > SIGNIFICANCE:
        return verdict
    a, b = pairs[clearest]
    last = case.after[-1]
    at_end = a < last and tests.p[pairs.index((a, last))] <= SIGNIFICANCE
    return replace(
        verdict, fall=Fall(case.steps[a], case.steps[b], float(tests.change[clearest]), p, at_end=bool(at_end))
    )


def _is_own_fall(case: _Case, verdict: Verdict, peak: int, later: int) -> bool:
    """Whether a fall is more than the way into a dip: from a step above the base, or to one that does not dip."""
    if case.start is None:
        return True
    return case.means[peak] >= case.means[case.start] and (
        case.steps[peak] in verdict.rises or case.steps[later] not in verdict.dips
    )


def _with_end(verdict: Verdict, case: _Case, start: int, tests: Tests) -> Verdict:
    """The verdict about the end: which claims are shown."""
    flips, means, delta, span = case.flips, case.means, case.asked.delta, case.span
    of = case.versus(case.end, [start])
    found = limits(flips, of, span=span)
    above = float(max_test(flips, of, "greater").p_alone[0])
    below = float(max_test(flips, of, "less").p_alone[0])
    # The test of 0 is exact where few documents differ; the limits allow for one more.
    low = max(found.low, 0.0) if above <= SIGNIFICANCE else found.low
    high = min(found.high, 0.0) if below <= SIGNIFICANCE else found.high
    not_worse = p_beyond(flips, of, -delta, "greater", span=span)
    lowest = min(case.after, key=lambda index: (means[index], index))
    back, over = _above_lowest(case, lowest)
    dip = float(tests.p.min())
    p: dict[Claim, float] = {
        "dips": dip,
        "above base": above,
        # All three parts must be shown, so none is adjusted for the others.
        "recovered": max(dip, over, not_worse),
        # Without a dip there is nothing to recover from.
        **({} if verdict.dips else {"held": not_worse}),
        "not recovered": p_beyond(flips, of, -delta, "less", span=span),
        "below base": below,
        **verdict.p,
    }
    verdict = replace(
        verdict,
        lowest=case.steps[lowest],
        lowest_change=float(means[lowest] - means[start]),
        end=first_shown(p),
        end_change=float((means @ of)[0]),
        end_low=low,
        end_high=high,
        smallest_delta=max(0.0, -low),
        above_lowest=over,
        p=p,
    )
    if verdict.end != "cannot tell":
        return verdict
    return _with_needed(verdict, case, of, back if verdict.dips and not_worse <= SIGNIFICANCE else None)


def _with_needed(verdict: Verdict, case: _Case, of: Floats, back: Floats | None) -> Verdict:
    """Why it cannot be told, and what would settle it.

    Args:
        verdict: The verdict.
        case: The curve.
        of: The contrast of the end with the base.
        back: The contrast of the end with the lowest step, if this is all that is open.
    """
    if back is None:
        why = "the limits of the end's change leave several claims open"
        gap = max(abs(verdict.end_change), abs(verdict.end_change + verdict.delta))
    else:
        of, why = back, "the end is not shown to be above the lowest step"
        gap = float((case.means @ back)[0])
    rows = len(case.flips.rows)
    if rows == 1:
        why = "one document only" if verdict.shared == 1 else "all documents are of one cluster"
    needed = settle(
        gap,
        float(standard_errors(case.flips.rows, of)[0]),
        rows,
        verdict.shared,
        repeats=case.tasks[0].repeats if len(case.tasks) == 1 else float("nan"),
        noise=sum(float((curves.noise * of[:, 0] ** 2).sum()) for curves in case.tasks) / len(case.tasks) ** 2,
        delta=verdict.delta,
    )
    return replace(verdict, why=why, needed=needed)


def _above_lowest(case: _Case, lowest: int) -> tuple[Floats, float]:
    """The contrast of the end with the lowest step, and its p-value among the contrasts with all steps."""
    if lowest in case.end:
        return case.versus(case.end, [lowest]), 1.0
    others = [index for index in case.after if index not in case.end]
    contrasts = np.concatenate([case.versus(case.end, [index]) for index in others], axis=1)
    place = others.index(lowest)
    return contrasts[:, [place]], float(max_test(case.flips, contrasts, "greater").p[place])


def _only(curves: Curves, steps: tuple[int, ...]) -> Curves:
    """The curves at some of their steps."""
    places = [curves.steps.index(step) for step in steps]
    others = len(curves.steps) - len(steps)
    extra = (LeftOut("steps", others, "not evaluated for every task of the group"),) if others else ()
    return replace(
        curves,
        steps=steps,
        values=curves.values[:, places],
        counts=tuple(curves.counts[place] for place in places),
        noise=curves.noise[places],
        left_out=curves.left_out + extra,
    )


def _all_there(tasks: Sequence[Curves]) -> bool:
    return all(curves.values.size for curves in tasks)
