"""The columns of every table of a run directory: one table for those who write, compact and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """What a column holds.

    Attributes:
        arrow: Its type in a Parquet file.
        sql: Its type in a view.
        types: Its types in a journal, as JSON is read.
    """

    arrow: str
    sql: str
    types: frozenset[type]


TEXT = Kind("string", "VARCHAR", frozenset({str}))
WHOLE = Kind("int64", "BIGINT", frozenset({int}))
NUMBER = Kind("double", "DOUBLE", frozenset({int, float, bool}))
TRUTH = Kind("bool", "BOOLEAN", frozenset({bool}))
OBJECT = Kind("string", "JSON", frozenset({dict}))
"""An object in a journal, its JSON text in a Parquet file."""
LIST = Kind("string", "JSON", frozenset({list}))
"""A list in a journal."""

Columns = Mapping[str, Kind]
_LARGEST = 2**63


@dataclass(frozen=True)
class Table:
    """What a file of a run holds.

    Attributes:
        columns: The columns. A row may have others: a later version may write more.
        needed: Those that a row must have; the others may be null or absent.
        key: Of rows with equal keys the last counts.
        order: How rows are sorted when they are compacted.
        then: What becomes of a damaged row, for the message about it.
    """

    columns: Columns
    needed: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    then: str = "is passed over"

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row holds what its columns may hold."""
        for name, types in self._types:
            held = row.get(name)
            if type(held) not in types:
                return False
            # A number that its column cannot hold, or none at all.
            if type(held) is int and not -_LARGEST <= held < _LARGEST:
                return False
            if type(held) is float and not isfinite(held):
                return False
        return True

    def only(self, *names: str) -> Table:
        """The same table with some of its columns."""
        kept = {name: of for name, of in self.columns.items() if name in names}
        return replace(self, columns=kept, needed=tuple(name for name in self.needed if name in names))

    @cached_property
    def _types(self) -> list[tuple[str, frozenset[type]]]:
        return [
            (name, of.types if name in self.needed else of.types | {type(None)}) for name, of in self.columns.items()
        ]


_AGAIN = "is made again by `sftgen rescore`"

TEXTS = Table(
    {
        "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "doc_hash": TEXT, "repeat": WHOLE,
        "prompt_hash": TEXT, "sampling": OBJECT, "text": TEXT, "reasoning": TEXT, "finish_reason": TEXT,
        "tokens": WHOLE, "prompt_tokens": WHOLE, "budget": WHOLE, "prefilled": TRUTH, "exact": TRUTH, "seed": WHOLE,
        "template_hash": TEXT, "markers": TEXT, "turn_end": WHOLE, "logprob": NUMBER, "entropy": NUMBER,
        "schema": WHOLE,
    },
    needed=("task", "model", "doc_hash", "repeat", "prompt_hash", "sampling", "text", "schema"),
    key=("step", "model", "doc_hash", "repeat", "prompt_hash", "sampling"),
    order=("doc_hash", "repeat", "step"),
    then="is made again",
)  # fmt: skip
"""Generations, one file a task."""
PROMPTS = Table(
    {"task": TEXT, "doc_hash": TEXT, "prompt_hash": TEXT, "prompt": TEXT, "begin": WHOLE, "end": WHOLE},
    needed=("task", "doc_hash", "prompt_hash", "prompt"),
    key=("task", "prompt_hash"),
    then="is written again by the next evaluation",
)
"""Prompts as the model got them, one file a task, each once; `begin` and `end` enclose what is the document's own."""
SAMPLES = Table(
    {
        "run": TEXT, "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "doc_id": TEXT, "doc_hash": TEXT,
        "cluster": TEXT, "repeat": WHOLE, "prompt_hash": TEXT, "status": TEXT, "answer": TEXT, "score": NUMBER,
        "paper": NUMBER, "measures": OBJECT, "truncated": TRUTH, "think": TEXT, "tokens": WHOLE,
        "thinking_tokens": WHOLE, "answer_tokens": WHOLE, "finish_reason": TEXT, "reason": TEXT, "scorer": TEXT,
        "evaluation_version": WHOLE, "evaluated_at": TEXT,
    },
    needed=("task", "doc_hash", "repeat"),
    key=("model", "sampling_id", "task", "step", "doc_hash", "repeat"),
    order=("task", "step", "doc_hash", "repeat"),
    then=_AGAIN,
)  # fmt: skip
"""Graded responses."""
METRICS = Table(
    {
        "run": TEXT, "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "status": TEXT, "metric": TEXT,
        "mean": NUMBER, "low": NUMBER, "high": NUMBER, "n": WHOLE, "docs": WHOLE, "incomplete": TRUTH, "reason": TEXT,
        "evaluation_version": WHOLE, "evaluated_at": TEXT,
    },
    needed=("task", "status"),
    key=("model", "sampling_id", "task", "step", "metric"),
    then=_AGAIN,
)  # fmt: skip
"""Metrics, and evaluations that failed."""
VERDICTS = Table(
    {
        "key": TEXT, "scorer": TEXT, "status": TEXT, "score": NUMBER, "paper": NUMBER, "answer": TEXT, "reason": TEXT,
        "measures": OBJECT, "evidence": OBJECT,
    },
    needed=("key", "status"),
    then="is graded again",
)  # fmt: skip
"""Verdicts by the content that they are of."""
EVALUATIONS = Table({"step": WHOLE, "status": TEXT, "seconds": NUMBER, "at": TEXT, "model": TEXT, "reason": TEXT})
"""When what was evaluated."""


LABELS = Table(
    {
        "content": TEXT, "diagnostic": TEXT, "version": WHOLE, "annotator": TEXT, "task": TEXT, "step": WHOLE,
        "model": TEXT, "sampling_id": TEXT, "doc_hash": TEXT, "repeat": WHOLE, "numbers": OBJECT, "spans": LIST,
        "failed": TEXT, "evidence": OBJECT,
    },
    needed=("content", "diagnostic", "task", "doc_hash", "repeat"),
    key=("diagnostic", "model", "sampling_id", "task", "step", "doc_hash", "repeat"),
    order=("step", "doc_hash", "repeat"),
    then="is labelled again by `sftgen diagnose`",
)  # fmt: skip
"""What diagnostics say of responses, one file a diagnostic and task."""
PROBES = Table(
    {"content": TEXT, "diagnostic": TEXT, "version": WHOLE, "step": WHOLE, "model": TEXT, "kept": OBJECT},
    needed=("content", "diagnostic", "kept"),
    key=("diagnostic", "content"),
    then="is measured again by `sftgen diagnose`",
)
"""What diagnostics measured of checkpoints, one file a diagnostic."""
FINDINGS = Table(
    {
        "run": TEXT, "diagnostic": TEXT, "version": WHOLE, "level": TEXT, "task": TEXT, "step": WHOLE, "title": TEXT,
        "sentence": TEXT, "certainty": TEXT, "measured_on": TEXT, "found": OBJECT, "at": TEXT,
    },
    needed=("diagnostic", "sentence", "certainty", "found"),
    key=("diagnostic", "task", "step", "title"),
    then="is found again by `sftgen diagnose`",
)  # fmt: skip
"""What diagnostics found; `found` holds the whole finding: metrics, table, figure, validation."""
TRAINING_TOKENS = Table(
    {
        "run": TEXT, "kind": TEXT, "first_step": WHOLE, "step": WHOLE, "epoch": NUMBER, "tokens": WHOLE,
        "right": WHOLE, "accuracy": NUMBER, "loss": NUMBER, "p5": NUMBER, "p25": NUMBER, "p50": NUMBER, "p75": NUMBER,
        "p95": NUMBER, "not_finite": WHOLE, "sampled": WHOLE, "again": WHOLE, "rising": NUMBER, "falling": NUMBER,
        "signal": TRUTH, "reason": TEXT, "at": TEXT,
    },
    needed=("kind", "step", "tokens"),
    key=("kind", "step"),
    then="is lost; the next steps are measured",
)  # fmt: skip
"""The tokens of the training batches, as the model in training predicts them: a row a window of steps and kind.

`loss` and its quantiles `p5` to `p95` are in nats. Of `sampled` tokens `again` were seen before; `rising` and `falling`
are shares of those. A row with a `reason` has no numbers: it says why there are none.
"""


def literal(text: str | Path) -> str:
    """A string in SQL."""
    return "'" + str(text).replace("'", "''") + "'"
