"""A run directory: what a training run leaves behind of its evaluations, and reading it back.

* `manifest.json`: what was run, with versions, seeds, documents and their hashes;
* `generations/TASK.jsonl`, `verdicts/TASK.jsonl`: every response and verdict, as they came;
* `samples.jsonl`: one line a step x task x document x repeat, read and graded;
* `metrics.jsonl`: one line a step x task x metric, with interval, or with the reason it failed.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.plugins.manager import plugins
from sftgen_judges.records.journal import append_rows, read_rows, write_atomic
from sftgen_judges.records.store import MANIFEST, now, read_manifest, update_manifest
from sftgen_train.trajectory.statistics import estimate

if TYPE_CHECKING:
    from sftgen_tasks import TaskResult

logger = logging.getLogger(__name__)


class RunError(SftgenError):
    """A run directory that cannot be used."""


@dataclass(frozen=True)
class Run:
    """A run directory."""

    folder: Path

    @property
    def metrics(self) -> Path:
        """One line a step x task x metric."""
        return self.folder / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """One line a graded response."""
        return self.folder / "samples.jsonl"

    def require_writable(self) -> None:
        """Make the folder and try to write into it.

        Raises:
            RunError: It cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.touch()
            probe.unlink(missing_ok=True)  # the processes of a training try it at once
        except OSError as error:
            raise RunError(f"run directory {str(self.folder)!r} cannot be written: {error.strerror}") from error

    def write_manifest(self, **facts: Any) -> None:
        """Write what is known of the run, adding to what stands there."""
        update_manifest(self.folder, **facts)

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            RunError: There is none: not a run directory.
        """
        manifest = read_manifest(self.folder)
        if not manifest:
            raise RunError(f"{str(self.folder)!r} is not a run directory: no readable {MANIFEST}")
        return manifest

    def add_results(self, step: int, results: Sequence[TaskResult], seconds: float) -> list[dict[str, Any]]:
        """Write the samples and metrics of one evaluation; returns the metric rows."""
        append_rows(self.samples, (_sample_row(sample) for result in results for sample in result.samples))
        rows = [row for result in results for row in _metric_rows(step, result)]
        append_rows(self.metrics, rows)
        append_rows(
            self.folder / "evaluations.jsonl",
            [{"step": step, "status": "ok", "seconds": round(seconds, 2), "at": now()}],
        )
        return rows

    def replace_results(self, results: Sequence[tuple[int | None, TaskResult]]) -> None:
        """Write samples and metrics of some steps and tasks anew; those of others stay."""
        renewed = {(step, result.task) for step, result in results}

        def others(path: Path) -> list[dict[str, Any]]:
            return [row for row in read_rows(path) if (row.get("step"), row.get("task")) not in renewed]

        samples = [_sample_row(sample) for _, result in results for sample in result.samples]
        metrics = [row for step, result in results for row in _metric_rows(step, result)]
        for path, rows in ((self.samples, samples), (self.metrics, metrics)):
            lines = [json.dumps(row, ensure_ascii=False) for row in (*others(path), *rows)]
            write_atomic(path, "".join(line + "\n" for line in lines))

    def add_failure(self, step: int, tasks: Iterable[str], reason: str) -> None:
        """Record that an evaluation failed, and why."""
        append_rows(
            self.metrics, [{"step": step, "task": task, "status": "failed", "reason": reason} for task in tasks]
        )
        append_rows(
            self.folder / "evaluations.jsonl", [{"step": step, "status": "failed", "reason": reason, "at": now()}]
        )

    def try_add_failure(self, step: int, tasks: Iterable[str], reason: str) -> None:
        """Record a failure where nothing may fail for it: a full disk is reported by what comes next."""
        with suppress(OSError):
            self.add_failure(step, tasks, reason)

    def evaluated_steps(self) -> set[int]:
        """Steps with at least one metric."""
        return {row["step"] for row in read_rows(self.metrics) if row.get("status") == "ok"}

    def metric_rows(self) -> list[dict[str, Any]]:
        """The metric rows; of a step that was evaluated again, the last."""
        rows = {(row.get("step"), row.get("task"), row.get("metric")): row for row in read_rows(self.metrics)}
        return list(rows.values())

    def scores(self) -> dict[str, dict[int, dict[str, float]]]:
        """Task -> step -> document -> strict score, the mean over repeats that carry one."""
        found: dict[tuple[str, int, str], dict[int, float]] = defaultdict(dict)
        for row in read_rows(self.samples):
            if row["score"] is not None:
                found[row["task"], row["step"], row["doc_hash"]][row["repeat"]] = row["score"]
        scores: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        for (task, step, doc), repeats in found.items():
            scores[task][step][doc] = fmean(repeats.values())
        return scores


def _metric_rows(step: int | None, result: TaskResult) -> list[dict[str, Any]]:
    rows = []
    for metric, values in result.values.items():
        found = estimate(values, aggregation=result.aggregations.get(metric))
        rows.append(
            {
                "step": step, "task": result.task, "status": "ok", "metric": metric,
                "mean": found.mean, "low": found.low, "high": found.high, "n": found.n, "docs": result.documents,
                **({"incomplete": True} if result.incomplete else {}),
            }
        )  # fmt: skip
    rows += [
        {"step": step, "task": result.task, "status": "ok", "metric": name, "mean": value, "docs": result.documents}
        for name, value in _diagnosed(result.samples).items()
    ]
    return rows


def _diagnosed(samples: Sequence[Sample]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, registered in plugins().registered("register_diagnostics").items():
        try:
            values: Mapping[str, float] = registered.load().diagnose(samples) if samples else {}
            found |= {f"{name}/{metric}": float(value) for metric, value in values.items()}
        except Exception as error:  # a plugin's; the scores stand without it
            logger.warning("diagnostic %r failed: %s: %s", name, type(error).__name__, error)
    return found


def _sample_row(sample: Sample) -> dict[str, Any]:
    response, verdict = sample.response, sample.verdict
    return {
        "task": sample.task, "step": sample.step, "doc_hash": sample.doc_hash, "repeat": sample.repeat,
        "status": verdict.status, "score": verdict.score, "paper": verdict.paper, "answer": verdict.answer,
        "think": response.think, "tokens": response.tokens, "finish_reason": response.finish_reason,
    }  # fmt: skip


def in_one_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The scores of an evaluation for a log."""
    scores = [row for row in rows if row["metric"] == "score"]
    return ", ".join(f"{row['task'].removeprefix('sftgen_')} {row['mean']:.2f}" for row in scores)
