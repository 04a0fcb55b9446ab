"""Metrics of graded samples: what one evaluation adds to a run directory."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.columns import SAMPLES
from sftgen_judges.records.evaluations import documents_hash, next_time
from sftgen_judges.records.manifest import now
from sftgen_judges.records.store import RunFolder
from sftgen_train.results.diagnosed import as_row, diagnosed
from sftgen_train.trajectory.statistics import estimate

if TYPE_CHECKING:
    from sftgen_tasks import TaskResult

logger = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """What a worker did for an evaluation.

    Attributes:
        begun: The time of day when it began.
        made: What the process made, as `provenance.tallied` counts.
        waiting: Seconds in which it waited for grading, and could do nothing else.
        grading: Seconds from the last response to the end of grading, whatever was done beside.
    """

    begun: str
    made: Mapping[str, int]
    waiting: float
    grading: float

    def as_row(self) -> Row:
        """As columns of the evaluation, which ends now."""
        made = self.made
        return {
            "begun": self.begun, "ended": now(precisely=True), "loading_seconds": made.get("loading", 0) / 1000,
            "generation_seconds": made.get("generating", 0) / 1000, "waiting_seconds": round(self.waiting, 3),
            "grading_seconds": round(self.grading, 3), "responses": made.get("responses", 0),
            "tokens": None if made.get("uncounted") else made.get("tokens", 0),
        }  # fmt: skip


def add_results(
    run: RunFolder,
    step: int | None,
    results: Sequence[TaskResult],
    seconds: float,
    *,
    entry: str = "",
    effort: Effort | None = None,
) -> list[Row]:
    """Write the samples and metrics of one evaluation.

    Args:
        run: The run directory.
        step: Training step, None outside training.
        results: What was evaluated.
        seconds: How long it took.
        entry: Id of the queue's entry that was evaluated.
        effort: What the process did for it.

    Returns:
        The metric rows.
    """
    about = {"run": run.run_id(), "evaluated_at": next_time(run)}
    rows = [row for result in results for row in metric_rows(run, step, result, about)]
    samples = (sample_row(sample, about) for result in results for sample in result.samples)
    evaluation = _evaluation_row(step, results, seconds, about["evaluated_at"])
    spent = effort.as_row() if effort else {}
    run.add_evaluation(samples, rows, {**evaluation, **spent, **({"entry": entry} if entry else {})})
    return rows


def renew_results(run: RunFolder, results: Sequence[TaskResult], seconds: float) -> None:
    """Write the samples and metrics of one evaluation outside training, in place of those of an earlier start.

    Args:
        run: The run directory.
        results: What was evaluated.
        seconds: How long it took.
    """
    _warn_of_fewer(run, results)
    at = next_time(run)
    run.append(run.evaluations, [_evaluation_row(None, results, seconds, at)])
    replace_results(run, [Scored(None, result, at) for result in results])
    run.compact()


def _warn_of_fewer(run: RunFolder, results: Sequence[TaskResult]) -> None:
    """Warn where tables showed an evaluation of more documents, or a complete one: now they show this one."""
    before = {row["task"]: row for row in run.metric_rows() if row["status"] == "ok" and row.get("step") is None}
    for result in results:
        shown = before.get(result.task)
        if shown is None:
            continue
        fewer = (shown.get("docs") or 0) > result.documents
        if fewer or (result.incomplete and not shown.get("incomplete")):
            logger.warning(
                "%s: tables now show this evaluation of %d documents%s; before, they showed one of %s documents%s. "
                "Its answers are kept: the same command as then shows it again",
                result.task, result.documents, ", which is incomplete" * result.incomplete, shown.get("docs"),
                ", which was complete" * (not shown.get("incomplete")),
            )  # fmt: skip


def _evaluation_row(step: int | None, results: Sequence[TaskResult], seconds: float, at: str) -> Row:
    """The line of an evaluation: what it asked of each task; its model is None where the samples are of several."""
    models = {sample.model for result in results for sample in result.samples}
    return {
        "step": step, "status": "ok", "seconds": round(seconds, 2), "at": at,
        "model": models.pop() if len(models) == 1 else None,
        "tasks": {result.task: _asked(result) for result in results},
    }  # fmt: skip


def _asked(result: TaskResult) -> Row:
    model, sampling = _origin(result)
    documents = {sample.doc_hash for sample in result.samples}
    repeats = 1 + max((sample.repeat for sample in result.samples), default=0)
    return {
        "model": model, "sampling_id": sampling, "docs": len(documents), "repeats": repeats,
        "sha256": documents_hash(documents),
    }  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A result that takes the place of an earlier one.

    Attributes:
        step: Training step, None outside training.
        result: What was found.
        at: The time of the evaluation that the answers are of; None where they are of none.
        whole: The samples with their texts, for the diagnostics that read them, if the result's have none.
    """

    step: int | None
    result: TaskResult
    at: str | None
    whole: Sequence[Sample] | None = None


def replace_results(run: RunFolder, results: Sequence[Scored]) -> None:
    """Write samples and metrics of some answers anew."""
    begun = run.run_id()
    judged = judged_measures(run.manifest())
    samples: list[Row] = []
    metrics: list[Row] = []
    renewed: dict[tuple[Any, ...], Any] = {}
    for scored in results:
        step, result = scored.step, scored.result
        about = {"run": begun, "evaluated_at": scored.at}
        rows = [sample_row(sample, about) for sample in result.samples]
        samples += _with_judged(run, result.task, rows, judged.get(result.task, {}))
        metrics += metric_rows(run, step, result, about, scored.whole)
        version = result.samples[0].evaluation_version if result.samples else None
        for origin in (_origin(result), (None, None)):
            of = (step, result.task, *origin)
            renewed[of] = (scored.at, version)

    def replaced(row: Mapping[str, Any]) -> bool:
        of = tuple(row.get(name) for name in ("step", "task", "model", "sampling_id"))
        # Scores at a budget, and those of another judge, stand as long as they are of the same answers.
        at, version = renewed.get(of, (None, None))
        same = (row.get("evaluated_at"), row.get("evaluation_version")) == (at, version)
        asked = str(row.get("metric")).partition("/")[0] in judged.get(str(row.get("task")), {})
        kept = (same and budget_of(row) is not None) or (asked and row.get("evaluated_at") == at)
        return of in renewed and not kept

    run.replace_results(samples, replaced, metrics)


def judged_measures(manifest: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The measures that a judge gave responses of a run afterwards, by task and name: judge, version and scale."""
    found = manifest.get("judged")
    return {
        str(task): {str(name): facts for name, facts in named.items() if isinstance(facts, dict) and "judge" in facts}
        for task, named in (found.items() if isinstance(found, dict) else ())
        if isinstance(named, dict)
    }


def _with_judged(run: RunFolder, task: str, rows: list[Row], names: Mapping[str, Any]) -> list[Row]:
    """Sample rows with the measures that a judge gave the same responses."""
    if not names:
        return rows
    of = (*SAMPLES.key, "evaluated_at")
    known = {tuple(row.get(name) for name in of): row.get("measures") or {} for row in run.sample_rows(task)}
    for row in rows:
        before = known.get(tuple(row.get(name) for name in of), {})
        row["measures"] = {**{name: before[name] for name in names if name in before}, **row["measures"]}
    return rows


_BUDGET = re.compile(r"budget=(\d{1,12})/(.+)")


def at_budget(budget: int) -> str:
    """What stands before the names of metrics of responses that were truncated after so many tokens."""
    return f"budget={budget}/"


def budget_of(row: Mapping[str, Any]) -> tuple[int, str] | None:
    """The budget and the metric that a metric row is of; None for a metric of whole responses."""
    found = _BUDGET.fullmatch(str(row.get("metric") or ""))
    return (int(found[1]), found[2]) if found else None


def _origin(result: TaskResult) -> tuple[str | None, str | None]:
    """Content id of a result's model and id of its sampling settings."""
    first = result.samples[0] if result.samples else None
    return (first.model, first.sampling_id) if first else (None, None)


def metric_rows(
    run: RunFolder,
    step: int | None,
    result: TaskResult,
    about: Mapping[str, Any],
    whole: Sequence[Sample] | None = None,
) -> list[Row]:
    """The metrics of one task with their intervals, and those of the diagnostics.

    Args:
        run: The run directory, which keeps what diagnostics say of each response.
        step: Training step, None outside training.
        result: What was evaluated.
        about: The columns `run` and `evaluated_at`.
        whole: As for `Scored`.
    """
    shared, last = _columns(step, result, about)
    found = diagnosed(run, result.task, result.samples, whole)
    return [
        *estimate_rows(step, result, about),
        *({**shared, **as_row(name, metric), **last} for name, metric in found),
    ]


def estimate_rows(step: int | None, result: TaskResult, about: Mapping[str, Any], prefix: str = "") -> list[Row]:
    """The metrics of one task with their intervals.

    Args:
        step: Training step, None outside training.
        result: What was evaluated.
        about: The columns `run` and `evaluated_at`.
        prefix: Stands before the name of each metric.
    """
    shared, last = _columns(step, result, about)
    rows = []
    for metric, values in result.values.items():
        found = estimate(values, share=result.is_share(metric), aggregation=result.aggregations.get(metric))
        numbers = {name: finite(getattr(found, name)) for name in ("mean", "low", "high")}
        rows.append({**shared, "metric": f"{prefix}{metric}", **numbers, "n": found.n, **last})
    return rows


def _columns(step: int | None, result: TaskResult, about: Mapping[str, Any]) -> tuple[Row, Row]:
    """The columns before and after a metric's own."""
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
    return shared, last


def sample_row(sample: Sample, about: Mapping[str, Any]) -> Row:
    """A graded response as its line in the run directory, without its text.

    Args:
        sample: The sample.
        about: The columns `run` and `evaluated_at`.
    """
    response, verdict = sample.response, sample.verdict
    return {
        "run": about["run"], "model": sample.model, "sampling_id": sample.sampling_id, "task": sample.task,
        "step": sample.step, "doc_id": sample.doc_id, "doc_hash": sample.doc_hash, "cluster": sample.cluster,
        "repeat": sample.repeat,
        "prompt_hash": sample.prompt_hash, "status": verdict.status, "score": _number(verdict.score),
        "paper": _number(verdict.paper), "answer": verdict.answer, "measures": dict(verdict.measures),
        "truncated": response.truncated, "think": response.think,
        "tokens": response.tokens, "thinking_tokens": sample.thinking_tokens, "answer_tokens": sample.answer_tokens,
        "finish_reason": response.finish_reason, "reason": verdict.reason, "scorer": sample.scorer,
        "evaluation_version": sample.evaluation_version, "evaluated_at": about["evaluated_at"],
    }  # fmt: skip


def in_one_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The scores of an evaluation for a log."""
    scores = [row for row in rows if row["metric"] == "score"]
    return ", ".join(f"{row['task'].removeprefix('sftgen_')} {row['mean']:.2f}" for row in scores)


def finite(value: float) -> float | None:
    """A number; None in place of a number that JSON cannot hold: the interval of one document is infinite."""
    return value if isfinite(value) else None


def _number(value: float | None) -> float | None:
    """A score of a plugin may be a truth value."""
    return None if value is None else float(value)
