"""What a plugin adds, as frozen dataclasses, and `KINDS`, the one table of them.

A new kind of plugin is a file here with its contract, and its row in the table.
"""

from dataclasses import dataclass

from sftgen_judges.plugins.contracts.asking import Failure, JudgeBackend
from sftgen_judges.plugins.contracts.checkpoints import Checkpoint, CheckpointSource
from sftgen_judges.plugins.contracts.curating import Candidate, Made, Recipe, Selector
from sftgen_judges.plugins.contracts.diagnosing import (
    Answer,
    Batch,
    Diagnostic,
    History,
    Labels,
    Measure,
    Probe,
    Sample,
    Span,
)
from sftgen_judges.plugins.contracts.executing import Executor, Workers
from sftgen_judges.plugins.contracts.exporting import Export, Exporter
from sftgen_judges.plugins.contracts.findings import (
    Figure,
    Finding,
    Interval,
    Metric,
    Pane,
    Series,
    Table,
    Validation,
)
from sftgen_judges.plugins.contracts.importing import Imported, Importer, Log
from sftgen_judges.plugins.contracts.judging import Judge, NoAnswer, PaperRule, Reply, Request
from sftgen_judges.plugins.contracts.labelled import GoldSpan, LabelledDocument, LabelledSet
from sftgen_judges.plugins.contracts.reporting import Block, Group, Html, Paragraph, Plot, Reported, ReportSection
from sftgen_judges.plugins.contracts.sandboxing import Execution, Limits, Program, Sandbox, Setting
from sftgen_judges.plugins.contracts.scheduling import Schedule
from sftgen_judges.plugins.contracts.scoring import Grader, Item
from sftgen_judges.plugins.contracts.tracking import Connection, Tracker


@dataclass(frozen=True)
class Kind:
    """A kind of thing that plugins add.

    Attributes:
        contract: The class that each thing of the kind is an instance of.
        hook: The hook that adds it.
        does: What each thing does, in the words of the docs.
    """

    contract: type
    hook: str
    does: str


KINDS = {
    "grader": Kind(Grader, "register_graders", "scores a response by a rule"),
    "judge": Kind(Judge, "register_judges", "scores a batch of responses"),
    "judge_backend": Kind(JudgeBackend, "register_judge_backends", "reaches the model of a judge"),
    "diagnostic": Kind(Diagnostic, "register_diagnostics", "says why: of responses, checkpoints, runs"),
    "checkpoint_source": Kind(CheckpointSource, "register_checkpoint_sources", "lists a folder"),
    "schedule": Kind(Schedule, "register_schedules", "says at which steps checkpoints are evaluated"),
    "tracker": Kind(Tracker, "register_trackers", "shows scores elsewhere"),
    "exporter": Kind(Exporter, "register_exporters", "writes runs in another format"),
    "selector": Kind(Selector, "register_selectors", "is one step from a pool of responses to a training set"),
    "recipe": Kind(Recipe, "register_recipes", "makes a training set of a pool, step by step"),
    "importer": Kind(Importer, "register_importers", "reads results of another tool"),
    "report_section": Kind(ReportSection, "register_report_sections", "shows something of runs in the report"),
    "executor": Kind(Executor, "register_executors", "runs the parts of curating, and of evaluating checkpoints"),
    "sandbox": Kind(Sandbox, "register_sandboxes", "runs programs written by a model"),
}

__all__ = [
    "Answer",
    "Batch",
    "Block",
    "Candidate",
    "Checkpoint",
    "CheckpointSource",
    "Connection",
    "Diagnostic",
    "Execution",
    "Executor",
    "Export",
    "Exporter",
    "Failure",
    "Figure",
    "Finding",
    "GoldSpan",
    "Grader",
    "Group",
    "History",
    "Html",
    "Imported",
    "Importer",
    "Interval",
    "Item",
    "Judge",
    "JudgeBackend",
    "LabelledDocument",
    "LabelledSet",
    "Labels",
    "Limits",
    "Log",
    "Made",
    "Measure",
    "Metric",
    "NoAnswer",
    "Pane",
    "PaperRule",
    "Paragraph",
    "Plot",
    "Probe",
    "Program",
    "Recipe",
    "Reply",
    "ReportSection",
    "Reported",
    "Request",
    "Sample",
    "Sandbox",
    "Schedule",
    "Selector",
    "Series",
    "Setting",
    "Span",
    "Table",
    "Tracker",
    "Validation",
    "Workers",
]
