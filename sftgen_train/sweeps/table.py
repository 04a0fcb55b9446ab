"""The table of a sweep: while it runs, and at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sftgen_judges.progress import duration
from sftgen_judges.records.columns import EVALUATIONS, METRICS
from sftgen_judges.records.journal import whole_rows
from sftgen_judges.records.schema import printable
from sftgen_train.queue.entries import Queue
from sftgen_train.sweeps.executing import Engine
from sftgen_train.sweeps.planning import Job, Planned, Training, disk_of
from sftgen_train.sweeps.running import Outcome

MOST_ROWS = 24
"""Rows of a live table; of more checkpoints those that wait or are done are only counted."""
_AGAIN = 2.0
"""Seconds between two readings of a run's results."""


@dataclass(frozen=True)
class Row:
    """What a checkpoint has come to.

    Attributes:
        job: Its job.
        state: `waiting`, `running`, `done`, `failed`, `skipped`, or `to do` before it is enqueued.
        tokens: Tokens that were generated, where they are known.
        seconds: How long its evaluation took, or takes.
        note: Scores, or what went wrong.
        worker: The process that evaluates it, while one does.
    """

    job: Job
    state: str
    tokens: float | None = None
    seconds: float | None = None
    note: str = ""
    worker: str = ""


@dataclass
class Board:
    """The rows of a sweep, read from its queues and results.

    Attributes:
        planned: The plan.
        outcome: What has gone wrong.
    """

    planned: Planned
    outcome: Outcome
    _read: dict[Path, tuple[float, dict[int, dict[str, Any]]]] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """One row a checkpoint, in the order of the plan."""
        return [row for training in self.planned.trainings for row in self._of(training)]

    def _of(self, training: Training) -> Iterator[Row]:
        queue, results = Queue(training.run), self._results(training.run)
        for job in training.jobs:
            problem = self.outcome.problems.get((training.name, job.step), "")
            known = queue.find(job.step)
            if known is None:
                yield Row(job, "failed" if problem else "to do", note=problem)
                continue
            state, entry = known
            facts = results.get(job.step, {}) if state == "done" else {}
            if state == "running":
                facts = {"seconds": _seconds_since(str(entry.attempts[-1].get("at", ""))) if entry.attempts else None}
            note = problem or entry.reason or str(facts.get("scores", ""))
            yield Row(job, state, facts.get("tokens"), facts.get("seconds"), note, entry.worker)

    def _results(self, run: Path) -> dict[int, dict[str, Any]]:
        read_at, found = self._read.get(run, (-_AGAIN, {}))
        if time.monotonic() - read_at >= _AGAIN:
            found = _results_of(run)
            self._read[run] = time.monotonic(), found
        return found

    def forget(self) -> None:
        """Read everything anew with the next question."""
        self._read.clear()

    def live(self) -> Group:
        """The table and a line below it, for a terminal."""
        rows = self.rows()
        shown = rows if len(rows) <= MOST_ROWS else [row for row in rows if row.state in {"running", "failed"}]
        return Group(table_of(shown[:MOST_ROWS]), Text(summary(rows)))


def summary(rows: Sequence[Row]) -> str:
    """How many checkpoints are in which state, tokens a second, and about how long it takes."""
    counts = Counter(row.state for row in rows)
    parts = [
        f"{counts[state]} {state}"
        for state in ("done", "running", "waiting", "to do", "failed", "skipped")
        if counts[state]
    ]
    done = [row for row in rows if row.state == "done" and row.seconds]
    seconds = sum(row.seconds or 0 for row in done)
    tokens = [row.tokens for row in done if row.tokens is not None]
    if tokens and seconds:
        parts.append(f"{sum(tokens) / seconds:,.0f} tokens/s")
    left = [row for row in rows if row.state in {"running", "waiting", "to do"}]
    if done and left:
        pace = seconds / sum(max(row.job.weight, 1) for row in done)
        workers = {row.worker for row in left if row.worker}  # one may grade a checkpoint and generate another
        parts.append(
            f"about {duration(pace * sum(max(row.job.weight, 1) for row in left) / max(len(workers), 1))} left"
        )
    return " | ".join(parts)


def table_of(rows: Sequence[Row]) -> Table:
    """The rows as a table."""
    several = len({row.job.training for row in rows}) > 1
    table = Table(
        *(["training"] if several else []), "step", "state", "tokens", "tokens/s", "time", "scores, or what went wrong"
    )
    for row in rows:
        rate = row.tokens / row.seconds if row.tokens is not None and row.seconds else None
        cells = [
            str(row.job.step), row.state, _number(row.tokens), _number(rate),
            "-" if row.seconds is None else duration(row.seconds), escape(printable(row.note[:300])),
        ]  # fmt: skip
        table.add_row(*([escape(row.job.training)] if several else []), *cells)
    return table


def plan_table(planned: Planned) -> Table:
    """The jobs in the order in which they are taken."""
    several = len(planned.trainings) > 1
    table = Table(*(["training"] if several else []), "step")
    table.add_column("checkpoint", overflow="fold")
    for name in ("weights", "responses", "about tokens", "state", "afterwards"):
        table.add_column(name)
    for job in planned.jobs:
        size = f"{_bytes(job.size.weights)} {job.size.format}" if job.size else _bytes(job.found.bytes)
        cells = [
            str(job.step), escape(printable(job.found.shown)), size, _number(planned.generations),
            _number(planned.tokens), job.state, _afterwards(job),
        ]  # fmt: skip
        table.add_row(*([escape(job.training)] if several else []), *cells)
    return table


def _afterwards(job: Job) -> str:
    """What happens to a checkpoint, or to a copy of one that is not the user's."""
    if job.found.folder is None:
        return "stays" if job.found.copied == 0 else "copy goes" if job.stays is False else "copy stays"
    return {True: "stays", False: "deleted", None: "by the verdict"}[job.stays]


def plan_lines(planned: Planned, engine: Engine) -> Iterator[str]:
    """What stands below the table of a plan, for what is to evaluate."""
    left, disk = sum(job.left for job in planned.jobs), disk_of(planned, engine.count(planned.sweep.model_args))
    yield (
        f"{left} of {len(planned.jobs)} checkpoints to evaluate on {', '.join(planned.suite.tasks)}; results in "
        f"{', '.join(str(training.run) for training in planned.trainings)}"
    )
    if planned.unknown:
        yield f"Not estimated: {planned.unknown}"
    else:
        yield "Tokens are for responses of 10,000 tokens, which a task's limit truncates; lengths are not known before."
    yield (
        f"Disk: {_bytes(disk.copies)} of copied weights at most, {_bytes(disk.records)} of records"
        + (f"; {_bytes(disk.freed)} of checkpoints are deleted once they are evaluated" if disk.freed else "")
    )
    if devices := engine.use(planned.sweep.model_args)[0]:
        yield devices


def plan_json(planned: Planned, engine: Engine) -> dict[str, Any]:
    """A plan as JSON data, for what is to evaluate."""
    disk = disk_of(planned, engine.count(planned.sweep.model_args))
    return {
        "out": str(planned.out), "tasks": planned.suite.tasks, "not_estimated": planned.unknown or None,
        "devices": engine.use(planned.sweep.model_args)[0] or None,
        "disk": {"copies": disk.copies, "records": disk.records, "freed": disk.freed},
        "jobs": [
            {
                "training": job.training, "step": job.step, "checkpoint": job.found.shown, "state": job.state,
                "weights": job.weight, "generations": planned.generations, "tokens": planned.tokens,
                "stays": job.stays,
            }
            for job in planned.jobs
        ],
    }  # fmt: skip


def _results_of(run: Path) -> dict[int, dict[str, Any]]:
    """Seconds, tokens and scores of each step."""
    found: dict[int, dict[str, Any]] = {}
    responses: dict[tuple[int, str], int] = {}
    for row in whole_rows(run / "evaluations.jsonl", EVALUATIONS):
        step = row.get("step")
        if row.get("status") == "ok" and isinstance(step, int):
            found[step] = {"seconds": row.get("seconds")}
            asked = row.get("tasks")
            for task, facts in asked.items() if isinstance(asked, Mapping) else ():
                responses[step, str(task)] = _responses(facts)
    scores: dict[int, dict[str, float]] = {}
    tokens: dict[tuple[int, str], float] = {}
    for row in whole_rows(run / "metrics.jsonl", METRICS):
        step, task, mean = row.get("step"), str(row.get("task")), row.get("mean")
        if row.get("status") != "ok" or step not in found or not isinstance(mean, int | float):
            continue
        if row.get("metric") == "score":
            scores.setdefault(step, {})[task] = mean
        elif row.get("metric") == "response_tokens":
            tokens[step, task] = mean * responses.get((step, task), 0)
    for step, of in scores.items():
        found[step]["scores"] = ", ".join(f"{task.removeprefix('sftgen_')} {mean:.2f}" for task, mean in of.items())
    for (step, _), count in tokens.items():
        found[step]["tokens"] = found[step].get("tokens", 0.0) + count
    return found


def _responses(facts: Any) -> int:
    try:
        return int(facts["docs"]) * int(facts["repeats"])
    except (KeyError, TypeError, ValueError):
        return 0


def _seconds_since(at: str) -> float | None:
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
    except (ValueError, TypeError):
        return None


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"


def _bytes(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number / 1e9:,.2f} GB" if number >= 1e7 else f"{number / 1e6:,.2f} MB"
