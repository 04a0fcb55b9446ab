"""The `stability` diagnostic: documents won, lost and kept over the steps, and whether a gain is only sharpening."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.plugins.contracts import Diagnostic, Figure, Finding, History, Measure, Metric, Series, Table
from sftgen_judges.plugins.contracts.findings import Certainty
from sftgen_train.diagnosing.course import FEWEST, LEVEL, Change, change_of, p_text
from sftgen_train.results.diagnosed import Numbers
from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.churn import Churn, churn
from sftgen_train.trajectory.loading import TaskSamples, load_samples
from sftgen_train.trajectory.pairing import Samples, means_over_repeats
from sftgen_train.trajectory.passing import curve_of, is_right_or_wrong, pass_at_k
from sftgen_train.trajectory.resampling import Interval

PARTS = ("won", "lost", "kept", "missed", "by_chance", "excess", "moved")


def diagnose(history: History) -> Iterator[Finding]:
    """For each task with a score from 0 to 1: what became of its documents, and the two ends of its pass@k curve."""
    for of in load_samples(history.records):
        if of.share and len(of.samples.steps) > 1:
            yield _churned(of)
            if is_right_or_wrong(of.samples.values) and of.samples.values.shape[2] > 1:
                yield _sharpened(of)


# ------------------------------------------------------------------------------ won and lost


def _churned(of: TaskSamples) -> Finding:
    samples = of.samples
    first, *others = samples.steps
    found: dict[int, Churn] = {}
    for place, step in enumerate(others, 1):
        there = np.asarray(np.isfinite(samples.values).any(axis=2))
        both = there[:, 0] & there[:, place]
        if both.any():
            clusters = None if samples.clusters is None else samples.clusters[both]
            found[step] = churn(samples.values[both, 0], samples.values[both, place], clusters)
    if not found:
        said = "The steps share no document, so that nothing was won or lost."
        return Finding("won and lost", said, "cannot tell", f"{len(samples.documents)} documents", task=of.task)
    last = max(found)
    net = _change("score", means_over_repeats(samples.values[:, [0, -1]]), samples)
    sentence, certainty = _told(found[last], first, last, net)
    metrics = tuple(
        _metric(name, getattr(churned, name), churned.documents, of.task, step)
        for step, churned in found.items()
        for name in PARTS
    )
    rows = tuple(
        (str(step), churned.documents, *(_cell(getattr(churned, name)) for name in PARTS))
        for step, churned in found.items()
    )
    return Finding(
        "won and lost",
        sentence,
        certainty,
        f"{found[last].documents} documents with {_answers(samples.values.shape[2])} each, against step {first}",
        metrics,
        Table(("step", "n", *(name.replace("_", " ") for name in PARTS)), rows),
        _figure(of.task, found),
        task=of.task,
    )


def _told(churned: Churn, first: int, last: int, net: Change | None) -> tuple[str, Certainty]:
    """What became of documents, and whether more changed than asking the first model twice would change.

    Of one answer each nobody knows how much luck is in it. But luck wins as many documents as it loses.
    """
    won, lost, moved = churned.won.value, churned.lost.value, churned.moved
    shares = f"from step {first} to {last} {won:.0%} of the documents were won and {lost:.0%} lost"
    if not isfinite(moved.value) or churned.documents < FEWEST:
        if net and net.p < LEVEL:
            more, fewer = ("won", "lost") if net.after > net.before else ("lost", "won")
            return f"More were {more} than {fewer}, which luck does not do: {shares} (p {p_text(net.p)}).", "clear"
        why = "few documents" if churned.documents < FEWEST else "one answer each"
        return f"With {why} nobody can tell luck from change: {shares}.", "cannot tell"
    twice = f"{2 * churned.by_chance.value:.0%} would change by asking step {first} twice"
    # Where all documents moved alike no draw differs: so many would move by chance only so often.
    all_moved = not isfinite(moved.low) and moved.value > 0 and 2.0**-churned.documents < LEVEL
    if moved.low > 0 or all_moved:
        if churned.excess.value <= 0:  # the later model is surer of its answers, so that fewer of them differ by luck
            said = "Documents became easier or harder by more than chance, though no more answers changed"
            return f"{said}: {shares}, and {twice}.", "clear"
        return f"More changed than chance: {shares}, while {twice}.", "clear"
    return f"No more than chance is shown: {shares}, and {twice}.", "unclear"


def _answers(most: int) -> str:
    return f"up to {most} answers" if most > 1 else "one answer"


def _metric(name: str, interval: Interval, documents: int, task: str, step: int) -> Metric:
    value, low, high = (
        number if isfinite(number) else None for number in (interval.value, interval.low, interval.high)
    )
    return Metric(name, value, low, high, documents, task=task, step=step, exact=True)


def _cell(interval: Interval) -> str | None:
    if not isfinite(interval.value):
        return None
    ends = f" ({interval.low:.2f} to {interval.high:.2f})" if isfinite(interval.low) else ""
    return f"{interval.value:.2f}{ends}"


def _figure(task: str, found: dict[int, Churn]) -> Figure:
    steps = tuple(map(str, found))
    series = tuple(
        Series(name, steps, tuple(getattr(churned, name).value for churned in found.values()))
        for name in ("won", "lost", "kept", "missed")
    )
    return Figure("bars", f"Documents against the first step, {task}", y="share of documents", series=series)


# ------------------------------------------------------------------------------ sharpening


def _sharpened(of: TaskSamples) -> Finding:
    samples = of.samples
    answers = int(np.isfinite(samples.values).sum(axis=2).max())
    ks = curve_of(answers)
    whole = (np.isfinite(samples.values).sum(axis=2) == answers).all(axis=1)
    measured = f"{int(whole.sum())} documents with {answers} answers each at {len(samples.steps)} steps"
    curves = {
        k: np.stack([pass_at_k(samples.values[whole, place], k) for place in range(len(samples.steps))], axis=1)
        for k in ks
    }
    means = {
        k: values.mean(axis=0) if len(values) else np.full(len(samples.steps), np.nan) for k, values in curves.items()
    }
    table = Table(
        ("step", *(f"pass@{k}" for k in ks)),
        tuple(
            (str(step), *(float(means[k][place]) if len(curves[k]) else None for k in ks))
            for place, step in enumerate(samples.steps)
        ),
    )
    steps = tuple(map(str, samples.steps))
    lines = tuple(Series(f"pass@{k}", steps, tuple(map(float, means[k]))) for k in ks) if whole.any() else ()
    figure = Figure("lines", f"pass@k, {of.task}", y="share of documents", series=lines) if lines else None
    ends = [_change(f"pass@{k}", curves[k], samples, whole) for k in (1, answers)]
    sentence, certainty = _ends_told(ends, samples.steps[0], samples.steps[-1])
    metrics = tuple(
        Metric(f"pass@{k}", float(means[k][place]), n=int(whole.sum()), task=of.task, step=step, exact=True)
        for k in ks
        for place, step in enumerate(samples.steps)
        if whole.any()
    )
    return Finding("sharpening or loss", sentence, certainty, measured, metrics, table, figure, task=of.task)


def _change(name: str, values: Floats, samples: Samples, rows: NDArray[np.bool_] | None = None) -> Change | None:
    """What became of a number of documents from the first column to the last.

    Args:
        name: Its name.
        values: Documents x steps.
        samples: The documents and clusters.
        rows: Which documents the values are of, all by default.
    """
    of = np.ones(len(samples.documents), dtype=bool) if rows is None else rows
    documents = samples.documents[of]
    clusters = documents if samples.clusters is None else samples.clusters[of]
    first, last = (Numbers(documents, clusters, {name: values[:, place]}) for place in (0, -1))
    return change_of(Measure(name, name, share=True), first, last)


def _ends_told(ends: list[Change | None], first: int, last: int) -> tuple[str, Certainty]:
    """Sharpening is two claims, pass@1 rose and pass@k fell: both have to be shown, each one-sided at 5 %.

    Where only one of the two changed, two-sided and adjusted for both, that is said.
    """
    one, many = ends
    if one is None or many is None or one.n < FEWEST:
        return (
            "Sharpening cannot be told from loss: it needs several answers to each of several documents.",
            "cannot tell",
        )
    went = (f"{change.measure.name} went from {change.before:.2f} to {change.after:.2f}" for change in (one, many))
    ps = " and ".join(p_text(change.p / 2) for change in (one, many))
    moved = f"from step {first} to {last} {' and '.join(went)} (p {ps})"
    signs = [np.sign(change.after - change.before) for change in (one, many)]
    if all(change.p / 2 < LEVEL for change in (one, many)):
        words = {(1, -1): "Sharpening", (-1, -1): "Loss", (1, 1): "Gain", (-1, 1): "Flattening"}
        return f"{words[int(signs[0]), int(signs[1])]}: {moved}.", "clear"
    alone = [change for change in (one, many) if change.p * 2 < LEVEL]
    if alone:
        name, verb = alone[0].measure.name, "rose" if alone[0].after > alone[0].before else "fell"
        other = many if alone[0] is one else one
        return f"{name} {verb}, and no change of {other.measure.name} is shown: {moved}.", "clear"
    return f"Neither sharpening nor loss is shown: {moved}.", "unclear"


STABILITY = Diagnostic("stability", version=1, level="trajectory", needs=("verdict",), diagnose=diagnose)
