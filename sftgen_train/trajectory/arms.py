"""Two arms compared: at each step, at the end, and by every landmark; one draw of documents serves all of them.

found = compare_arms("sftgen_math500", [pair("sftgen_math500", first, second)])
found.points[3].difference, found.points[3].p  # second less first at a step; adjusted over the steps
adjust_over_comparisons([found, ...])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sftgen_train.trajectory.alignment import Floats, LeftOut
from sftgen_train.trajectory.churn import Churn, churn
from sftgen_train.trajectory.claims import SIGNIFICANCE
from sftgen_train.trajectory.flips import DRAWS, Rows, contrast, flip, pool, rows_of, standard_errors
from sftgen_train.trajectory.intervals import band, change_band, limits
from sftgen_train.trajectory.landmarks import STEPS, Landmark, differences_of, landmarks_of, measured
from sftgen_train.trajectory.max_t import max_test
from sftgen_train.trajectory.pairing import Pair
from sftgen_train.trajectory.passing import Bayes, bayes, curve_of, is_right_or_wrong, pass_at_k
from sftgen_train.trajectory.resampling import Interval, Resamples, resample
from sftgen_train.trajectory.settling import Needed, settle
from sftgen_train.trajectory.singles import change_intervals, share_intervals
from sftgen_train.trajectory.statistics import holm

Side = Literal["higher", "lower", "cannot tell"]
Question = Literal["differ at some step", "differ at the end"]


@dataclass(frozen=True)
class ArmPoint:
    """Both arms at one step.

    Attributes:
        step: The step of the first arm.
        other_step: That of the second; another one only where one checkpoint each is compared.
        first: Mean of the first arm.
        second: Mean of the second.
        difference: Second less first, on the same documents.
        low: Lower end of the band of the differences: all steps hold together with 95 %.
        high: Upper end.
        t: The difference in standard errors.
        p: Two-sided p-value, adjusted over all steps.
        p_alone: The same of this step alone.
    """

    step: int
    other_step: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    t: float
    p: float
    p_alone: float


@dataclass(frozen=True)
class LandmarkPair:
    """One landmark of both arms.

    Attributes:
        name: The landmark.
        first: Of the first arm.
        second: Of the second.
        difference: Second less first; None of a landmark that is a step.
        later: Of such a landmark: the share of draws in which the second arm has it later, where both have one.
        earlier: In which the second has it earlier.
    """

    name: str
    first: Landmark
    second: Landmark
    difference: Interval | None
    later: float | None = None
    earlier: float | None = None


@dataclass(frozen=True)
class PassPoint:
    """pass@k of both arms at one step.

    Attributes:
        step: The step of the first arm.
        drawn: k.
        first: Of the first arm.
        second: Of the second.
        difference: Second less first.
    """

    step: int
    drawn: int
    first: Interval
    second: Interval
    difference: Interval


@dataclass(frozen=True)
class ArmDifference:
    """How the second arm differs from the first in one task or group.

    Attributes:
        name: The task or group.
        points: The steps that both have.
        shared: Documents that both have at all of these steps.
        clusters: Independent units among them.
        end: Whether the second arm is higher or lower at the last step, by its two-sided p-value.
        end_low: Lower end of the 95 % interval of the difference at the last step, which was named before looking.
        end_high: Upper end.
        needed: What would settle a `cannot tell`.
        p: p-value of each question.
        over_tasks: The same, adjusted over all comparisons, see `adjust_over_comparisons`.
        landmarks: Every landmark.
        churn: Documents won and lost at the last step; None of groups and of values that are no shares.
        known: The same, corrected for guessing; None where the options are not known.
        passes: pass@k by step; empty with one answer a document.
        complete: Documents that have all answers in both arms, which `passes` rest on.
        bayes: Bayes@N of both arms at the last step, where asked for.
        tasks: Tasks of a group.
        left_out: What is not compared.
        why: Why nothing is compared; empty otherwise.
    """

    name: str
    points: tuple[ArmPoint, ...] = ()
    shared: int = 0
    clusters: int = 0
    end: Side = "cannot tell"
    end_low: float = float("nan")
    end_high: float = float("nan")
    needed: Needed | None = None
    p: Mapping[Question, float] | None = None
    over_tasks: Mapping[Question, float] | None = None
    landmarks: tuple[LandmarkPair, ...] = ()
    churn: Churn | None = None
    known: Churn | None = None
    passes: tuple[PassPoint, ...] = ()
    complete: int = 0
    bayes: tuple[Bayes, Bayes] | None = None
    tasks: int = 1
    left_out: tuple[LeftOut, ...] = ()
    why: str = ""


def compare_arms(
    name: str,
    pairs: Sequence[Pair],
    *,
    base: int | None = 0,
    share: bool = True,
    options: int | None = None,
    with_bayes: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> ArmDifference:
    """Compare two arms in one task, or in the mean of several.

    Args:
        name: Of the task or group.
        pairs: One a task, see `pair`. Of a group the steps count that all of its tasks have.
        base: The step before training, for landmarks.
        share: Whether values lie between 0 and 1.
        options: Among how many options an answer can be guessed.
        with_bayes: Whether to compute Bayes@N.
        draws: Random flips of the tests; half as many draws of documents.
        seed: Of the random numbers.

    Raises:
        IncompleteError: Bayes@N is asked for and documents lack answers.
        ValueError: No pair, or Bayes@N of scores that are neither 0 nor 1.
    """
    if not pairs:
        raise ValueError(f"{name}: no task to compare")
    left_out = tuple(entry for of in pairs for entry in of.left_out)
    steps = tuple(sorted(set.intersection(*(set(of.steps) for of in pairs))))
    if not steps or not all(len(of.values) for of in pairs):
        why = "no document has a value in both arms at every step" if steps else "no step has values in both arms"
        return ArmDifference(name, tasks=len(pairs), left_out=left_out, why=why)
    count, rows = len(steps), _rows(pairs, steps)
    plain = Rows(rows.values[:, : 2 * count], rows.weights, rows.strata)
    flips = flip(plain, draws=draws, seed=seed)
    contrasts = np.concatenate([-np.eye(count), np.eye(count)])
    span = (-1.0, 1.0) if share else None
    tests = max_test(flips, contrasts, "two-sided")
    levels = change_band(flips, range(count, 2 * count), range(count)) if share else band(flips, contrasts)
    others = dict(zip(pairs[0].steps, pairs[0].other_steps, strict=True))
    points = tuple(
        ArmPoint(step, others[step], *map(float, numbers))
        for step, *numbers in zip(
            steps, plain.means[:count], plain.means[count:], tests.change, levels.low, levels.high, tests.t, tests.p,
            tests.p_alone, strict=True,
        )
    )  # fmt: skip
    last = contrast(2 * count, [2 * count - 1], [count - 1])
    p_end, ends = float(tests.p_alone[-1]), limits(flips, last, confidence=0.975, span=span)
    end: Side = "cannot tell"
    if p_end <= SIGNIFICANCE:
        end = "higher" if tests.change[-1] > 0 else "lower"
    drawn = resample(rows, draws=draws // 2, seed=seed)
    found = ArmDifference(
        name,
        points,
        sum(len(of.values) for of in pairs),
        len(rows),
        end,
        ends.low,
        ends.high,
        _needed(pairs, plain, last, float(tests.change[-1])) if end == "cannot tell" else None,
        {"differ at some step": float(tests.p.min()), "differ at the end": p_end},
        landmarks=_landmarks(rows, drawn, steps, base, share=share),
        tasks=len(pairs),
        left_out=left_out,
    )
    if len(pairs) > 1:
        return found
    return _with_answers(
        found, pairs[0], share=share, options=options, with_bayes=with_bayes, draws=draws // 2, seed=seed
    )


def adjust_over_comparisons(found: Sequence[ArmDifference]) -> list[ArmDifference]:
    """The same with `over_tasks` filled: Holm's adjustment of each question over all of them."""
    having = [index for index, one in enumerate(found) if one.p]
    adjusted: list[dict[Question, float]] = [{} for _ in found]
    questions: tuple[Question, ...] = ("differ at some step", "differ at the end")
    for question in questions:
        values = [of[question] for index in having if (of := found[index].p)]
        for index, p in zip(having, holm(values), strict=True):
            adjusted[index][question] = p
    return [replace(one, over_tasks=p or None) for one, p in zip(found, adjusted, strict=True)]


def _rows(pairs: Sequence[Pair], steps: tuple[int, ...]) -> Rows:
    """Columns: both arms at the steps, then, if it is known of all, how much of each was truncated."""
    cut = all(of.truncated is not None for of in pairs)
    made = []
    for of in pairs:
        parts = [of.values[:, of.columns(steps)]]
        if cut and of.truncated is not None:
            parts.append(of.truncated[:, of.columns(steps)])
        made.append(rows_of(np.concatenate(parts, axis=1), of.clusters))
    return pool(made)


def _landmarks(
    rows: Rows, drawn: Resamples, steps: tuple[int, ...], base: int | None, *, share: bool
) -> tuple[LandmarkPair, ...]:
    arms = [_arm(rows, drawn, len(steps), which) for which in range(2)]
    own = [landmarks_of(*arm, steps, base, share=share) for arm in arms]
    ends = differences_of(rows, drawn, steps, base, share=share)
    values = [measured(arm.means, steps, base) for _, arm in arms]
    pairs = []
    for first, second in zip(*own, strict=True):
        a, b = (of[first.name] for of in values)
        if first.name in STEPS:
            later, earlier = float((b > a).mean()), float((b < a).mean())
            pairs.append(LandmarkPair(first.name, first, second, None, later, earlier))
        else:
            difference = Interval(second.seen.value - first.seen.value, *ends[first.name])
            pairs.append(LandmarkPair(first.name, first, second, difference))
    return tuple(pairs)


def _arm(rows: Rows, drawn: Resamples, count: int, which: int) -> tuple[Rows, Resamples]:
    """The columns of one arm: its values, then its truncated shares, if they are there."""
    columns = [
        place for start in range(0, len(drawn.seen), 2 * count) for place in range(start, start + 2 * count)
        if (place - start) // count == which
    ]  # fmt: skip
    own = Rows(rows.values[:, columns], rows.weights, rows.strata)
    return own, Resamples(drawn.seen[columns], drawn.means[:, columns], drawn.units)


def _needed(pairs: Sequence[Pair], rows: Rows, last: Floats, gap: float) -> Needed | None:
    documents = sum(len(of.values) for of in pairs)
    noise = float("nan")
    if len(pairs) == 1 and len(pairs[0].noise) == len(last):
        noise = float((pairs[0].noise * last[:, 0] ** 2).sum())
    error = float(standard_errors(rows, last)[0])
    repeats = pairs[0].repeats if len(pairs) == 1 else float("nan")
    # A two-sided question at 5 % needs what a one-sided one needs for a gap that is a little smaller.
    two_sided = (1.6449 + 0.8416) / (1.9600 + 0.8416)
    return settle(abs(gap) * two_sided, error, len(rows), documents, repeats=repeats, noise=noise, delta=0.0)


def _with_answers(
    found: ArmDifference, of: Pair, *, share: bool, options: int | None, with_bayes: bool, draws: int, seed: int
) -> ArmDifference:
    """What takes single answers: won and lost, pass@k, Bayes@N."""
    a, b = of.first[:, -1], of.second[:, -1]
    if share:
        found = replace(found, churn=churn(a, b, of.clusters, draws=draws, seed=seed))
        if options:
            found = replace(found, known=churn(a, b, of.clusters, options=options, draws=draws, seed=seed))
    if with_bayes:
        found = replace(found, bayes=(bayes(a), bayes(b)))
    answers = min(of.first.shape[2], of.second.shape[2])
    if answers < 2 or not is_right_or_wrong(of.first) or not is_right_or_wrong(of.second):
        return found
    whole = np.all([(np.isfinite(arm).sum(axis=2) >= answers).all(axis=1) for arm in (of.first, of.second)], axis=0)
    found = replace(found, complete=int(whole.sum()))
    return replace(found, passes=_passes(of, whole, curve_of(answers))) if whole.any() else found


def _passes(of: Pair, whole: Floats, drawn: Sequence[int]) -> tuple[PassPoint, ...]:
    keys = [(place, k) for place in range(len(of.steps)) for k in drawn]
    columns = [pass_at_k(arm[whole, place], k) for arm in (of.first, of.second) for place, k in keys]
    rows, half = rows_of(np.stack(columns, axis=1), of.clusters[whole]), len(keys)
    own = share_intervals(rows)
    differences = change_intervals(rows, range(half, 2 * half), range(half))
    return tuple(
        PassPoint(of.steps[place], k, first, second, difference)
        for (place, k), first, second, difference in zip(keys, own[:half], own[half:], differences, strict=True)
    )
