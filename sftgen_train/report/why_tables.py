"""What stands behind verdicts, as tables and as columns for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from sftgen_judges.records.schema import printable
from sftgen_train.report.cells import ABOUT_MORE_OFTEN, CHURN, churn_cells, landmark_span, landmark_value
from sftgen_train.report.composition import PARTS, TaskChange, TaskSafety, change_rows, safety_rows
from sftgen_train.report.explaining import Explained, TaskWhy
from sftgen_train.report.reading import short
from sftgen_train.report.sections import ELSE, Section, with_rows
from sftgen_train.trajectory import SIGNIFICANCE, Regime, Stages
from sftgen_train.trajectory.landmarks import MEANINGS, STEPS
from sftgen_train.trajectory.parts import Parts
from sftgen_train.trajectory.resampling import Interval
from sftgen_train.trajectory.tradeoff import Tradeoff

TRADED = "reasoning and attack success"


def brief(found: Explained) -> list[Section]:
    """One table that fits below the verdicts: what the changes to the lowest step and to the last are made of."""
    rows = []
    for why in found.tasks:
        # From the lowest step to the last is the difference of both.
        for each in [why.turns[0], *why.turns[2:]] if why.turns else []:
            of = each.parts
            parts = (f"{getattr(of, name).change:+.3f}" for name, _ in PARTS)
            rows.append((_task(why), f"{each.before} to {each.after}", f"{of.change:+.3f}", *parts))
    head = ("task", "steps", "change", *(name for _, name in PARTS))
    return with_rows([Section("Why: what changes of score are made of", head, tuple(rows))])


def details(found: Explained) -> list[Section]:
    """Every table of what stands behind the verdicts of a run."""
    tasks = found.tasks
    changes, safety = parts_sections(
        [change for why in tasks for change in why.turns], [each for why in tasks for each in why.safety]
    )
    return with_rows(
        [
            changes,
            Section(
                f"Landmarks; of steps the share of resampled documents; {ABOUT_MORE_OFTEN}",
                ("task", "landmark", "value", "95 % interval"),
                tuple(row for why in tasks for row in landmark_rows(why)),
            ),
            Section(
                "Answers won and lost since the base, as shares of documents",
                ("task", "steps", *CHURN),
                tuple((_task(why), *row) for why in tasks for row in churn_rows(why)),
            ),
            *length_sections([(_task(why), why.stages, why.regime) for why in tasks]),
            safety,
            *tradeoff_sections(found.tradeoff),
        ]
    )


def parts_sections(
    changes: Sequence[TaskChange], safety: Sequence[TaskSafety], measure: str = "score"
) -> tuple[Section, Section]:
    """What changes of a measure are made of; safety among finished answers."""
    head = ("task", "step", "measure", "among finished answers", "answers", "truncated")
    return (
        Section(
            f"What changes of {measure} are made of, 95 % intervals",
            ("task", "steps", "part", "of it", "95 % interval", "itself"),
            tuple(_named(change_rows(changes))),
        ),
        Section("Safety: less is better, 95 % intervals", head, tuple(_named(safety_rows(safety)))),
    )


def length_sections(found: Sequence[tuple[str, Stages | None, Regime | None]]) -> tuple[Section, Section]:
    """The stages of the length of tasks, and how far their training is."""
    stages, regimes = [], []
    for task, turning, regime in found:
        rows = stage_rows(turning) if turning else [("too few steps or documents", "-", "-", "-")]
        stages += [(task, *row) for row in rows]
        if regime:
            odd = turning is not None and turning.misfit <= SIGNIFICANCE
            more = "; lengths of checkpoints differ in more than their stage" * odd
            regimes.append((task, regime.word, regime.sentence + more))
    head = ("task", "stage", "from step", "to step (95 % interval)", "tokens a doubling (95 % interval)")
    return (
        Section("Stages of the length", head, tuple(stages)),
        Section("How far training is", ("task", "regime", ELSE), tuple(regimes)),
    )


def tradeoff_sections(found: Tradeoff | None) -> list[Section]:
    """Safety against reasoning, step by step."""
    points = found.points if found else ()
    rows = tuple((str(point.step), f"{point.gain:+.3f}", f"{point.asr:.3f}") for point in points)
    head = ("step", "reasoning gained", "attack success")
    return with_rows([Section("Safety against reasoning", head, rows)])


def regime_line(found: Explained) -> str:
    """How far training is, task by task, in one line; empty where nothing is known of lengths."""
    words: dict[str, list[str]] = {}
    for why in found.tasks:
        if why.regime:
            words.setdefault(why.regime.word, []).append(_task(why))
    told = "; ".join(f"{word}: {', '.join(tasks)}" for word, tasks in sorted(words.items()))
    return f"How far training is: {told}" if told else ""


def cost_line(found: Explained) -> str:
    """What reasoning cost in safety in one line, or why this is not told; empty of a run without tasks of both."""
    if found.tradeoff:
        return price_sentence(found.tradeoff)
    return f"no trade-off of safety: {found.no_tradeoff}" if found.no_tradeoff else ""


def price_sentence(found: Tradeoff) -> str:
    """What reasoning cost in safety, as one number with its interval."""
    told = f"Safety against reasoning: attack success {found.asr_change:+.3f} while reasoning gained {found.gain:+.3f}"
    if not isfinite(found.low):
        return f"{told}; no price of a point gained: {found.why}"
    price = f"{found.price:+.2f} points of attack success a point gained ({found.low:+.2f} to {found.high:+.2f})"
    return f"{told}: {price}" + (f"; {found.why}" if found.why else "")


def landmark_rows(why: TaskWhy) -> Iterator[tuple[str, ...]]:
    """The cells of the table of landmarks: task, name, value, interval."""
    for mark in why.landmarks:
        yield (_task(why), mark.name, landmark_value(mark), landmark_span(mark))


def churn_rows(why: TaskWhy) -> Iterator[tuple[str, ...]]:
    """The cells of the table of answers won and lost: steps, then those of `CHURN`."""
    for (before, after), found in why.churn:
        yield (f"{before} to {after}", *churn_cells(found))


def stage_rows(stages: Stages) -> Iterator[tuple[str, ...]]:
    """The cells of a table of stages: kind, from, to with the interval of the turn, slope with its interval."""
    for place, each in enumerate(stages.stages):
        knot = stages.knots[place] if place < len(stages.knots) else None
        to = f"{each.ends:.0f}" + (f" ({knot.low:.0f} to {knot.high:.0f})" if knot else "")
        slope, low, high = (f"{value:+.0f}".replace("-0", "+0") if abs(value) < 1 else f"{value:+.0f}"
                            for value in (each.slope, each.low, each.high))  # fmt: skip
        yield (each.kind, f"{each.begins:.0f}", to, f"{slope} ({low} to {high})")


def _task(why: TaskWhy) -> str:
    return printable(short(why.task))


def _named(rows: Any) -> Iterator[tuple[str, ...]]:
    for task, *others in rows:
        yield (printable(short(task)), *others)


# ------------------------------------------------------------------------------ columns


def task_columns(why: TaskWhy | None) -> dict[str, Any]:
    """What stands behind a task's verdict, as columns with one value a task; the same columns for every task."""
    found: dict[str, Any] = {
        "regime": why.regime.word if why and why.regime else None,
        "regime_why": why.regime.sentence if why and why.regime else None,
        "length_stages": why.stages.sentence() if why and why.stages else None,
    }
    marks = {mark.name: mark for mark in why.landmarks} if why else {}
    for name in MEANINGS:
        # The verdict about the end has the name `end`.
        mark, column = marks.get(name), "end_mean" if name == "end" else name.replace(" ", "_")
        if name in STEPS:
            found[column] = mark.step if mark else None
        else:
            seen = mark.seen if mark else Interval(float("nan"), float("nan"), float("nan"))
            found |= {column: seen.value, f"{column}_low": seen.low, f"{column}_high": seen.high}
    return found


def step_columns(why: TaskWhy | None, step: int) -> dict[str, Any]:
    """The same with one value a step: parts of the change from the base, length, shares of draws with a landmark."""
    changes = {change.after: change.parts for change in why.changes} if why else {}
    found = _part_columns(changes.get(step))
    tokens = dict(zip(why.stages.steps, why.stages.means, strict=True)) if why and why.stages else {}
    found["tokens"] = tokens.get(step)
    marks = {mark.name: mark for mark in why.landmarks} if why else {}
    for name in sorted(STEPS):
        shares = marks[name].distribution if name in marks else None
        found[f"{name.replace(' ', '_')}_share"] = None if shares is None else shares.get(step, 0.0)
    for measure in ("asr", "harmfulness"):
        among = [each.found for each in why.safety if (each.measure, each.step) == (measure, step)] if why else []
        for name, field in (("", "mean"), ("_low", "low"), ("_high", "high")):
            found[f"{measure}_finished{name}"] = getattr(among[0], field) if among else None
    return found


def _part_columns(parts: Parts | None) -> dict[str, Any]:
    found: dict[str, Any] = {"truncated_at_base": parts.truncation.before if parts else None}
    found["truncated"] = parts.truncation.after if parts else None
    for name, _ in PARTS:
        factor = getattr(parts, name) if parts else None
        for end, field in (("", "change"), ("_low", "low"), ("_high", "high")):
            found[f"by_{name}{end}"] = getattr(factor, field) if factor else None
    return found


def tradeoff_columns(found: Explained, head: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of the trade-off: the columns of `head` without values, and its own.

    Args:
        found: A run.
        head: The columns of the rows of tasks.
    """
    if traded := found.tradeoff:
        about = {"price": traded.price, "price_low": traded.low, "price_high": traded.high}
        for point in traded.points:
            (xx, xy), (_, yy) = point.region
            region = {"region_gain": xx, "region_gain_asr": xy, "region_asr": yy, "region_radius": point.radius}
            own = {"step": point.step, "reasoning_gain": point.gain, "attack_success": point.asr, **region, **about}
            yield {**dict.fromkeys(head), "run": found.verdicts.run, "task": TRADED, **own}


NO_TRADEOFF = dict.fromkeys(
    ("reasoning_gain", "attack_success", "region_gain", "region_gain_asr", "region_asr", "region_radius", "price",
     "price_low", "price_high")
)  # fmt: skip
"""The columns of a trade-off in the rows of tasks."""
