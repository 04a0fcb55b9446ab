"""Token shift over the checkpoints: its course, the loss classes of tokens, which rise first, a text in colour."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.token_shift.losses import CHANGE, LOSS_CLASSES, loss_classes, risen
from sftgen_judges.diagnostics.token_shift.summary import short
from sftgen_judges.diagnostics.token_shift.words import CLASSES
from sftgen_judges.plugins.contracts import Figure, Finding, History, Metric, Pane, Series, Table
from sftgen_train.diagnosing.course import course_of
from sftgen_train.diagnosing.shift_kept import BY_WAY, MEASURES, Kept, leading, numbers_of, read_kept
from sftgen_train.diagnosing.shift_texts import SOURCES
from sftgen_train.report.categories import trained_on

RISEN = 0.01
"""Share of all tokens whose loss must have risen, so that it counts as a beginning."""
WHOSE = {
    "traces": "the traces",
    "base answers": "the base's own answers",
    "own answers": "the checkpoint's own answers",
}


def summarise(history: History) -> Iterator[Finding]:
    """The course over the checkpoints, the loss classes of tokens, which rise first, and a text in colour."""
    kept: dict[tuple[str, str], dict[int, list[Kept]]] = {}
    for row in history.probes().rows():
        found = read_kept(json.loads(row["kept"]) if isinstance(row["kept"], str) else row["kept"])
        if found is not None and row["step"] is not None and found.source in SOURCES:
            kept.setdefault((found.source, found.way), {}).setdefault(int(row["step"]), []).append(found)
    changes = out_of_domain(history)
    for (source, way), by_step in kept.items():
        steps = dict(sorted(by_step.items()))
        found_of = [_course(source, steps, changes)]
        if source != "own answers" and len(steps) > 1:
            found_of += [*_losses(source, steps, changes), *_coloured(source, steps)]
        yield from (replace(finding, title=f"{finding.title}{BY_WAY[way]}") for finding in found_of)


def _course(source: str, by_step: Mapping[int, Sequence[Kept]], changes: Mapping[int, float]) -> Finding:
    measured = f"{len(next(iter(by_step.values())))} texts at {len(by_step)} checkpoints"
    numbers = {step: numbers_of(kept) for step, kept in by_step.items()}
    lead = leading([of for kept in by_step.values() for of in kept])
    of = [lead, *(measure for measure in MEASURES if measure is not lead)]
    finding = course_of(f"token shift on {WHOSE[source]}", of, numbers, task=source, measured_on=measured)
    value = {metric.step: metric.value for metric in finding.metrics if metric.name == lead.name}
    rows = tuple((str(step), _round(value.get(step)), _round(changes.get(step))) for step in by_step)
    far = "KL to the base" if lead.name == "kl" else "loss against the base"
    return replace(
        finding, title=f"{source} over the checkpoints", task=None,
        metrics=tuple(replace(metric, task=None) for metric in finding.metrics),
        table=Table(("step", far, "mean change of score out of domain"), rows),
    )  # fmt: skip


def _losses(source: str, by_step: Mapping[int, Sequence[Kept]], changes: Mapping[int, float]) -> Iterator[Finding]:
    """Loss classes of the tokens of texts that every checkpoint read."""
    by_key = {step: {of.key: of for of in kept} for step, kept in by_step.items()}
    shared = sorted(set.intersection(*(set(of) for of in by_key.values())))
    shared = [key for key in shared if len({len(of[key].shift) for of in by_key.values()}) == 1]
    if not shared:
        return
    first = next(iter(by_key.values()))
    base = np.concatenate([-first[key].shift["base_logprob"] for key in shared])
    later = [np.concatenate([-of[key].shift["logprob"] for key in shared]) for of in by_key.values()]
    losses, kinds = np.stack([base, *later]), np.concatenate([first[key].shift["kind"] for key in shared])
    of_class, up = loss_classes(losses), risen(losses)[1:]
    steps = list(by_step)
    shares = [float((of_class == place).mean()) for place in range(len(LOSS_CLASSES))]
    named = ", ".join(f"{name} {share:.0%}" for name, share in zip(LOSS_CLASSES, shares, strict=True))
    measured = f"{len(shared)} texts, {len(kinds):,} tokens, base and {len(steps)} checkpoints"
    yield Finding(
        f"loss classes on {source}",
        f"Of the tokens of {WHOSE[source]} by their loss over the checkpoints: {named}.",
        "cannot tell",
        measured,
        tuple(Metric(name, share, n=len(shared), exact=True) for name, share in zip(LOSS_CLASSES, shares, strict=True)),
        Table(
            ("tokens of", "n", *LOSS_CLASSES), tuple(_class_row(name, of_class, kinds) for name in ("all", *CLASSES))
        ),
    )
    yield replace(_first_to_rise(source, up, kinds, steps, changes), measured_on=measured)


def _class_row(name: str, of_class: NDArray[Any], kinds: NDArray[Any]) -> tuple[str | float | None, ...]:
    rows = np.ones(len(kinds), dtype=bool) if name == "all" else kinds == CLASSES.index(name)
    shares = [float((of_class[rows] == place).mean()) if rows.any() else None for place in range(len(LOSS_CLASSES))]
    return name, int(rows.sum()), *map(_round, shares)


def _first_to_rise(
    source: str, up: NDArray[np.bool_], kinds: NDArray[Any], steps: Sequence[int], changes: Mapping[int, float]
) -> Finding:
    """The share of each kind of word whose loss has risen, by checkpoint, and the kind that leads at the first."""
    there = [name for name in CLASSES if (kinds == CLASSES.index(name)).any()]
    shares = {name: [float(row[kinds == CLASSES.index(name)].mean()) for row in up] for name in there}
    started = next((place for place in range(len(steps)) if up[place].mean() >= RISEN), None)
    if started is None:
        sentence = f"At no checkpoint has the loss of {RISEN:.0%} of the tokens risen by more than {CHANGE} nats."
    else:
        leads = max(there, key=lambda name: shares[name][started])
        sentence = (
            f"At step {steps[started]} losses begin to rise, most often those of {leads} tokens "
            f"({shares[leads][started]:.0%} of them, {float(up[started].mean()):.0%} of all)."
        )
    lowest = min((step for step in steps if changes.get(step, 0) < 0), key=lambda step: changes[step], default=None)
    sentence += f" Scores out of domain are lowest at step {lowest}." if lowest is not None else ""
    rows = tuple(
        (str(step), *(_round(shares[name][place]) for name in there), _round(changes.get(step)))
        for place, step in enumerate(steps)
    )
    columns = ("step", *(f"{name} risen" for name in there), "mean change of score out of domain")
    series = tuple(Series(name, tuple(map(str, steps)), tuple(shares[name])) for name in there)
    figure = Figure("lines", f"share of tokens whose loss rose by more than {CHANGE} nats", y="share", series=series)
    title = f"which tokens rise first on {source}"
    return Finding(title, sentence, "cannot tell", "", (), Table(columns, rows), figure)


def _coloured(source: str, by_step: Mapping[int, Sequence[Kept]]) -> Iterator[Finding]:
    """One text at two checkpoints, its tokens coloured by how far they are from the base."""
    panes = _panes(by_step)
    if panes:
        shown = next(of for kept in by_step.values() for of in kept if of.pieces)
        colour = (
            "KL to the base in nats" if "kl" in shown.shift else "loss against the base in nats; blue where it fell"
        )
        figure = Figure("tokens", f"{shown.name}, of {WHOSE[source]}", y=colour, panes=panes)
        sentence = f"A text of {WHOSE[source]} as {' and '.join(pane.title for pane in panes)} read it."
        yield Finding(f"a text of {source} in colour", sentence, "cannot tell", "1 text", figure=figure)


def _panes(by_step: Mapping[int, Sequence[Kept]]) -> tuple[Pane, ...]:
    """One text at two checkpoints: the first, and the one farthest from the base; the last where that is the first."""
    texts = {step: next((of for of in kept if of.pieces), None) for step, kept in by_step.items()}
    found = {step: of for step, of in texts.items() if of is not None}
    if len(found) < 2 or len({of.key for of in found.values()}) > 1:
        return ()
    first, *_, last = found
    most = max(found, key=lambda step: float(found[step].shift.distance.mean()))
    return tuple(
        Pane(f"step {step}", of.pieces, tuple(map(float, of.shift.distance[: len(of.pieces)])))
        for step, of in ((step, found[step]) for step in (first, last if most == first else most))
    )


def out_of_domain(history: History) -> dict[int, float]:
    """The mean change of the scores of tasks out of domain since step 0, by step."""
    trained: set[str] = set()
    for row in history.records.sql("SELECT manifest FROM runs").rows():
        trained |= trained_on(json.loads(row["manifest"] or "{}"))
    rows = history.records.sql(
        "SELECT task, step, mean FROM metrics WHERE metric = 'score' AND step IS NOT NULL AND mean IS NOT NULL"
    ).rows()
    scores = {(row["task"], int(row["step"])): float(row["mean"]) for row in rows if row["task"] not in trained}
    changes: dict[int, list[float]] = {}
    for (task, step), mean in scores.items():
        if step and (task, 0) in scores:
            changes.setdefault(step, []).append(mean - scores[task, 0])
    return {step: float(np.mean(found)) for step, found in changes.items()}


def _round(value: float | None) -> float | None:
    return None if value is None else short(value)
