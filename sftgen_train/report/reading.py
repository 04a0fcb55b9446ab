"""What a report shows of a run: its metrics, failures and trajectories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from sftgen_train.trajectory.shape import Trajectory, read_trajectory

# Task -> metric -> step -> row
Metrics = dict[str, dict[str, dict[int | None, dict[str, Any]]]]
CHARTS = (("score", "Score"), ("response_tokens", "Mean response length (tokens)"))


def metrics_of(run: RunFolder) -> Metrics:
    """The metrics of a run, by task, metric and step; the step of an evaluation outside training is None.

    Of a run that was evaluated in training and outside of it, the evaluations in training are shown.

    Raises:
        RecordError: The run holds no metrics.
    """
    rows = [row for row in run.metric_rows() if row.get("status") == "ok"]
    in_training = any(row.get("step") is not None for row in rows)
    metrics: Metrics = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if not in_training or row.get("step") is not None:
            metrics[row["task"]][row["metric"]][row.get("step")] = row
    if not metrics:
        raise RecordError(f"run directory {str(run.path)!r} holds no evaluation that succeeded (metrics.jsonl)")
    return metrics


def failures_of(run: RunFolder) -> list[str]:
    """Steps whose evaluation failed and did not succeed later, one line each."""
    failed = {row["step"]: row["reason"] for row in run.metric_rows() if row.get("status") == "failed"}
    return [f"step {step}: {failed[step]}" for step in sorted(set(failed) - run.evaluated_steps(), key=str)]


def trajectories_of(run: RunFolder) -> list[Trajectory]:
    """The reading of every task with at least two evaluated steps."""
    means: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with open_records(run.path) as records:
        for row in records.doc_means().rows():
            if row["step"] is not None:
                means[row["task"]][row["step"]][row["doc_hash"]] = row["mean"]
    return [read_trajectory(task, steps) for task, steps in means.items() if len(steps) > 1]


def steps_of(metrics: Metrics) -> list[int | None]:
    """Every step at which something was measured, or None alone: outside training."""
    steps = {step for task in metrics.values() for rows in task.values() for step in rows}
    return sorted(steps, key=lambda step: -1 if step is None else step)


def named(step: int | None) -> str:
    """A step in a table; an evaluation outside training has none."""
    return "-" if step is None else str(step)


def cell(row: Mapping[str, Any] | None, metric: str) -> str:
    """One cell of a table: the mean and, below it, its interval."""
    if row is None:
        return "-"
    digits = 2 if metric == "score" else 0
    if row.get("low") is None or row.get("high") is None:
        return f"{row['mean']:.{digits}f}"
    return f"{row['mean']:.{digits}f}\n{row['low']:.{digits}f}-{row['high']:.{digits}f}"


def short(task: str) -> str:
    """The name of a task without the prefix of all tasks."""
    return task.removeprefix("sftgen_")
