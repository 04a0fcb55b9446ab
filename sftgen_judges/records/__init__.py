"""Everything that is written into a run directory, and the reading of it."""

from sftgen_judges.records.schema import (
    ANSWERED,
    SCORED,
    GenerationRecord,
    Measure,
    Response,
    Status,
    ThinkStatus,
    Verdict,
    content_hash,
    doc_hash,
    text_hash,
)
from sftgen_judges.records.thinking import split_thinking

__all__ = [
    "ANSWERED",
    "SCORED",
    "GenerationRecord",
    "Measure",
    "Response",
    "Status",
    "ThinkStatus",
    "Verdict",
    "content_hash",
    "doc_hash",
    "split_thinking",
    "text_hash",
]
