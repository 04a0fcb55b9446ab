"""What a report shows of a run: its metrics, failures and trajectories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.categories import category_in, tag_of, trained_on
from sftgen_train.report.explaining import Explained, explain
from sftgen_train.results.run import judged_measures

# Task -> metric -> step -> row
Metrics = dict[str, dict[str, dict[int | None, dict[str, Any]]]]
CHARTS = (("score", "Score"), ("response_tokens", "Mean response length (tokens)"))


@dataclass(frozen=True)
class Shown:
    """What a run holds, read once for the tables and the page.

    Attributes:
        run: The run.
        manifest: Its manifest.
        metrics: Its metrics, by task, metric and step; the step of an evaluation outside training is None.
        failures: Steps whose evaluation failed and did not succeed later, one line each.
        explained: What became of every task and group, and what stands behind it; None of a run without steps.
    """

    run: RunFolder
    manifest: Mapping[str, Any]
    metrics: Metrics
    failures: Sequence[str]
    explained: Explained | None

    @classmethod
    def of(cls, run: RunFolder, waiting: int | None = None) -> Shown:
        """Read a run.

        Of a run that was evaluated in training and outside of it, the evaluations in training are shown.

        Args:
            run: The run.
            waiting: How many of its checkpoints wait for their evaluation, if it goes on.

        Raises:
            RecordError: The run holds no metrics, or is not a run directory.
        """
        run.require_readable()
        rows = run.metric_rows()
        metrics = _metrics(rows)
        if not metrics:
            more = "; the scores of lm_eval's own tasks are in its folder `results`" * (run.path / "results").is_dir()
            if waiting:
                more = f"; {waiting} of its checkpoints wait: sftgen worker {run.path}{more}"
            if "curation" in run.manifest():
                more = (
                    "; it holds answers from which training sets are made: `sftgen view` shows them, "
                    "`sftgen data report FILE` says what is in a set of its folder `sets`"
                )
            raise RecordError(
                f"run directory {str(run.path)!r} holds no evaluation of sftgen's tasks that succeeded "
                f"(metrics.jsonl){more}"
            )
        evaluated = {row.get("step") for row in rows if row.get("status") == "ok"}
        failed = {row.get("step"): row.get("reason") for row in rows if row.get("status") == "failed"}
        failures = [f"step {step}: {failed[step]}" for step in sorted(set(failed) - evaluated, key=_in_order)]
        return cls(run, run.manifest(), metrics, failures, _explained(run, waiting))

    def documents(self, task: str, number: int) -> str:
        """A number of a task's documents in a table, and of how many, if the benchmark has more."""
        known = self.manifest.get("documents")
        facts = known.get(task) if isinstance(known, dict) else None
        return asked(number, facts.get("of") if isinstance(facts, dict) else None)

    @property
    def in_domain(self) -> set[str]:
        """The tasks that the training data is like."""
        return trained_on(self.manifest)

    def category(self, task: str) -> str:
        """Where a task stands to the training, and what it is about."""
        return category_in(task, self.manifest)

    def tag(self, task: str) -> str:
        """The same behind its name, with a blank and in brackets; empty of a group, and of what is out-of-domain."""
        return tag_of(task, self.manifest) if task in self.metrics else ""


def _metrics(rows: Sequence[Mapping[str, Any]]) -> Metrics:
    scored = [row for row in rows if row.get("status") == "ok" and row.get("mean") is not None]
    in_training = any(row.get("step") is not None for row in scored)
    metrics: Metrics = defaultdict(lambda: defaultdict(dict))
    for row in scored:
        if not in_training or row.get("step") is not None:
            metrics[row["task"]][row["metric"]][row.get("step")] = dict(row)
    return metrics


def _explained(run: RunFolder, waiting: int | None) -> Explained | None:
    [found] = explain(run.path, waiting=(lambda _: waiting) if waiting is not None else None)
    return found if found.tasks else None


def steps_of(metrics: Metrics) -> list[int | None]:
    """Every step at which something was measured, or None alone: outside training."""
    steps = {step for task in metrics.values() for rows in task.values() for step in rows}
    return sorted(steps, key=_in_order)


def _in_order(step: int | None) -> int:
    return -1 if step is None else step


def named(step: int | None) -> str:
    """A step in a table; an evaluation outside training has none."""
    return "-" if step is None else str(step)


def has_interval(row: Mapping[str, Any]) -> bool:
    """Whether the mean has an interval with two ends: that of one document is infinite."""
    return row.get("low") is not None and row.get("high") is not None


def cell(row: Mapping[str, Any] | None, metric: str) -> str:
    """One cell of a table: the mean and, below it, its interval."""
    if row is None:
        return "-"
    digits = 0 if metric == "response_tokens" else 2
    if not has_interval(row):
        return f"{row['mean']:.{digits}f}"
    return f"{row['mean']:.{digits}f}\n{row['low']:.{digits}f}-{row['high']:.{digits}f}"


def judged_titles(manifest: Mapping[str, Any], metrics: Metrics) -> dict[str, tuple[str, list[str]]]:
    """The measures that judges gave the run afterwards: of each a title, and its tasks."""
    found: dict[str, tuple[str, list[str]]] = {}
    for task, measures in judged_measures(manifest).items():
        for name, about in measures.items():
            if task in metrics and metrics[task].get(name):
                title = f"{name}, by judge {about['judge']}"
                found.setdefault(name, (title, []))[1].append(task)
    return found


def asked(documents: int, of: Any) -> str:
    """The number of documents that were asked, and of how many, if the benchmark has more."""
    more = isinstance(of, int) and not isinstance(of, bool) and of > documents
    return f"{documents} of {of}" if more else str(documents)


def short(task: str) -> str:
    """The name of a task without the prefix of all tasks."""
    return task.removeprefix("sftgen_")
