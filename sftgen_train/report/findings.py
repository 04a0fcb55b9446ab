"""Findings of diagnostics: read from a run, and shown in the terminal, as JSON and in the report.

A finding may come from a stranger's run. Its text is escaped, its sizes are bounded, its figures are drawn here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich import box
from rich.console import Console
from rich.table import Table as Printed

from sftgen_judges.plugins.contracts import (
    Block,
    Figure,
    Finding,
    Group,
    Html,
    Metric,
    Paragraph,
    Table,
    Validation,
)
from sftgen_judges.plugins.contracts.findings import is_validated
from sftgen_judges.records.display import InNotebook, Shelf
from sftgen_judges.records.journal import clean
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.sections import plain

logger = logging.getLogger(__name__)

MOST_ROWS = 200
"""Rows of a table that are shown."""
MOST_TOKENS = 20_000
"""Tokens of a text that are shown."""
NOT_VALIDATED = "\N{DAGGER} not validated"
"""Beside numbers that are estimated by a rule or a judge that nobody has measured against labels."""


@dataclass(frozen=True)
class Found(InNotebook):
    """A finding, and the diagnostic that made it.

    Attributes:
        diagnostic: Its name.
        finding: The finding.
    """

    shown_by = "sftgen_train.report.notebook:of_finding"

    diagnostic: str
    finding: Finding


def findings(run: str | Path) -> list[Found]:
    """What diagnostics found in a run (`sftgen diagnose`).

    Args:
        run: The run directory.

    Raises:
        RecordError: It is no run directory.
    """
    folder = RunFolder(Path(run))
    folder.require_readable()
    return Shelf(read_findings(folder))


def read_findings(run: RunFolder) -> list[Found]:
    """The findings of a run, those of one diagnostic together; one that cannot be read is named and left out."""
    found: list[Found] = []
    damaged = 0
    for row in sorted(run.finding_rows(), key=_in_order):
        try:
            finding = Finding.from_dict(row["found"])
            _require_plain(finding)
        except ValueError:
            damaged += 1
            continue
        found.append(Found(str(row["diagnostic"]), finding))
    if damaged:
        logger.warning("%s: %d findings cannot be read; `sftgen diagnose` makes them again", run.findings, damaged)
    return found


_LEVELS = ("trajectory", "checkpoint", "sample")


def _in_order(row: Mapping[str, Any]) -> tuple[int, str]:
    """What is said of the whole run first, and the findings of one diagnostic together, however they were made."""
    level = row.get("level")
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS), str(row["diagnostic"])


def _require_plain(finding: Finding) -> None:
    """Check the types of what is shown.

    Raises:
        ValueError: A number is none, or a text is none.
    """
    texts = [finding.title, finding.sentence, finding.measured_on]
    numbers: list[Any] = []
    for metric in finding.metrics:
        texts += [metric.name, metric.unit, metric.label]
        numbers += [metric.value, metric.low, metric.high, metric.n, metric.step]
    for checked in finding.validation:
        texts += [checked.label, checked.labelled_set, checked.annotator, checked.unit, checked.split]
        for rate in (checked.precision, checked.recall, checked.f1):
            numbers += [rate.value, rate.low, rate.high]
    if finding.table:
        texts.append(finding.table.title)
    if finding.figure:
        require_plain_figure(finding.figure)
    _require(texts, numbers)


def require_plain_figure(figure: Figure) -> None:
    """Check the types of what is drawn.

    Raises:
        ValueError: As above.
    """
    texts: list[Any] = [figure.kind, figure.title, figure.x, figure.y]
    numbers: list[Any] = []
    for series in figure.series:
        texts.append(series.name)
        numbers += [*series.y, *series.low, *series.high]
    for pane in figure.panes:
        texts += [pane.title, *pane.tokens]
        numbers += pane.values
    _require(texts, numbers)


def _require(texts: Iterable[Any], numbers: Iterable[Any]) -> None:
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("expected text")
    if not all(number is None or isinstance(number, int | float) for number in numbers):
        raise ValueError("expected numbers")


def validation_of(finding: Finding) -> list[str]:
    """What is known of how good the labels behind a finding are, a line each."""
    known = [told(checked) for checked in finding.validation]
    estimated = dict.fromkeys(metric.name for metric in finding.metrics if not is_validated(metric, finding.validation))
    return [*known, f"{NOT_VALIDATED}: {', '.join(estimated)}"] if estimated else known


def told(checked: Validation) -> str:
    """One validation in a line."""
    rates = (("precision", checked.precision), ("recall", checked.recall), ("F1", checked.f1))
    shown = ", ".join(f"{name} {rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f})" for name, rate in rates)
    trivial = f"; saying yes to all: F1 {checked.trivial_f1:.2f}" if checked.trivial_f1 is not None else ""
    of = f"{checked.n} {checked.unit} of {checked.labelled_set} ({checked.split}), labelled by {checked.annotator}"
    return f"{checked.label}: {shown} on {of}{trivial}"


# ------------------------------------------------------------------------------ JSON


def as_json(found: Sequence[Found], failed: Mapping[str, str], skipped: Mapping[str, str]) -> str:
    """Findings for a program."""
    rows = [{"diagnostic": one.diagnostic, **one.finding.to_dict()} for one in found]
    return json.dumps(clean({"findings": rows, "failed": dict(failed), "skipped": dict(skipped)}), indent=1)


# ------------------------------------------------------------------------------ terminal


def print_findings(found: Sequence[Found], console: Console, *, tables: bool = True) -> None:
    """Print each finding: its sentence, how sure it is, what it rests on, and its table.

    Args:
        found: The findings.
        console: Where to.
        tables: Whether the tables are printed too.
    """
    for one in found:
        finding = one.finding
        console.print(f"\n[bold]{plain(heading(one))}[/]", highlight=False)
        console.print(f"{plain(finding.sentence)} [dim]({finding.certainty})[/]", highlight=False)
        console.print(f"[dim]measured on {plain(finding.measured_on)}[/]", highlight=False)
        for line in validation_of(finding):
            console.print(f"[yellow]{plain(line)}[/]", highlight=False)
        table = table_of(finding)
        if table and tables:
            printed = Printed(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
            for column in table.columns:
                # The name of what is measured stays whole.
                printed.add_column(plain(column), overflow="fold", no_wrap=column == "measure")
            for row in table.rows[:MOST_ROWS]:
                printed.add_row(*(plain(shown(cell)) for cell in row))
            console.print(printed)


def print_left_out(failed: Mapping[str, str], skipped: Mapping[str, str], console: Console) -> None:
    """Print which diagnostics failed or were not begun, and why."""
    for name, why in failed.items():
        console.print(f"[red]left out:[/] {plain(name)}: {plain(why)}", highlight=False)
    for name, why in skipped.items():
        console.print(f"[yellow]not run:[/] {plain(name)} {plain(why)}", highlight=False)


def heading(one: Found) -> str:
    """What a finding is of: diagnostic, task and step."""
    finding = one.finding
    parts = [one.diagnostic]
    if finding.title != one.diagnostic:
        parts.append(finding.title)
    if finding.task:
        parts.append(finding.task.removeprefix("sftgen_"))
    if finding.step is not None:
        parts.append(f"step {finding.step}")
    return ", ".join(parts)


def table_of(finding: Finding) -> Table | None:
    """The table of a finding, or one of its metrics."""
    if finding.table or not finding.metrics:
        return finding.table
    rows = tuple(
        (
            metric.task, metric.step,
            metric.name if is_validated(metric, finding.validation) else f"{metric.name} {NOT_VALIDATED[0]}",
            interval(metric), metric.n,
        )
        for metric in finding.metrics
    )  # fmt: skip
    whole = Table(("task", "step", "metric", "value", "n"), rows)
    kept = [place for place in range(5) if any(row[place] is not None for row in rows)]
    return Table(tuple(whole.columns[p] for p in kept), tuple(tuple(row[p] for p in kept) for row in rows))


def interval(metric: Metric) -> str | None:
    """A metric with its interval."""
    if metric.value is None:
        return None
    unit = f" {metric.unit}" if metric.unit else ""
    if metric.low is None or metric.high is None:
        return f"{shown(metric.value)}{unit}"
    return f"{shown(metric.value)} ({shown(metric.low)} to {shown(metric.high)}){unit}"


def shown(cell: Any) -> str:
    """A cell of a table."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


# ------------------------------------------------------------------------------ the page


def blocks_of(found: Sequence[Found]) -> Iterator[Block]:
    """Each finding: its sentence, how sure it is, what it rests on, its figure, and its numbers folded."""
    for one in found:
        finding, table = one.finding, table_of(one.finding)
        told = Markup('<p>{} <span class="certainty">{}</span></p>').format(finding.sentence, finding.certainty)
        blocks: list[Block] = [
            Html(told, f"{finding.sentence} ({finding.certainty})"),
            Paragraph(f"Measured on {finding.measured_on}.", "note"),
            *(Paragraph(line, "note") for line in validation_of(finding)),
        ]
        blocks += [finding.figure] if finding.figure else []
        blocks += [Group((replace(table, rows=table.rows[:MOST_ROWS]),), "Numbers", folded=True)] if table else []
        yield Group(tuple(blocks), heading(one))
