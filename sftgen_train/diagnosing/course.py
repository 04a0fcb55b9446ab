"""The course of labels over the steps of a run: a finding a task, with a test of what changed from first to last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from sftgen_judges.diagnostics.labelling import Annotator
from sftgen_judges.plugins.contracts import Diagnostic, Figure, Finding, Measure, Metric, Series, Table, Validation
from sftgen_judges.plugins.contracts.findings import Certainty, is_validated
from sftgen_judges.records.columns import literal
from sftgen_judges.records.query import Records
from sftgen_judges.records.tables import hash_ranges
from sftgen_train.results.diagnosed import Numbers, means_of, metrics_of
from sftgen_train.trajectory.loading import coded
from sftgen_train.trajectory.statistics import holm

LEVEL = 0.05
"""Chance of claiming any change of a task where none of its measures changed."""
FEWEST = 5
"""With fewer documents, or clusters of them, no test can show a change."""
NOT_VALIDATED = "\N{DAGGER}"
"""Stands beside numbers that a rule or a judge estimates, and that nobody has measured against labels."""
LABELS_AT_ONCE = 10_000
"""Labels that are read at once."""
MOST_STEPS = 4
"""Steps of a table; the metrics and the figure have all."""


@dataclass(frozen=True)
class Change:
    """What became of a measure between two steps, on the documents that both have.

    Attributes:
        measure: The measure.
        before: At the first step.
        after: At the second.
        p: Two-sided p-value, not adjusted; 1 where there are too few documents.
        n: Documents.
    """

    measure: Measure
    before: float
    after: float
    p: float
    n: int


def findings_of(records: Records, diagnostic: Diagnostic, annotator: Annotator, task: str) -> Iterator[Finding]:
    """The finding about a task, from the labels that are kept.

    Args:
        records: The run.
        diagnostic: The diagnostic, of level `sample`.
        annotator: Who labelled.
        task: The task.
    """
    by_step, counts = _read(records, diagnostic, annotator, task)
    if not by_step:
        return
    labelled, failed, asked = counts
    measured = f"{labelled} responses at {len(by_step)} step{'s' * (len(by_step) > 1)}"
    measured += f" of {asked} graded" if labelled + failed < asked else ""
    measured += f"; {failed} could not be labelled and are missing" if failed else ""
    measured += f"; labelled by {annotator.name}" if annotator.ask else ""
    yield course_of(
        diagnostic.name, diagnostic.measures, by_step, task=task, measured_on=measured,
        validation=tuple(diagnostic.validated(annotator.name)) if diagnostic.validated else (),
    )  # fmt: skip


def course_of(
    name: str,
    measures: Sequence[Measure],
    by_step: Mapping[int, Numbers],
    *,
    task: str,
    measured_on: str,
    validation: tuple[Validation, ...] = (),
) -> Finding:
    """A finding about the course of some measures of a task.

    Args:
        name: The diagnostic.
        measures: The measures, the most telling first.
        by_step: Their numbers at each step, in order; -1 outside of a training.
        task: The task.
        measured_on: What was measured.
        validation: How good the labels are known to be.
    """
    metrics = [
        metric
        for step, of in by_step.items()
        for metric in metrics_of(measures, of, task=task, step=None if step < 0 else step)
    ]
    sentence, certainty = _told(name, measures, by_step, metrics)
    return Finding(
        name, sentence, certainty, measured_on, tuple(metrics), _table(measures, metrics, validation),
        _figure(name, measures[0], metrics, task), validation, task,
    )  # fmt: skip


def _read(
    records: Records, diagnostic: Diagnostic, annotator: Annotator, task: str
) -> tuple[dict[int, Numbers], tuple[int, int, int]]:
    """Numbers of the labelled responses by step, in order, and how many are labelled, failed and graded."""
    names = list(dict.fromkeys(name for measure in diagnostic.measures for name in (measure.name, measure.per) if name))
    pointers = [literal("/" + name.replace("~", "~0").replace("/", "~1")) for name in names]
    # All at once: DuckDB takes memory anew for each `json_extract`.
    found = f"json_extract(coalesce(numbers, '{{}}'), [{', '.join(pointers)}])"
    which = "diagnostic = ? AND version = ? AND annotator = ? AND task = ?"
    facts = (diagnostic.name, diagnostic.version, annotator.name, task)
    asked = records.sql("SELECT count(*) AS n FROM samples WHERE task = ?", (task,)).rows()
    # Some documents at a time: what many answers are, and their labels, need not fit into the reader's memory.
    parts: dict[int, list[tuple[np.ndarray, ...]]] = defaultdict(list)
    clusters: dict[str, int] = {}
    failed = so_far = 0
    for low, high in hash_ranges(asked[0]["n"] / LABELS_AT_ONCE):
        upper = f" AND doc_hash < {literal(high)}" if high else ""
        table = records.sql(
            f"""SELECT coalesce(step, -1) AS step, doc_hash, coalesce("cluster", doc_hash) AS "group",
            failed IS NULL AS labelled, [TRY_CAST(value AS DOUBLE) FOR value IN {found}] AS "values"
            FROM labels WHERE {which} AND doc_hash >= {literal(low)}{upper}""",
            facts,
        ).to_arrow()
        every, table = table.num_rows, table.filter(table["labelled"])
        failed += every - table.num_rows
        documents, hashes = coded(table["doc_hash"])
        own, groups = coded(table["group"])
        own = np.array([clusters.setdefault(name, len(clusters)) for name in groups], np.int64)[own]
        flat = table["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        steps, values = table["step"].to_numpy(), flat.reshape(-1, len(names))
        for step in np.unique(steps).tolist():
            of = steps == step
            parts[step].append((so_far + documents[of], own[of], values[of]))
        so_far += len(hashes)
    # By name, as documents are: the same data give the same draws.
    ranks = np.argsort(np.array(sorted(clusters, key=clusters.__getitem__), object)).argsort()
    by_step, labelled = {}, 0
    for step in sorted(parts):
        documents, own, values = map(np.concatenate, zip(*parts.pop(step), strict=True))
        by_step[step] = Numbers(documents, ranks[own], dict(zip(names, values.T, strict=True)))
        labelled += len(documents)
    return by_step, (labelled, failed, int(asked[0]["n"]))


def change_of(measure: Measure, first: Numbers, last: Numbers) -> Change | None:
    """What became of a measure, on the documents that both steps have; None where they share none.

    The test is Student's on what each document (or cluster) adds to the change: for a ratio of sums by the delta
    method. Its p-value is never smaller than that of the sign flips of so many documents.
    """
    names, before, clusters = means_of(measure, first)
    others, after, _ = means_of(measure, last)
    _, rows, columns = np.intersect1d(names, others, return_indices=True)
    before, after, clusters = before[rows], after[columns], clusters[rows]
    if not len(rows) or not before[:, 1].any() or not after[:, 1].any():
        return None
    ratios = [float(of[:, 0].sum() / of[:, 1].sum()) for of in (before, after)]
    added = [(of[:, 0] - ratio * of[:, 1]) / of[:, 1].mean() for of, ratio in zip((before, after), ratios, strict=True)]
    _, numbers = np.unique(clusters, return_inverse=True)
    summed = np.bincount(numbers, added[1] - added[0])
    units, delta = len(summed), ratios[1] - ratios[0]
    error = sqrt(float((summed**2).sum()) * units / max(units - 1, 1)) / len(rows)
    scale = measure.scale
    return Change(measure, scale * ratios[0], scale * ratios[1], _p_value(delta, error, units), len(rows))


def _p_value(delta: float, error: float, units: int) -> float:
    if units < FEWEST or abs(delta) < 1e-12:
        return 1.0
    from scipy.special import stdtr  # takes a while to import, so only where it is needed

    tested = 2 * float(stdtr(units - 1, -abs(delta) / error)) if error > 0 else 0.0
    return max(tested, 2.0 ** (1 - min(units, 1000)))


def _told(
    name: str, measures: Sequence[Measure], by_step: Mapping[int, Numbers], metrics: Sequence[Metric]
) -> tuple[str, Certainty]:
    """The sentence about a task, and how sure it is."""
    steps = [step for step in by_step if step >= 0]
    if len(steps) < 2:
        known = [
            f"{metric.name} {_short(metric.value)}{f' {metric.unit}' if metric.unit else ''}"
            for metric in metrics
            if metric.value is not None
        ]
        values = f"; {', '.join(known[:3])}" + (f", and {len(known) - 3} more" if len(known) > 3 else "")
        return (
            f"{name} was measured at one step only, so that no change can be told{values if known else ''}.",
            "cannot tell",
        )
    first, last = steps[0], steps[-1]
    found = (change_of(measure, by_step[first], by_step[last]) for measure in measures)
    changes = [change for change in found if change]
    if not changes or all(change.n < FEWEST for change in changes):
        return f"Steps {first} and {last} share too few documents to compare {name}.", "cannot tell"
    adjusted = holm([change.p for change in changes])
    shown = [(change, p) for change, p in zip(changes, adjusted, strict=True) if p < LEVEL]
    of = f"of {len(changes)} measures" if len(changes) > 1 else ""
    if not shown:
        which = f"any {of}" if of else changes[0].measure.name
        return f"No change of {which} is shown from step {first} to {last}.", "unclear"
    named = "; ".join(
        f"{change.measure.name} {'rose' if change.after > change.before else 'fell'} from {_short(change.before)} to "
        f"{_short(change.after)}{_unit(change.measure)} (p {p_text(p)})"
        for change, p in shown[:3]
    )
    more = f", and {len(shown) - 3} more {of}" if len(shown) > 3 else ""
    return f"From step {first} to {last} {named}{more}.", "clear"


def _unit(measure: Measure) -> str:
    return f" {measure.unit}" if measure.unit else ""


def _short(value: float) -> str:
    if abs(value) < 0.001 and value:
        return f"{value:.4f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def p_text(value: float) -> str:
    """A p-value in a sentence."""
    return "< .001" if value < 0.001 else f"= {value:.3f}".replace("0.", ".", 1)


def _table(measures: Sequence[Measure], metrics: Sequence[Metric], validation: Sequence[Validation]) -> Table:
    """The measures at the first step, the last and some between."""
    steps = list(dict.fromkeys(metric.step for metric in metrics))
    if len(steps) > MOST_STEPS:
        steps = [steps[round(place * (len(steps) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)]
    held = {(metric.name, metric.step): metric for metric in metrics}
    rows = []
    for measure in measures:
        cells = [_cell(held.get((measure.name, step))) for step in steps]
        if any(cells):
            mark = "" if is_validated(measure, validation) else f" {NOT_VALIDATED}"
            rows.append((measure.name + (f" ({measure.unit})" if measure.unit else "") + mark, *cells))
    return Table(("measure", *("-" if step is None else f"step {step}" for step in steps)), tuple(rows))


def _cell(metric: Metric | None) -> str | None:
    if metric is None or metric.value is None:
        return None
    if metric.low is None or metric.high is None:
        return _short(metric.value)
    return f"{_short(metric.value)} ({_short(metric.low)} to {_short(metric.high)})"


def _figure(name: str, measure: Measure, metrics: Sequence[Metric], task: str) -> Figure | None:
    """A measure against the step, where there are several."""
    of = [metric for metric in metrics if metric.name == measure.name and metric.step is not None]
    if len(of) < 2:
        return None
    steps, values = tuple(str(metric.step) for metric in of), tuple(metric.value for metric in of)
    lows, highs = tuple(metric.low for metric in of), tuple(metric.high for metric in of)
    series = Series(measure.name, steps, values, lows, highs)
    return Figure("lines", f"{name}: {measure.says}, {task}", y=measure.unit or measure.name, series=(series,))
