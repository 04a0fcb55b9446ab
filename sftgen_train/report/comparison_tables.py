"""Comparisons as tables: for the terminal, for papers, and with every number for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import clean
from sftgen_judges.records.schema import printable
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.forms import as_csv, as_latex, as_markdown, write_forms
from sftgen_train.report.reading import short
from sftgen_train.trajectory.arms import ArmDifference, LandmarkPair
from sftgen_train.trajectory.churn import Churn
from sftgen_train.trajectory.claims import SIGNIFICANCE, p_text
from sftgen_train.trajectory.landmarks import STEPS, Landmark
from sftgen_train.trajectory.loading import OUTSIDE
from sftgen_train.trajectory.resampling import Interval

BOTH = ("first", "other", "difference")
LIKELY = 3
"""So many steps of a distribution are shown, the likeliest first."""


@dataclass(frozen=True)
class Section:
    """One table of a comparison."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections(found: Comparison) -> list[Section]:
    """The tables of a comparison that have rows, the answer first."""
    first = printable(found.arms[0])
    several = len(found.others) > 1
    made: list[Section] = []

    def add(title: str, head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
        kept = tuple(rows)
        if kept:
            made.append(Section(title, tuple(head), kept))

    def each(of: Any) -> Iterator[tuple[str, ...]]:
        for other in found.others:
            for one in (*other.tasks, *other.groups):
                for row in of(one):
                    yield ((printable(other.arm),) if several else ()) + row

    arm = ("arm",) if several else ()
    against = f"{first} against " + (printable(found.others[0].arm) if len(found.others) == 1 else "the others")
    add(
        f"At the end: {against}; differences are the other less {first}",
        (
            *arm,
            "task",
            "n",
            "first",
            "other",
            "difference",
            "95 % interval",
            "p",
            "over tasks",
            "other is",
            "what else",
        ),
        each(_end),
    )
    add(
        "At each step, adjusted over the steps",
        (*arm, "task", "step", *BOTH, "95 % band", "p"),
        each(_steps),
    )
    add("Landmarks", (*arm, "task", "landmark", *BOTH, "95 % interval"), each(_landmarks))
    add(
        "Answers won and lost at the end, as shares of documents",
        (*arm, "task", "won", "lost", "kept", "by chance", "excess churn", "95 % interval", "moved"),
        each(_churn),
    )
    add("pass@k", (*arm, "task", "step", "k", *BOTH, "95 % interval"), each(_passes))
    add("Bayes@N at the end, of these documents", (*arm, "task", "N", *BOTH), each(_bayes))
    add(
        "Out of domain at equal in-domain score",
        ("arm", "in-domain score", *BOTH, "95 % band", "reached"),
        _equal(found),
    )
    add("Landmarks", ("task", "landmark", "value", "95 % interval"), _own_landmarks(found))
    add(
        "Safety against reasoning",
        ("arm", "step", "reasoning gained", "attack success"),
        _tradeoff(found),
    )
    add(
        "Attack success a point of reasoning gained, at the end",
        ("arm", "reasoning", "attack success", "price", "95 % interval", "what else"),
        _price(found),
    )
    return made


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
    return lines + [f"{of.arm}: no trade-off of safety: {of.why}" for of in found.alone if of.why]


def write_comparison(found: Comparison, form: str, out: Path | None) -> str | None:
    """Write a comparison in a form for programs or papers, see `write_forms`.

    Raises:
        FormatError: An unknown form, or Parquet without a file.
        OSError: The file cannot be written.
    """

    def papers(make: Any, title: str) -> str:
        texts = [title.format(part.title) + "\n" + make(part.head, part.rows) for part in sections(found)]
        return "\n\n".join(texts)

    forms = {
        "json": lambda: as_json(found),
        "csv": lambda: as_csv(records_of(found), ["arm", "task", "kind"]),
        "markdown": lambda: papers(as_markdown, "**{}**\n"),
        "latex": lambda: papers(as_latex, "% {}"),
    }
    return write_forms(forms, lambda: records_of(found), form, out)


def as_json(found: Comparison) -> str:
    """Every number; one that JSON cannot hold is null."""
    return json.dumps(clean(_plain(asdict(found))), indent=2)


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
    for of in found.alone:
        if told := of.tradeoff:
            name = "reasoning and attack success"
            for point in told.points:
                yield (of.arm, name, "trade-off", "", point.step, _both(point.gain, point.asr, None))
            price: dict[str, float | None] = {"difference": told.price, "low": told.low, "high": told.high}
            yield (of.arm, name, "price", "", told.points[-1].step, price)


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
    what = [f"differs at step {', '.join(map(_step, steps))}"] if (steps := _differing(one)) else []
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
        _range(one.end_low, one.end_high),
        p_text(one.p["differ at the end"]),
        p_text(over["differ at the end"]),
        one.end,
        "; ".join(what),
    )


def _steps(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for point in one.points if len(one.points) > 1 else ():
        yield (
            _name(one),
            _step(point.step),
            f"{point.first:.3f}",
            f"{point.second:.3f}",
            f"{point.difference:+.3f}",
            _range(point.low, point.high),
            p_text(point.p),
        )


def _landmarks(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for mark in one.landmarks if len(one.points) > 1 else ():
        yield (_name(one), mark.name, _value(mark.first), _value(mark.second), *_change(mark))


def _churn(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for of, what in ((one.churn, ""), (one.known, f", known of {one.known.options}" if one.known else "")):
        if of:
            shown = (of.won, of.lost, of.kept, of.by_chance)
            yield (
                _name(one) + what,
                *(_number(part.value, "") for part in shown),
                _number(of.excess.value),
                _range(of.excess.low, of.excess.high),
                _number(of.moved.value, ""),
            )


def _passes(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    for of in one.passes:
        numbers = (f"{of.first.value:.3f}", f"{of.second.value:.3f}", f"{of.difference.value:+.3f}")
        yield (_name(one), _step(of.step), str(of.drawn), *numbers, _range(of.difference.low, of.difference.high))


def _bayes(one: ArmDifference) -> Iterator[tuple[str, ...]]:
    if one.bayes:
        a, b = one.bayes
        apart = (a.deviation**2 + b.deviation**2) ** 0.5
        numbers = (f"{of.mean:.3f} ± {of.deviation:.3f}" for of in (a, b))
        yield (_name(one), str(a.answers), *numbers, f"{b.mean - a.mean:+.3f} ± {apart:.3f}")


def _equal(found: Comparison) -> Iterator[tuple[str, ...]]:
    for other in found.others:
        for of in other.equal_in_domain.levels if other.equal_in_domain else ():
            numbers = (_number(of.first, ""), _number(of.second, ""), _number(of.difference.value))
            band = _range(of.difference.low, of.difference.high)
            yield (printable(other.arm), f"{of.level:.3f}", *numbers, band, f"{of.reached:.0%}")


def _own_landmarks(found: Comparison) -> Iterator[tuple[str, ...]]:
    for of in found.alone:
        for task, marks in of.landmarks.items():
            for mark in marks:
                yield (printable(short(task)), mark.name, _value(mark), _range(mark.seen.low, mark.seen.high))


def _tradeoff(found: Comparison) -> Iterator[tuple[str, ...]]:
    for of in found.alone:
        for point in of.tradeoff.points if of.tradeoff else ():
            yield (printable(of.arm), _step(point.step), f"{point.gain:+.3f}", f"{point.asr:.3f}")


def _price(found: Comparison) -> Iterator[tuple[str, ...]]:
    for of in found.alone:
        if of.tradeoff:
            told = of.tradeoff
            numbers = (f"{told.gain:+.3f}", f"{told.asr_change:+.3f}", _number(told.price))
            yield (printable(of.arm), *numbers, _range(told.low, told.high), told.why)


# ------------------------------------------------------------------------------ cells


def _differing(one: ArmDifference) -> list[int]:
    """Steps at which the arms differ, where there are several."""
    return [point.step for point in one.points if point.p <= SIGNIFICANCE and len(one.points) > 1]


def _name(one: ArmDifference) -> str:
    return printable(short(one.name)) + (f" ({one.tasks} tasks)" if one.tasks > 1 else "")


def _step(step: int) -> str:
    return "-" if step == OUTSIDE else str(step)


def _number(value: float, sign: str = "+") -> str:
    return f"{value:{sign}.3f}" if isfinite(value) else "-"


def _range(low: float, high: float) -> str:
    if isnan(low) or isnan(high):
        return "-"
    return f"{low:+.3f} to {high:+.3f}"


def _value(mark: Landmark) -> str:
    if mark.name not in STEPS or mark.distribution is None:
        return _number(mark.seen.value, "+" if mark.name == "dip depth" else "")
    likely = sorted(mark.distribution.items(), key=lambda item: -item[1])[:LIKELY]
    shares = ", ".join(f"{'none' if step is None else step} {share:.0%}" for step, share in likely)
    return f"{'none' if mark.step is None else mark.step} ({shares})"


def _change(mark: LandmarkPair) -> tuple[str, str]:
    if mark.difference is None:
        return f"later {mark.later or 0:.0%}, earlier {mark.earlier or 0:.0%}", "-"
    return _number(mark.difference.value), _range(mark.difference.low, mark.difference.high)


def _both(first: float, second: float, difference: Interval | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {"first": first, "second": second}
    if difference is not None:
        found |= {"difference": difference.value, "low": difference.low, "high": difference.high}
    return found


def _parts(of: Churn | None) -> Iterator[tuple[str, Interval]]:
    if of:
        for name in ("won", "lost", "kept", "missed", "by_chance", "excess", "moved"):
            yield name, getattr(of, name)


def _plain(value: Any) -> Any:
    """What JSON can hold: a step that is none has the name `none`."""
    if isinstance(value, Mapping):
        return {"none" if key is None else str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
