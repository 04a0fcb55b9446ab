"""The columns of every table of a run directory: one table for those who write, compact and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """What a column holds.

    Attributes:
        arrow: Its type in a Parquet file.
        sql: Its type in a view.
    """

    arrow: str
    sql: str


TEXT = Kind("string", "VARCHAR")
WHOLE = Kind("int64", "BIGINT")
NUMBER = Kind("double", "DOUBLE")
TRUTH = Kind("bool", "BOOLEAN")
OBJECT = Kind("string", "JSON")
"""An object in a journal, its JSON text in a Parquet file."""

Columns = Mapping[str, Kind]

TEXTS: Columns = {
    "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "doc_hash": TEXT, "repeat": WHOLE,
    "prompt_hash": TEXT, "sampling": OBJECT, "text": TEXT, "reasoning": TEXT, "finish_reason": TEXT, "tokens": WHOLE,
    "prompt_tokens": WHOLE, "prefilled": TRUTH, "exact": TRUTH, "seed": WHOLE, "template_hash": TEXT, "markers": TEXT,
    "schema": WHOLE,
}  # fmt: skip
SAMPLES: Columns = {
    "run": TEXT, "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "doc_id": TEXT, "doc_hash": TEXT,
    "repeat": WHOLE, "status": TEXT, "answer": TEXT, "score": NUMBER, "paper": NUMBER, "measures": OBJECT,
    "truncated": TRUTH, "think": TEXT, "tokens": WHOLE, "thinking_tokens": WHOLE, "answer_tokens": WHOLE,
    "finish_reason": TEXT, "reason": TEXT, "scorer": TEXT, "evaluation_version": WHOLE, "evaluated_at": TEXT,
}  # fmt: skip
METRICS: Columns = {
    "run": TEXT, "model": TEXT, "sampling_id": TEXT, "task": TEXT, "step": WHOLE, "status": TEXT, "metric": TEXT,
    "mean": NUMBER, "low": NUMBER, "high": NUMBER, "n": WHOLE, "docs": WHOLE, "incomplete": TRUTH, "reason": TEXT,
    "evaluation_version": WHOLE, "evaluated_at": TEXT,
}  # fmt: skip
EVALUATIONS: Columns = {
    "step": WHOLE, "status": TEXT, "seconds": NUMBER, "at": TEXT, "model": TEXT, "reason": TEXT
}  # fmt: skip

SAMPLE_KEY = ("model", "sampling_id", "task", "step", "doc_hash", "repeat")
"""Of equal samples the last counts."""


def literal(text: str | Path) -> str:
    """A string in SQL."""
    return "'" + str(text).replace("'", "''") + "'"
