"""A run's scores beside the published ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.records.journal import clean
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.reading import Metrics, Shown
from sftgen_train.report.sections import Section
from sftgen_train.trajectory import reference as published
from sftgen_train.trajectory.reference import BASE, Benchmark, Distance, Z

_COMPARED = ("temperature", "top_p", "top_k", "max_gen_toks")


class DistanceError(SftgenError, ValueError):
    """A model or data of which nothing is published."""


@dataclass(frozen=True)
class Distances:
    """A run beside the published numbers.

    Attributes:
        model: The published model.
        data: The published training data; None if only the base is compared.
        source: Where the published numbers are from.
        found: Each number that has a published one.
        opening: What the base says of all others; empty if it is near, or not there.
    """

    model: str
    data: str | None
    source: str
    found: tuple[Distance, ...]
    opening: str


def distances(folder: str | Path, *, model: str | None = None, data: str | None = None) -> Distances:
    """Compare a run with the published numbers.

    Args:
        folder: The run directory.
        model: The published model; by default the one that the manifest names.
        data: The published training data that later steps are compared with; by default only the base is compared.

    Raises:
        RecordError: The run cannot be read.
        DistanceError: Nothing is published of the model or data.
    """
    shown = Shown.of(RunFolder(Path(folder)))
    chosen = _model(model, shown.manifest)
    if data is not None and data not in published.datasets(chosen):
        known = published.datasets(chosen)
        raise DistanceError(f"data {data!r}: expected one of {', '.join(known)}{did_you_mean(data, known)}")
    found = list(compare(shown.metrics, shown.manifest, chosen, data, _sampling(Path(folder))))
    if not found:
        raise DistanceError(
            f"{str(folder)!r}: no score of {chosen} at a published step; expected a benchmark of the paper at step 0"
            + (f", or at a step of {data}" if data else "; name the training data with --data for later steps")
        )
    return Distances(chosen, data, published.source(), tuple(found), opening(found))


def as_json(found: Distances) -> str:
    """Every number; one that JSON cannot hold is null."""
    return json.dumps(clean(asdict(found)), indent=2)


def compare(
    metrics: Metrics,
    manifest: Mapping[str, Any],
    model: str,
    data: str | None = None,
    sampling: Mapping[tuple[str, int | None], Mapping[str, Any]] | None = None,
) -> Iterator[Distance]:
    """Every number of a run that has a published one.

    Args:
        metrics: The run's metrics; the step of an evaluation outside training is None, and counts as the base.
        manifest: Its manifest.
        model: A published model.
        data: Its training data, for later steps.
        sampling: The generation settings of each task and step, if they are to be compared.
    """
    documents = manifest.get("documents")
    documents = documents if isinstance(documents, dict) else {}
    for benchmark in published.benchmarks().values():
        tasks = [task for task in metrics if benchmark.has(task)]
        steps = {step for task in tasks for rows in metrics[task].values() for step in rows}
        for step in sorted(steps, key=lambda step: step or 0):
            of = BASE if not step else data
            ours = _ours(metrics, tasks, step, benchmark)
            if of is None or ours is None:
                continue
            value, error, rule, metric = ours
            asked = sum(int(metrics[task].get("coverage", {}).get(step, {}).get("docs") or 0) for task in tasks)
            used = (sampling or {}).get((tasks[0], step))
            differs = tuple(_differs(benchmark, asked, [documents.get(task) for task in tasks], used))
            found = published.distance(
                model, of, step or 0, benchmark, ours=value, error=error, rule=rule, metric=metric, differs=differs
            )
            if found:
                yield found


def opening(found: Sequence[Distance]) -> str:
    """What a report opens with where the base is not near its published scores; empty otherwise."""
    far = published.far_bases(list(found))
    if not far:
        return ""
    told = ", ".join(f"{each.benchmark} {each.ours:.3f} against {each.published:.3f}" for each in far)
    differs = sorted({field for each in far for field in each.differs})
    why = f" The protocol differs: {'; '.join(differs)}." if differs else ""
    return (
        f"the base model is not near its published scores: {told}.{why} Find out why before "
        "anything below is believed: `sftgen distance RUN`"
    )


def base_opening(metrics: Metrics, manifest: Mapping[str, Any]) -> str:
    """`opening` of a run whose base may be a published model; empty of any other."""
    model = published.model_of(str(manifest.get("model") or ""))
    return opening(list(compare(metrics, manifest, model))) if model else ""


HEAD = ("benchmark", "step", "rule", "ours", "published", "difference", "sampling errors", "what else")


def rows_of(found: Iterable[Distance]) -> tuple[tuple[str, ...], ...]:
    """Distances as the cells of `HEAD`."""
    return tuple(
        (
            each.benchmark, str(each.step), each.rule, f"{each.ours:.3f}",
            f"{each.published:.3f}" + "".join(f" or {value:.3f}" for value in each.others), f"{each.difference:+.3f}",
            f"{'inside' if each.inside else 'outside'} ({each.z:+.1f})",
            "; ".join([*each.differs, *([each.doubt] if each.doubt else [])]),
        )
        for each in found
    )  # fmt: skip


def distance_section(metrics: Metrics, manifest: Mapping[str, Any]) -> Section | None:
    """The base beside its published scores; None of a run whose base is no published model."""
    model = published.model_of(str(manifest.get("model") or ""))
    rows = rows_of(compare(metrics, manifest, model)) if model else ()
    return Section(f"{model}: ours and published", HEAD, rows) if rows else None


def _model(name: str | None, manifest: Mapping[str, Any]) -> str:
    told = (name or str(manifest.get("model") or ""))[:200]
    found = published.model_of(told)
    if found:
        return found
    raise DistanceError(
        f"model {told!r}: nothing is published of it; expected one of {', '.join(published.models())} "
        f"(--model NAME){did_you_mean(told, published.models())}"
    )


def _ours(
    metrics: Metrics, tasks: Sequence[str], step: int | None, benchmark: Benchmark
) -> tuple[float, float, str, str] | None:
    """Our number with its standard error, rule and metric; of a group the mean that the paper takes."""
    for rule, names in (("paper", benchmark.paper_metrics), ("strict", benchmark.strict_metrics)):
        for metric in names:
            rows = [metrics[task][metric][step] for task in tasks if step in metrics[task].get(metric, {})]
            # A group counts only as a whole.
            if not rows or len(rows) < len(tasks):
                continue
            sizes = [float(row.get("docs") or row.get("n") or 0) for row in rows]
            weighted = benchmark.name == "mmlu_pro" and all(sizes)
            weights = [size / sum(sizes) for size in sizes] if weighted else [1 / len(rows)] * len(rows)
            mean = sum(weight * row["mean"] for weight, row in zip(weights, rows, strict=True))
            parts = [weight * _error(row) for weight, row in zip(weights, rows, strict=True)]
            return mean, sqrt(sum(part**2 for part in parts)), rule, metric
    return None


def _error(row: Mapping[str, Any]) -> float:
    """The standard error that the interval of a metric stands for; of one document nothing is known: a whole point."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None or not isfinite(high - low):
        return 1.0
    return float(high - low) / (2 * Z)


def _differs(benchmark: Benchmark, asked: int, facts: Sequence[Any], used: Mapping[str, Any] | None) -> Iterator[str]:
    """Which fields of the protocol differ from the paper's.

    Args:
        benchmark: The benchmark.
        asked: How many documents were asked.
        facts: What the manifest says of each task's documents.
        used: The generation settings; None where they are not to be compared.
    """
    if benchmark.documents and asked and asked != benchmark.documents:
        yield f"{asked} documents, published {benchmark.documents}"
    prompts = [each.get("prompts") for each in facts if isinstance(each, dict)]
    if any(isinstance(each, dict) and each.get("asked") == "own" for each in prompts):
        yield "prompts are sftgen's own"
    for name in _COMPARED if used else ():
        mine, theirs = (used or {}).get(name), benchmark.sampling.get(name)
        # Not set is the same as 1 of top_p, and as 0 or -1 of top_k.
        unset = isinstance(mine, int | float) and mine in {1, 0, -1}
        if mine != theirs and not (theirs is None and unset):
            yield f"{name} {'not set' if mine is None else mine}, published {'not set' if theirs is None else theirs}"


def _sampling(folder: Path) -> dict[tuple[str, int | None], Mapping[str, Any]]:
    """The generation settings of each task and step."""
    with open_records(folder) as records:
        rows = records.sql("SELECT task, step, min(sampling::VARCHAR) AS used FROM texts GROUP BY ALL").rows()
    read = {(row["task"], row["step"]): json.loads(row["used"] or "{}") for row in rows}
    return {key: used for key, used in read.items() if isinstance(used, dict)}
