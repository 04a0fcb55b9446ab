"""Metrics of labels: numbers of single responses become means over documents, with intervals."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.labelling import DiagnosticError, annotator_of, label_samples
from sftgen_judges.plugins.contracts import Diagnostic, Measure, Metric, Sample
from sftgen_judges.plugins.contracts.findings import is_validated
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
        documents: The document of each response: its hash, or a number in the order of hashes.
        clusters: The label of its cluster: what its document shares with others, or the document's own.
        values: Numbers by name; NaN where a response has none.
    """

    documents: NDArray[Any]
    clusters: NDArray[Any]
    values: Mapping[str, NDArray[np.float64]]

    def __getitem__(self, rows: NDArray[Any]) -> Numbers:
        """Some of the responses."""
        return Numbers(
            self.documents[rows], self.clusters[rows], {name: values[rows] for name, values in self.values.items()}
        )


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
            yield from ((diagnostic.name, metric) for metric in metrics_of(diagnostic.measures, numbers_of(labelled)))
        except DiagnosticError as error:  # a plugin's; the scores do not need it
            logger.warning("diagnostic %r is left out for %s: %s", diagnostic.name, task, error)


def numbers_of(labelled: Iterable[tuple[Sample, Mapping[str, float] | None]]) -> Numbers:
    """The numbers of labels as they come; responses without labels are missing."""
    documents: list[str] = []
    clusters: list[str] = []
    rows: list[Mapping[str, float]] = []
    for sample, found in labelled:
        if found is not None:
            documents.append(sample.doc_hash)
            clusters.append(sample.cluster or sample.doc_hash)
            rows.append(found)
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}
    return Numbers(np.array(documents, dtype=object), np.array(clusters, dtype=object), values)


def metrics_of(
    measures: Sequence[Measure], numbers: Numbers, *, task: str | None = None, step: int | None = None
) -> list[Metric]:
    """The mean of each measure over documents, with its 95 % interval; of one without a number none.

    Args:
        measures: The measures.
        numbers: The numbers of responses.
        task: The task, for the metrics.
        step: The step, for the metrics.
    """
    found = []
    for measure in measures:
        metric = _metric(measure, numbers)
        if metric:
            value, *_, n = metric
            low, high = (end if isfinite(end) else None for end in metric[1:3])
            found.append(
                Metric(measure.name, value, low, high, n, measure.unit, task, step, measure.exact, measure.label)
            )
    return found


def _metric(measure: Measure, numbers: Numbers) -> tuple[float, float, float, int] | None:
    """A measure with its interval and the number of documents."""
    _, means, labels = means_of(measure, numbers)
    if not len(means) or not means[:, 1].any():
        return None
    units = len(np.unique(labels))
    if measure.per is None and units == len(labels):
        told = estimate(means[:, 0].tolist(), share=measure.share)
        return told.mean, told.low, told.high, told.n
    drawn = resample(rows_of(means, labels), draws=FEWER)
    below = drawn.means[:, 1]
    ratios = np.divide(drawn.means[:, 0], below, out=np.full(len(below), np.nan), where=below != 0)
    seen = measure.scale * float(drawn.seen[0] / drawn.seen[1])
    told_of = interval_of(seen, measure.scale * ratios, drawn.units)
    if measure.share and not isfinite(told_of.low):
        # All documents agree: so many clusters could agree by chance.
        wide = estimate([seen] * units)
        return seen, wide.low, wide.high, len(labels)
    return seen, told_of.low, told_of.high, len(labels)


def means_of(measure: Measure, numbers: Numbers) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[Any]]:
    """The documents that have a measure, its mean over repeats beside that of what it is taken per, and clusters.

    They stand in the order of their hashes, however they came: the same data give the same draws.
    """
    nothing = np.full(len(numbers.documents), np.nan)
    above = numbers.values.get(measure.name, nothing)
    below = numbers.values.get(measure.per, nothing) if measure.per else np.ones(len(nothing))
    there = np.isfinite(above) & np.isfinite(below)
    names, first, of = np.unique(_plain(numbers.documents[there]), return_index=True, return_inverse=True)
    counts = np.maximum(np.bincount(of, minlength=len(names)), 1)
    means = [np.bincount(of, values[there], len(names)) / counts for values in (above, below)]
    return names, np.stack(means, axis=1), _plain(numbers.clusters[there][first])


def _plain(labels: NDArray[Any]) -> NDArray[Any]:
    """Names as NumPy sorts them fast; numbers as they are."""
    return labels.astype(str) if labels.dtype == object else labels


def as_row(name: str, metric: Metric) -> dict[str, Any]:
    """A metric of a diagnostic in the columns of the run's metrics."""
    return {
        "metric": f"{name}/{metric.name}", "mean": metric.value, "low": metric.low, "high": metric.high, "n": metric.n,
    }  # fmt: skip


def unvalidated_at_evaluation() -> set[str]:
    """Metrics of evaluations, as `DIAGNOSTIC/NAME`, that a rule estimates and nobody has measured against labels."""
    return {
        f"{diagnostic.name}/{measure.name}"
        for diagnostic in diagnostics_at_evaluation()
        for measure in diagnostic.measures
        if not is_validated(measure, diagnostic.validated("rule") if diagnostic.validated else ())
    }
