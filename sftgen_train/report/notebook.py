"""What a notebook shows of verdicts, comparisons and findings: the tables of the terminal, and scores as a drawing."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from sftgen_judges.records.display import html_table, shown_text
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.comparison_tables import remarks_of, sections
from sftgen_train.report.explaining import Explained
from sftgen_train.report.findings import Found, heading, validation_of
from sftgen_train.report.line_chart import share_chart
from sftgen_train.report.reading import short
from sftgen_train.report.sections import Section
from sftgen_train.report.trajectories import RunVerdicts
from sftgen_train.report.verdict_tables import COLUMNS, cells
from sftgen_train.report.why_tables import brief, cost_line, regime_line
from sftgen_train.trajectory.loading import OUTSIDE

MOST_TABLES, MOST_LINES, MOST_TASKS = 6, 20, 5
ALL = 2000
"""Characters of a sentence that are shown."""


def of_verdicts(found: RunVerdicts) -> str:
    """The verdicts of a run: its scores as a drawing, a table, and what a reader has to know."""
    rows = [cells(verdict) for verdict in found.verdicts]
    told = [f"{row[0]}: {row[-1]}" for row in rows if row[-1]]
    table = html_table(COLUMNS[:-1], [row[:-1] for row in rows])
    title = f"<p><b>What became of the scores of {shown_text(found.run)}</b></p>"
    return title + _drawing(found) + _lines(found.cautions) + table + _lines([*told, *found.failures])


def of_explained(found: Explained) -> str:
    """The same with what stands behind."""
    return of_verdicts(found.verdicts) + _tables(brief(found)) + _lines([regime_line(found), cost_line(found)])


def of_comparison(found: Comparison) -> str:
    """The first tables of a comparison: differences at the end and at each step, landmarks."""
    return _lines(found.cautions) + _tables(sections(found)) + _lines(remarks_of(found))


def of_finding(found: Found) -> str:
    """A finding in words; its table and figure may hold words of responses, and stand in the report."""
    finding = found.finding
    sentence = f"{finding.sentence} ({finding.certainty})"
    about = [sentence, f"Measured on {finding.measured_on}.", *validation_of(finding)]
    return f"<p><b>{shown_text(heading(found))}</b></p>{_lines(about)}"


def _drawing(found: RunVerdicts) -> str:
    lines = []
    for verdict in found.tasks:
        points = [(of.step, of.mean) for of in verdict.points if isfinite(of.mean) and of.step != OUTSIDE]
        if len(points) > 1 and all(0 <= mean <= 1 for _, mean in points):
            lines.append((shown_name(verdict.name), points))
    return share_chart("Score at each step", "training step", lines[:MOST_TASKS]) if lines else ""


def shown_name(task: str) -> str:
    """A task's name for a key; the drawing escapes it."""
    return short(task)[:20]


def _tables(found: Iterable[Section]) -> str:
    parts = list(found)
    shown = "".join(f"<p><b>{shown_text(of.title)}</b></p>{html_table(of.head, of.rows)}" for of in parts[:MOST_TABLES])
    left = [of.title for of in parts[MOST_TABLES:]]
    return shown + _lines([f"Further tables in the report: {'; '.join(left)}."] if left else [])


def _lines(found: Iterable[str]) -> str:
    given = [line for line in found if line]
    kept = [*given[:MOST_LINES], *([f"{len(given) - MOST_LINES} more"] if len(given) > MOST_LINES else [])]
    return "".join(f"<p>{shown_text(line, ALL)}</p>" for line in kept)
