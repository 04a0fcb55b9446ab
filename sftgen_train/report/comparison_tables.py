"""Comparisons as tables: for the terminal, for papers, and with every number for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import clean
from sftgen_judges.records.schema import printable
from sftgen_train.report.cells import (
    ABOUT_MORE_OFTEN,
    CHURN,
    churn_cells,
    extreme_span,
    landmark_span,
    landmark_value,
    named_keys,
    number,
    span,
    step_name,
)
from sftgen_train.report.comparing import AgainstFirst, Comparison
from sftgen_train.report.forms import as_csv, write_forms
from sftgen_train.report.reading import short
from sftgen_train.report.sections import ELSE, Section, for_latex, for_markdown, with_rows
from sftgen_train.trajectory.arms import ArmDifference, LandmarkPair
from sftgen_train.trajectory.churn import Churn
from sftgen_train.trajectory.claims import SIGNIFICANCE, p_text
from sftgen_train.trajectory.landmarks import STEPS
from sftgen_train.trajectory.resampling import Interval

BOTH = ("first", "other", "difference")
TRADED = "reasoning and attack success"


def sections(found: Comparison) -> list[Section]:
    """The tables of a comparison that have rows, the answer first."""
    first = printable(found.arms[0])
    arm = ("arm",) if len(found.others) > 1 else ()
    against = f"{first} against " + (printable(found.others[0].arm) if len(found.others) == 1 else "the others")

    def each(of: Callable[[ArmDifference], Iterator[tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
        return tuple(
            ((printable(other.arm),) if arm else ()) + row
            for other in found.others
            for one in (*other.tasks, *other.groups)
            for row in of(one)
        )

    tested = ("difference", "95 % interval", "p", "over tasks", "other is", ELSE)
    return with_rows(
        [
            Section(
                f"At the end: {against}; differences are the other less {first}",
                (*arm, "task", "n", "first", "other", *tested),
                each(_end),
            ),
            Section(
                "At each step, adjusted over the steps", (*arm, "task", "step", *BOTH, "95 % band", "p"), each(_steps)
            ),
            Section(
                f"Landmarks; {ABOUT_MORE_OFTEN}", (*arm, "task", "landmark", *BOTH, "95 % interval"), each(_landmarks)
            ),
            Section("Answers won and lost at the end, as shares of documents", (*arm, "task", *CHURN), each(_churn)),
            Section("pass@k", (*arm, "task", "step", "k", *BOTH, "95 % interval"), each(_passes)),
            Section("Bayes@N at the end, of these documents", (*arm, "task", "N", *BOTH), each(_bayes)),
            Section(
                "Out of domain at equal in-domain score",
                ("arm", "in-domain score", *BOTH, "95 % band", "reached"),
                tuple(_equal(found)),
            ),
            Section(
                f"Landmarks; {ABOUT_MORE_OFTEN}",
                ("task", "landmark", "value", "95 % interval"),
                tuple(_own_landmarks(found)),
            ),
            Section(
                "Safety against reasoning: reasoning gained, and attack success",
                ("arm", "step", "of", *BOTH, "no difference is in the joint region"),
                tuple(_tradeoff_pairs(found)),
            ),
            Section(
                "Safety against reasoning",
                ("arm", "step", "reasoning gained", "attack success"),
                tuple(_tradeoff(found)),
            ),
            Section(
                "Attack success a point of reasoning gained, at the end",
                ("arm", "reasoning", "attack success", "price", "95 % interval", ELSE),
                tuple(_price(found)),
            ),
        ]
    )


def remarks_of(found: Comparison) -> list[str]:
    """What a reader should know after the tables."""
    lines = [
        f"{other.arm}: no comparison at equal in-domain score: {other.equal_in_domain.why}"
        for other in found.others
        if other.equal_in_domain and other.equal_in_domain.why
    ]
    churned = [one.churn for other in found.others for one in other.tasks if one.churn]
    if any(isnan(churn.excess.value) for churn in churned):
        lines.append("excess churn needs two answers to each document: one does not tell how much of it is luck")
    lines += [f"{of.arm}: no trade-off of safety: {of.why}" for of in found.alone if of.why]
    return lines + [
        f"{of.arm} against {found.arms[0]}: trade-offs of safety not compared: {of.no_tradeoff}"
        for of in found.others
        if of.no_tradeoff
    ]


def write_comparison(found: Comparison, form: str, out: Path | None) -> str | None:
    """Write a comparison in a form for programs or papers, see `write_forms`.

    Raises:
        FormatError: An unknown form, or Parquet without a file.
        OSError: The file cannot be written.
    """
    forms = {
        "json": lambda: as_json(found),
        "csv": lambda: as_csv(records_of(found), ["arm", "task", "kind"]),
        "markdown": lambda: for_markdown(sections(found)),
        "latex": lambda: for_latex(sections(found)),
    }
    return write_forms(forms, lambda: records_of(found), form, out)


def as_json(found: Comparison) -> str:
    """Every number; one that JSON cannot hold is null."""
    return json.dumps(clean(named_keys(asdict(found))), indent=2)


def records_of(found: Comparison) -> list[dict[str, Any]]:
    """One row a number of both arms: a step, a landmark, a share of documents, a k, a level."""
    names = ("first", "second", "difference", "low", "high", "p", "over_tasks")
    rows: list[dict[str, Any]] = []
    for arm, task, kind, name, step, numbers in _numbers(found):
        about = {"first_arm": found.arms[0], "arm": arm, "task": task, "kind": kind, "name": name, "step": step}
        rows.append({**about, **{of: numbers.get(of) for of in names}})
    return rows


_Row = tuple[str, str, str, str, int | None, dict[str, float | None]]


def _numbers(found: Comparison) -> Iterator[_Row]:
    for other in found.others:
        for one in (*other.tasks, *other.groups):
            for kind, name, step, numbers in _of_task(one):
                yield (other.arm, one.name, kind, name, step, numbers)
        for level in other.equal_in_domain.levels if other.equal_in_domain else ():
            both = _both(level.first, level.second, level.difference)
            yield (other.arm, "out-of-domain", "equal in-domain", f"{level.level:.4f}", None, both)
        yield from _of_tradeoffs(other)
    for of in found.alone:
        if told := of.tradeoff:
            for point in told.points:
                yield (of.arm, TRADED, "trade-off", "", point.step, _both(point.gain, point.asr, None))
            price: dict[str, float | None] = {"difference": told.price, "low": told.low, "high": told.high}
            yield (of.arm, TRADED, "price", "", told.points[-1].step, price)


def _of_tradeoffs(other: AgainstFirst) -> Iterator[_Row]:
    if told := other.tradeoff:
        for point in told.points:
            for name, both, difference in (("reasoning", point.gains, point.gain), ("asr", point.attacks, point.asr)):
                numbers: dict[str, float | None] = {"first": both[0], "second": both[1], "difference": difference}
                yield (other.arm, TRADED, "trade-offs", name, point.step, numbers)
        prices = Interval(told.difference, told.low, told.high)
        yield (other.arm, TRADED, "prices", "", told.points[-1].step, _both(*told.prices, prices))


def _of_task(one: ArmDifference) -> Iterator[tuple[str, str, int | None, dict[str, float | None]]]:
    for point in one.points:
        ends = {"difference": point.difference, "low": point.low, "high": point.high, "p": point.p}
        yield "step", "", point.step, {**_both(point.first, point.second, None), **ends}
    if one.points and one.p and one.over_tasks:
        point = one.points[-1]
        tested = {"p": one.p["differ at the end"], "over_tasks": one.over_tasks["differ at the end"]}
        whole = Interval(point.difference, one.end_low, one.end_high)
        yield "end", one.end, point.step, {**_both(point.first, point.second, whole), **tested}
    for mark in one.landmarks:
        values = [
            (float("nan") if of.step is None else of.step) if mark.name in STEPS else of.seen.value
            for of in (mark.first, mark.second)
        ]
        yield "landmark", mark.name, None, _both(values[0], values[1], mark.difference)
    for kind, churn in (("churn", one.churn), ("known", one.known)):
        for name, part in _parts(churn):
            yield kind, name, None, {"difference": part.value, "low": part.low, "high": part.high}
    for passed in one.passes:
        both = _both(passed.first.value, passed.second.value, passed.difference)
        yield "pass@k", f"pass@{passed.drawn}", passed.step, both


# ------------------------------------------------------------------------------ rows


def _end(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    steps = _differing(one)
    what = [f"differs at step{'s' * (len(steps) > 1)} {', '.join(map(step_name, steps))}"] if steps else []
    what += [one.why] * bool(one.why) + ([one.needed.sentence()] if one.needed else [])
    what += [f"{entry.count} {entry.what} left out ({entry.why})" for entry in one.left_out]
    if not one.points or not one.p:
        yield (_name(one), str(one.shared), *["-"] * 6, one.end, "; ".join(what))
        return
    point = one.points[-1]
    over = one.over_tasks or one.p
    yield (
        _name(one),
        str(one.shared),
        f"{point.first:.3f}",
        f"{point.second:.3f}",
        f"{point.difference:+.3f}",
        span(one.end_low, one.end_high),
        p_text(one.p["differ at the end"]),
        p_text(over["differ at the end"]),
        one.end,
        "; ".join(what),
    )


def _steps(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for point in one.points if len(one.points) > 1 else ():
        yield (
            _name(one),
            step_name(point.step),
            f"{point.first:.3f}",
            f"{point.second:.3f}",
            f"{point.difference:+.3f}",
            span(point.low, point.high),
            p_text(point.p),
        )


def _landmarks(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for mark in one.landmarks if len(one.points) > 1 else ():
        yield (_name(one), mark.name, landmark_value(mark.first), landmark_value(mark.second), *_change(mark))


def _churn(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for of, what in ((one.churn, ""), (one.known, f", known of {one.known.options}" if one.known else "")):
        if of:
            yield (_name(one) + what, *churn_cells(of))


def _passes(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for of in one.passes:
        numbers = (f"{of.first.value:.3f}", f"{of.second.value:.3f}", f"{of.difference.value:+.3f}")
        yield (_name(one), step_name(of.step), str(of.drawn), *numbers, span(of.difference.low, of.difference.high))


def _bayes(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    if one.bayes:
        a, b = one.bayes
        apart = (a.deviation**2 + b.deviation**2) ** 0.5
        numbers = (f"{of.mean:.3f} ± {of.deviation:.3f}" for of in (a, b))
        yield (_name(one), str(a.answers), *numbers, f"{b.mean - a.mean:+.3f} ± {apart:.3f}")


def _equal(found: Comparison) -> Iterator[tuple[str, ...]]:
    for other in found.others:
        for of in other.equal_in_domain.levels if other.equal_in_domain else ():
            numbers = (number(of.first, ""), number(of.second, ""), number(of.difference.value))
            band = span(of.difference.low, of.difference.high)
            yield (printable(other.arm), f"{of.level:.3f}", *numbers, band, f"{of.reached:.0%}")


def _own_landmarks(found: Comparison) -> Iterator[tuple[str, ...]]:
    for of in found.alone:
        for task, marks in of.landmarks.items():
            for mark in marks:
                yield (printable(short(task)), mark.name, landmark_value(mark), landmark_span(mark))


def _tradeoff_pairs(found: Comparison) -> Iterator[tuple[str, ...]]:
    for other in found.others:
        for point in other.tradeoff.points if other.tradeoff else ():
            told = "no" if point.differ else "yes"
            place = (printable(other.arm), step_name(point.step))
            yield (*place, "reasoning", *(f"{each:+.3f}" for each in (*point.gains, point.gain)), told)
            yield (*place, "attacks", *(f"{each:.3f}" for each in point.attacks), f"{point.asr:+.3f}", "")


def _tradeoff(found: Comparison) -> Iterator[tuple[str, ...]]:
    """Of arms that are not compared."""
    compared = {other.arm for other in found.others if other.tradeoff}
    compared |= {found.arms[0]} if compared else set()
    for of in found.alone:
        for point in of.tradeoff.points if of.tradeoff and of.arm not in compared else ():
            yield (printable(of.arm), step_name(point.step), f"{point.gain:+.3f}", f"{point.asr:.3f}")


def _price(found: Comparison) -> Iterator[tuple[str, ...]]:
    for of in found.alone:
        if told := of.tradeoff:
            numbers = (f"{told.gain:+.3f}", f"{told.asr_change:+.3f}", number(told.price))
            yield (printable(of.arm), *numbers, span(told.low, told.high), told.why)
    for other in found.others:
        if pair := other.tradeoff:
            last = pair.points[-1]
            base = pair.points[0]
            numbers = (f"{last.gain:+.3f}", f"{last.asr - base.asr:+.3f}", number(pair.difference))
            who = printable(f"{other.arm} less {found.arms[0]}")
            yield (who, *numbers, span(pair.low, pair.high), pair.why)


# ------------------------------------------------------------------------------ cells


def _differing(one: ArmDifference) -> list[int]:
    """Steps at which the arms differ, where there are several."""
    return [point.step for point in one.points if point.p <= SIGNIFICANCE and len(one.points) > 1]


def _name(one: ArmDifference) -> str:
    return printable(short(one.name)) + (f" ({one.tasks} tasks)" if one.tasks > 1 else "")


def _change(mark: LandmarkPair) -> tuple[str, str]:
    if mark.difference is None:
        return f"later {mark.later or 0:.0%}, earlier {mark.earlier or 0:.0%}", "-"
    return number(mark.difference.value), extreme_span(mark.name, mark.difference.low, mark.difference.high)


def _both(first: float, second: float, difference: Interval | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {"first": first, "second": second}
    if difference is not None:
        found |= {"difference": difference.value, "low": difference.low, "high": difference.high}
    return found


def _parts(of: Churn | None) -> Iterator[tuple[str, Interval]]:
    if of:
        for name in ("won", "lost", "kept", "missed", "by_chance", "excess", "moved"):
            yield name, getattr(of, name)
