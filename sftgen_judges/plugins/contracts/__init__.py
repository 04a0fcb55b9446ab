"""What a plugin adds: graders, judges, diagnostics, checkpoint sources, sandboxes, as frozen dataclasses."""

from sftgen_judges.plugins.contracts.checkpoints import Checkpoint, CheckpointSource
from sftgen_judges.plugins.contracts.diagnosing import Diagnostic, Sample
from sftgen_judges.plugins.contracts.judging import Judge, Need, Reply, Request
from sftgen_judges.plugins.contracts.sandboxing import Execution, Limits, Program, Sandbox
from sftgen_judges.plugins.contracts.scoring import Grader, Item

__all__ = [
    "Checkpoint",
    "CheckpointSource",
    "Diagnostic",
    "Execution",
    "Grader",
    "Item",
    "Judge",
    "Limits",
    "Need",
    "Program",
    "Reply",
    "Request",
    "Sample",
    "Sandbox",
]
