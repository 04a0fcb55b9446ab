"""What a report says first: the verdict of a run in two sentences, and what would settle what cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from sftgen_judges.records.schema import printable
from sftgen_tasks.harness.categories import SAFETY
from sftgen_train.report.explaining import TaskWhy
from sftgen_train.report.reading import Shown, short
from sftgen_train.trajectory import Verdict
from sftgen_train.trajectory.claims import first_shown

_ENDS = {
    "above base": "ended above the base",
    "recovered": "came back to within {delta} of the base",
    "held": "held within {delta} of the base",
    "below base": "ended below the base",
    "not recovered": "ended more than {delta} below the base",
}
_NAMED = 6
"""So many tasks are named in one clause."""


@dataclass(frozen=True)
class Opening:
    """The first view of a report, in words.

    Attributes:
        verdict: What became of the scores, in one sentence.
        rests: How sure it is and what it rests on, in another.
        settle: What would settle each question that is open, a line a task.
    """

    verdict: str
    rests: str
    settle: tuple[str, ...] = ()


def open_with(shown: Shown) -> Opening | None:
    """The opening of a run; None where no task has a verdict."""
    verdicts = [of for of in shown.explained.verdicts.tasks if of.points] if shown.explained else []
    if not verdicts:
        return None
    verdicts.sort(key=lambda of: of.name not in shown.in_domain)
    compared = [of for of in verdicts if of.base is not None and len(of.points) > 1]
    rests = _rests(compared or verdicts, shown.explained.by_task if shown.explained else {})
    if not compared:
        why = verdicts[0].why or "there is one evaluated step"
        return Opening(f"No trajectory can be read yet: {why}.", f"What was measured rests on {rests}.")
    if any(of.so_far for of in compared):
        return _of_live(compared, shown, rests)
    safety = [of for of in compared if shown.category(of.name) == SAFETY]
    others = [of for of in compared if of not in safety]
    told = [f"At {_ends(others)}, {'; '.join(_clauses(others, shown.tag))}."] if others else []
    if safety:
        claims = "; ".join(_clauses(safety, _untagged))
        told.append(f"Safety at {_ends(safety)} (a higher score is safer): {claims}.")
    verdict = " ".join(told)
    return Opening(verdict, f"{_certainty(compared)} The claims rest on {rests}.", tuple(_settling(compared)))


def _ends(verdicts: Sequence[Verdict]) -> str:
    """The steps at which they end, in words."""
    steps = sorted({step for of in verdicts for step in of.end_steps})
    return (
        f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} and {steps[1]}" if len(steps) == 2 else "the end"
    )


def _untagged(_: str) -> str:
    return ""


def _clauses(verdicts: Sequence[Verdict], tag: Callable[[str], str]) -> Iterator[str]:
    """What became of the tasks, those of one fate together. Named are claims that stand over all tasks."""
    fates: dict[tuple[bool, str, bool], list[Verdict]] = {}
    for of in verdicts:
        fates.setdefault(_fate(of), []).append(of)
    for (dips, end, alone), tasks in fates.items():
        names, delta = _names(tasks, tag), _delta(tasks)
        if end == "cannot tell":
            they = "it" if len(tasks) == 1 else "they"
            yield (
                f"{names} dipped, and whether {they} came back cannot be told"
                if dips
                else f"of {names} it cannot be told whether the end differs from the base"
            )
            continue
        does = " and ".join(filter(None, ("dipped" if dips else "", _ENDS[end].format(delta=delta))))
        yield f"{names} {does}" + f" (shown of {'it' if len(tasks) == 1 else 'each'} alone)" * alone


def _fate(of: Verdict) -> tuple[bool, str, bool]:
    """Whether the task dips, its end, and whether this is shown of the task alone, but not over all tasks."""
    if not of.over_tasks:
        return bool(of.dips), of.end, False
    over = first_shown(of.over_tasks)
    alone = over == "cannot tell" != of.end
    return "dips" in of.claims_over_tasks, of.end if alone else over, alone


def _of_live(verdicts: Sequence[Verdict], shown: Shown, rests: str) -> Opening:
    dips = [of for of in verdicts if of.dips]
    others = [of for of in verdicts if not of.dips]
    told = [f"{_names(dips, shown.tag)} {'dips' if len(dips) == 1 else 'dip'}"] if dips else []
    told += [f"no dip is shown of {_names(others, shown.tag)}"] if others else []
    verdict = f"The run goes on ({next(of.so_far for of in verdicts if of.so_far)}): {'; '.join(told)}."
    sure = "Intervals hold however often they are looked at (95 %); nothing is said of the end yet."
    return Opening(verdict, f"{sure} The claims rest on {rests}.")


def _names(tasks: Sequence[Verdict], tag: Callable[[str], str]) -> str:
    names = [printable(short(of.name)) + tag(of.name) for of in tasks]
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _delta(tasks: Sequence[Verdict]) -> str:
    deltas = {of.delta for of in tasks}
    return f"{min(deltas):g}" if len(deltas) == 1 else "delta"


def _certainty(verdicts: Sequence[Verdict]) -> str:
    if not any(of.claims for of in verdicts):
        return "No claim is shown at an error rate of 5 %."
    if len(verdicts) == 1:
        return "Each of these claims has an error rate of at most 5 %, over all steps at once."
    alone = "; of what is shown of a task alone, over its steps" if any(_fate(of)[2] for of in verdicts) else ""
    over = f"over all steps and all {len(verdicts)} tasks at once"
    return f"The error rate of each kind of claim is at most 5 % {over}{alone}."


def _rests(verdicts: Sequence[Verdict], why: Mapping[str, TaskWhy]) -> str:
    repeats = {round(why[of.name].repeats, 1) for of in verdicts if of.name in why and isfinite(why[of.name].repeats)}
    steps = sorted({point.step for of in verdicts for point in of.points})
    answers = f" with {_range(repeats)} {'answer' if repeats == {1} else 'answers'} each" if repeats else ""
    where = f"{len(steps)} steps ({steps[0]} to {steps[-1]})" if len(steps) > 1 else "one step"
    return (
        f"{_range({of.shared for of in verdicts})} documents a task{answers}, {where}, and a delta of "
        f"{_range({of.delta for of in verdicts})}, the loss that does not matter"
    )


def _range(numbers: Collection[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,g}" if low == high else f"{low:,g} to {high:,g}"


def _settling(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for of in verdicts:
        name = printable(short(of.name))
        if of.end == "cannot tell":
            yield f"{name}: " + "; ".join(filter(None, (of.why, of.needed.sentence() if of.needed else "")))
        elif _fate(of)[2]:
            yield (
                f"{name}: {of.end} at p {of.p[of.end]:.3f} alone, {of.over_tasks[of.end]:.3f} over all tasks; "
                "more documents, or fewer tasks named before, would settle it"
            )
