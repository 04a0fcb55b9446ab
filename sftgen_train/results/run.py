"""Metrics of graded samples: what one evaluation adds to a run directory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.plugins.manager import plugins
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.manifest import now
from sftgen_judges.records.store import RunFolder
from sftgen_train.trajectory.statistics import estimate

if TYPE_CHECKING:
    from sftgen_tasks import TaskResult

logger = logging.getLogger(__name__)

Row = dict[str, Any]


def add_results(
    run: RunFolder, step: int | None, results: Sequence[TaskResult], seconds: float, *, entry: str = ""
) -> list[Row]:
    """Write the samples and metrics of one evaluation.

    Args:
        run: The run directory.
        step: Training step, None outside training.
        results: What was evaluated.
        seconds: How long it took.
        entry: Id of the queue's entry that was evaluated.

    Returns:
        The metric rows.
    """
    about = {"run": run.run_id(), "evaluated_at": now()}
    rows = [row for result in results for row in metric_rows(step, result, about)]
    samples = (sample_row(sample, about) for result in results for sample in result.samples)
    evaluation = _evaluation_row(step, results, seconds, about["evaluated_at"])
    run.add_evaluation(samples, rows, {**evaluation, **({"entry": entry} if entry else {})})
    return rows


def renew_results(run: RunFolder, results: Sequence[TaskResult], seconds: float) -> None:
    """Write the samples and metrics of one evaluation outside training, in place of those of an earlier start.

    Args:
        run: The run directory.
        results: What was evaluated.
        seconds: How long it took.
    """
    run.append(run.evaluations, [_evaluation_row(None, results, seconds, now())])
    replace_results(run, [(None, result) for result in results])
    run.compact()


def _evaluation_row(step: int | None, results: Sequence[TaskResult], seconds: float, at: str) -> Row:
    """The line of an evaluation; its model is None where the samples are of several."""
    models = {sample.model for result in results for sample in result.samples}
    return {
        "step": step, "status": "ok", "seconds": round(seconds, 2), "at": at,
        "model": models.pop() if len(models) == 1 else None,
    }  # fmt: skip


def replace_results(run: RunFolder, results: Sequence[tuple[int | None, TaskResult]]) -> None:
    """Write samples and metrics of some answers anew; each keeps the time of its evaluation.

    An evaluation of an older run does not name its model: its time then goes to the answers to most documents.
    """
    at = _evaluation_times(run)
    begun = run.run_id()
    samples: list[Row] = []
    metrics: list[Row] = []
    largest: dict[tuple[int | None, str], int] = {}
    for step, result in results:
        largest[step, result.task] = max(result.documents, largest.get((step, result.task), 0))
    renewed = set()
    for step, result in results:
        origin = _origin(result)
        unnamed = at.get((step, None)) if result.documents == largest[step, result.task] else None
        about = {"run": begun, "evaluated_at": at.get((step, origin[0])) or unnamed}
        samples += [sample_row(sample, about) for sample in result.samples]
        metrics += metric_rows(step, result, about)
        renewed |= {(step, result.task, *origin), (step, result.task, None, None)}

    def replaced(row: Mapping[str, Any]) -> bool:
        return tuple(row.get(name) for name in ("step", "task", "model", "sampling_id")) in renewed

    run.replace_results(samples, replaced, metrics)


def _evaluation_times(run: RunFolder) -> dict[tuple[int | None, str | None], str]:
    """When each step was last evaluated, by model; the model is None where an evaluation does not name it."""
    return {
        (row.get("step"), row.get("model")): row["at"]
        for row in read_rows(run.evaluations)
        if row.get("status") == "ok" and row.get("at")
    }


def _origin(result: TaskResult) -> tuple[str | None, str | None]:
    """Content id of a result's model and id of its sampling settings."""
    first = result.samples[0] if result.samples else None
    return (first.model, first.sampling_id) if first else (None, None)


def metric_rows(step: int | None, result: TaskResult, about: Mapping[str, Any]) -> list[Row]:
    """The metrics of one task with their intervals, and those of the diagnostics.

    Args:
        step: Training step, None outside training.
        result: What was evaluated.
        about: The columns `run` and `evaluated_at`.
    """
    model, sampling = _origin(result)
    version = result.samples[0].evaluation_version if result.samples else None
    shared = {
        "run": about["run"], "model": model, "sampling_id": sampling, "step": step, "task": result.task,
        "status": "ok",
    }  # fmt: skip
    last = {
        "docs": result.documents, "evaluation_version": version,
        "evaluated_at": about["evaluated_at"], **({"incomplete": True} if result.incomplete else {}),
    }  # fmt: skip
    rows = []
    for metric, values in result.values.items():
        found = estimate(values, aggregation=result.aggregations.get(metric))
        numbers = {name: _finite(getattr(found, name)) for name in ("mean", "low", "high")}
        rows.append({**shared, "metric": metric, **numbers, "n": found.n, **last})
    diagnosed = _diagnosed(result.samples).items()
    return rows + [{**shared, "metric": name, "mean": _finite(value), **last} for name, value in diagnosed]


def sample_row(sample: Sample, about: Mapping[str, Any]) -> Row:
    """A graded response as its line in the run directory, without its text.

    Args:
        sample: The sample.
        about: The columns `run` and `evaluated_at`.
    """
    response, verdict = sample.response, sample.verdict
    return {
        "run": about["run"], "model": sample.model, "sampling_id": sample.sampling_id, "task": sample.task,
        "step": sample.step, "doc_id": sample.doc_id, "doc_hash": sample.doc_hash, "repeat": sample.repeat,
        "status": verdict.status, "score": verdict.score, "paper": verdict.paper, "answer": verdict.answer,
        "measures": dict(verdict.measures), "truncated": response.truncated, "think": response.think,
        "tokens": response.tokens, "thinking_tokens": sample.thinking_tokens, "answer_tokens": sample.answer_tokens,
        "finish_reason": response.finish_reason, "reason": verdict.reason, "scorer": sample.scorer,
        "evaluation_version": sample.evaluation_version, "evaluated_at": about["evaluated_at"],
    }  # fmt: skip


def in_one_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The scores of an evaluation for a log."""
    scores = [row for row in rows if row["metric"] == "score"]
    return ", ".join(f"{row['task'].removeprefix('sftgen_')} {row['mean']:.2f}" for row in scores)


def _finite(value: float) -> float | None:
    """None in place of a number that JSON cannot hold: the interval of one document is infinite."""
    return value if isfinite(value) else None


def _diagnosed(samples: Sequence[Sample]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, registered in plugins().registered("register_diagnostics").items():
        try:
            values: Mapping[str, float] = registered.load().diagnose(samples) if samples else {}
            found |= {f"{name}/{metric}": float(value) for metric, value in values.items()}
        except Exception as error:  # from a plugin; the scores do not need it
            logger.warning("diagnostic %r failed: %s: %s", name, type(error).__name__, error)
    return found
