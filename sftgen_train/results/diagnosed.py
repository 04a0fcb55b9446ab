"""Metrics of labels: numbers of single responses become means over documents, with intervals."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from sftgen_judges.diagnostics.labelling import DiagnosticError, annotator_of, label_samples
from sftgen_judges.plugins.contracts import Diagnostic, Measure, Metric, Sample
from sftgen_judges.plugins.manager import BrokenTargetError, lookup, plugins
from sftgen_judges.records.store import RunFolder
from sftgen_train.trajectory.flips import rows_of
from sftgen_train.trajectory.resampling import FEWER, interval_of, resample
from sftgen_train.trajectory.statistics import estimate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Numbers:
    """The numbers of the labels of one task at one step.

    Attributes:
        documents: The document of each response.
        clusters: What its document shares with others, None where it stands alone.
        values: Numbers by name.
    """

    documents: Sequence[str]
    clusters: Sequence[str | None]
    values: Sequence[Mapping[str, float]]


def diagnostics_at_evaluation() -> Iterator[Diagnostic]:
    """The diagnostics that run at each evaluation; one that cannot be loaded is named."""
    for name in plugins().registered("register_diagnostics"):
        try:
            diagnostic: Diagnostic = lookup("diagnostic", name)
        except BrokenTargetError as error:
            logger.warning("%s", error)
            continue
        if diagnostic.at_evaluation:
            yield diagnostic


def diagnosed(
    run: RunFolder, task: str, samples: Sequence[Sample], whole: Sequence[Sample] | None = None
) -> Iterator[tuple[str, Metric]]:
    """Label the responses of an evaluation, and the metrics of the labels.

    Args:
        run: Where labels are kept.
        task: The task.
        samples: The responses to it at one step.
        whole: The same with their texts, if `samples` have none.

    Yields:
        The name of a diagnostic and a metric of it. A diagnostic that fails is named and left out.
    """
    for diagnostic in diagnostics_at_evaluation() if samples else ():
        given = samples if whole is None or "text" not in diagnostic.needs else whole
        try:
            labelled = label_samples(run, diagnostic, task, given, annotator=annotator_of(diagnostic))
            yield from ((diagnostic.name, metric) for metric in metrics_of(diagnostic, numbers_of(labelled)))
        except DiagnosticError as error:  # a plugin's; the scores do not need it
            logger.warning("diagnostic %r is left out for %s: %s", diagnostic.name, task, error)


def numbers_of(labelled: Iterable[tuple[Sample, Mapping[str, float] | None]]) -> Numbers:
    """The numbers of labels as they come; responses without labels are missing."""
    documents: list[str] = []
    clusters: list[str | None] = []
    values: list[Mapping[str, float]] = []
    for sample, found in labelled:
        if found is not None:
            documents.append(sample.doc_hash)
            clusters.append(sample.cluster)
            values.append(found)
    return Numbers(documents, clusters, values)


def metrics_of(
    diagnostic: Diagnostic, numbers: Numbers, *, task: str | None = None, step: int | None = None
) -> list[Metric]:
    """The mean of each measure over documents, with its 95 % interval; of one without a number none.

    Args:
        diagnostic: The diagnostic.
        numbers: The numbers of its labels.
        task: The task, for the metrics.
        step: The step, for the metrics.
    """
    found = []
    for measure in diagnostic.measures:
        metric = _metric(measure, numbers)
        if metric:
            value, *_, n = metric
            low, high = (end if isfinite(end) else None for end in metric[1:3])
            found.append(Metric(measure.name, value, low, high, n, measure.unit, task, step, measure.exact))
    return found


def _metric(measure: Measure, numbers: Numbers) -> tuple[float, float, float, int] | None:
    """A measure with its interval and the number of documents."""
    held: dict[str, list[tuple[float, float]]] = defaultdict(list)
    cluster: dict[str, str] = {}
    for document, shared, values in zip(numbers.documents, numbers.clusters, numbers.values, strict=True):
        if measure.name in values and (measure.per is None or measure.per in values):
            held[document].append((values[measure.name], values[measure.per] if measure.per else 1.0))
            cluster[document] = document if shared is None else f"cluster {shared}"
    if not held:
        return None
    # In the order of their hashes, however they came: the same data give the same draws.
    order = sorted(held)
    means = np.array([np.mean(held[document], axis=0) for document in order])
    labels = np.array([cluster[document] for document in order])
    together = len(set(cluster.values())) < len(order)
    if measure.per is None and not together:
        told = estimate(means[:, 0].tolist(), share=measure.share)
        return told.mean, told.low, told.high, told.n
    if not means[:, 1].any():
        return None
    drawn = resample(rows_of(means, labels), draws=FEWER)
    below = drawn.means[:, 1]
    ratios = np.divide(drawn.means[:, 0], below, out=np.full(len(below), np.nan), where=below != 0)
    seen = measure.scale * float(drawn.seen[0] / drawn.seen[1])
    told_of = interval_of(seen, measure.scale * ratios, drawn.units)
    if measure.share and not isfinite(told_of.low):
        # All documents agree: so many clusters could agree by chance.
        wide = estimate([seen] * len(set(cluster.values())))
        return seen, wide.low, wide.high, len(order)
    return seen, told_of.low, told_of.high, len(order)


def as_row(name: str, metric: Metric) -> dict[str, Any]:
    """A metric of a diagnostic in the columns of the run's metrics."""
    return {
        "metric": f"{name}/{metric.name}", "mean": metric.value, "low": metric.low, "high": metric.high, "n": metric.n,
    }  # fmt: skip
