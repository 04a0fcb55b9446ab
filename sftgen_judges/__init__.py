"""The ground floor: plugin door, contracts, records, the thinking splitter, batch grading.

Nothing here knows lm_eval, a trainer or a benchmark.
"""

from sftgen_judges.plugins.contracts import (
    Checkpoint,
    CheckpointSource,
    Diagnostic,
    Execution,
    Grader,
    Item,
    Judge,
    Limits,
    Program,
    Reply,
    Request,
    Sample,
    Sandbox,
)
from sftgen_judges.plugins.hookspecs import hookimpl
from sftgen_judges.records.schema import Response, Verdict
from sftgen_judges.records.thinking import split_thinking

__all__ = [
    "Checkpoint",
    "CheckpointSource",
    "Diagnostic",
    "Execution",
    "Grader",
    "Item",
    "Judge",
    "Limits",
    "Program",
    "Reply",
    "Request",
    "Response",
    "Sample",
    "Sandbox",
    "Verdict",
    "hookimpl",
    "split_thinking",
]
