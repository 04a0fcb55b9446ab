"""What was asked of a run: which answers each evaluation was about, and which of them are in force.

Answers belong together by what generated them (`Origin`). Several evaluations of one origin may differ in their
documents, repeats and prompts: the last one is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sftgen_judges.records.columns import EVALUATIONS
from sftgen_judges.records.journal import whole_rows
from sftgen_judges.records.manifest import now
from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.store import RunFolder

_MOST = 1_000_000
"""Documents, or samples of each, that an evaluation may say it asked for: more is damage."""


class Origin(NamedTuple):
    """What generated answers: training step, content id of the model, id of the sampling settings."""

    step: int | None
    model: str | None
    sampling_id: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Origin:
        """The origin of a sample or of a metric."""
        return cls(row.get("step"), row.get("model"), row.get("sampling_id"))


@dataclass(frozen=True)
class Asked:
    """What an evaluation asked of a task.

    Attributes:
        at: When it ended.
        docs: How many documents; None where an older version did not write that down.
        repeats: How many samples of each.
        sha256: Hash of the documents' hashes.
    """

    at: str
    docs: int | None = None
    repeats: int | None = None
    sha256: str | None = None

    def is_of(self, documents: Iterable[str]) -> bool:
        """Whether it was about these documents."""
        return self.sha256 == documents_hash(documents)


def documents_hash(documents: Iterable[str]) -> str:
    """Hash of a set of documents, from their hashes."""
    return content_hash(sorted(documents))


def asked(run: RunFolder, task: str) -> dict[Origin, Asked]:
    """What was last asked of a task, by what generated the answers.

    An evaluation of an older run knows the model only, or not even that: it stands under an origin with None.
    """
    found: dict[Origin, Asked] = {}
    for row in whole_rows(run.evaluations, EVALUATIONS):
        if row.get("status") != "ok" or not row.get("at"):
            continue
        tasks = row.get("tasks")
        about = tasks.get(task) if isinstance(tasks, dict) else None
        if isinstance(about, dict):
            origin = Origin(row.get("step"), _text(about.get("model")), _text(about.get("sampling_id")))
            facts = (about.get("docs"), about.get("repeats"))
            if all(type(fact) is int and 0 < fact <= _MOST for fact in facts):
                found[origin] = Asked(row["at"], *facts, _text(about.get("sha256")))
        elif not isinstance(tasks, dict):
            found[Origin(row.get("step"), row.get("model"), None)] = Asked(row["at"])
    return found


def in_force(run: RunFolder, task: str) -> dict[int | None, Origin]:
    """What generated the answers that tables show, by step."""
    return {
        row.get("step"): Origin.of(row) for row in run.metric_rows() if row["task"] == task and row["status"] == "ok"
    }


def next_time(run: RunFolder) -> str:
    """The time of an evaluation that ends now: later than that of all before, also where the clock went back."""
    last, time = datetime.min.replace(tzinfo=UTC), now()
    for row in whole_rows(run.evaluations, EVALUATIONS):
        with suppress(ValueError, OverflowError, TypeError):  # not a time, or none that can be compared
            last = max(last, datetime.fromisoformat(row.get("at") or "") + timedelta(seconds=1))
    return max(time, last.isoformat(timespec="seconds"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
