"""Findings of diagnostics: read from a run, and shown in the terminal, as JSON and in the report.

A finding may come from a stranger's run. Its text is escaped, its sizes are bounded, its figures are drawn here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as as_html
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as Printed

from sftgen_judges.plugins.contracts import Figure, Finding, Metric, Pane, Table, Validation
from sftgen_judges.plugins.contracts.findings import is_validated
from sftgen_judges.records.journal import clean
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.drawing import COLOURS, housed, placed
from sftgen_train.report.sections import plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Drawn

logger = logging.getLogger(__name__)

MOST_ROWS = 200
"""Rows of a table that are shown."""
MOST_TOKENS = 20_000
"""Tokens of a text that are shown."""
NOT_VALIDATED = "\N{DAGGER} not validated"
"""Beside numbers that are estimated by a rule or a judge that nobody has measured against labels."""


@dataclass(frozen=True)
class Found:
    """A finding, and the diagnostic that made it.

    Attributes:
        diagnostic: Its name.
        finding: The finding.
    """

    diagnostic: str
    finding: Finding


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
    if finding.figure:
        texts += [finding.figure.kind, finding.figure.title, finding.figure.x, finding.figure.y]
        for series in finding.figure.series:
            texts.append(series.name)
            numbers += [*series.y, *series.low, *series.high]
        for pane in finding.figure.panes:
            texts += [pane.title, *pane.tokens]
            numbers += pane.values
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


def findings_html(found: Sequence[Found]) -> str:
    """The section of the report; empty without findings. Everything in it is escaped."""
    if not found:
        return ""
    parts = [_article(place, one) for place, one in enumerate(found)]
    return f'<h2 id="findings">Findings</h2>\n{_STYLE}{"".join(parts)}'


_STYLE = """<style>
  .finding { border-left: 3px solid var(--line); padding-left: .8rem; margin: 1.2rem 0; }
  .finding h3 { font-size: 1rem; margin: 0; } .finding p { margin: .2rem 0; }
  .certainty { font-size: .8rem; border: 1px solid var(--line); border-radius: .6rem; padding: 0 .5rem;
    white-space: nowrap; }
  .panes { display: flex; flex-wrap: wrap; gap: 1rem; }
  .pane { flex: 1 1 20rem; min-width: 0; white-space: pre-wrap; font: .85rem/1.6 monospace; }
</style>
"""


def _article(place: int, one: Found) -> str:
    finding = one.finding
    lines = [
        f'<div class="finding"><h3>{as_html(heading(one))}</h3>',
        f'<p>{as_html(finding.sentence)} <span class="certainty">{as_html(finding.certainty)}</span></p>',
        f'<p class="note">Measured on {as_html(finding.measured_on)}.</p>',
        *(f'<p class="note">{as_html(line)}</p>' for line in validation_of(finding)),
    ]
    if finding.figure:
        lines.append(_figure_html(finding.figure, f"finding-{place}"))
    table = table_of(finding)
    if table:
        head = "".join(f'<th scope="col">{as_html(column)}</th>' for column in table.columns)
        rows = "".join(
            f"<tr>{''.join(f'<td>{as_html(shown(cell))}</td>' for cell in row)}</tr>\n"
            for row in table.rows[:MOST_ROWS]
        )
        numbers = f'<div class="scroll" tabindex="0"><table><tr>{head}</tr>\n{rows}</table></div>'
        lines.append(f"<details><summary>Numbers</summary>{numbers}</details>")
    return "\n".join([*lines, "</div>\n"])


def _figure_html(figure: Figure, name: str) -> str:
    if figure.kind == "tokens":
        return _tokens_html(figure)
    return (
        f"<figure><figcaption>{as_html(figure.title)}</figcaption>{placed(drawn(figure), name, figure.title)}</figure>"
    )


def drawn(figure: Figure) -> Drawn:
    """Lines or bars as a figure of Plotly."""
    import plotly.graph_objects as go

    made = go.Figure()
    for colour, series in zip(COLOURS * (1 + len(figure.series)), figure.series, strict=False):
        y = list(series.y)
        error = _error_bars(y, series.low, series.high)
        facts = {"x": [str(x) for x in series.x], "y": y, "name": as_html(series.name), "error_y": error}
        if figure.kind == "bars":
            made.add_trace(go.Bar(**facts, marker={"color": colour}))
        else:
            made.add_trace(go.Scatter(**facts, mode="lines+markers", line={"color": colour}))
    return housed(
        made,
        height=340,
        xaxis={"title": {"text": as_html(figure.x)}, "type": "category"},
        yaxis={"title": {"text": as_html(figure.y)}},
        showlegend=len(figure.series) > 1,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )


def _error_bars(y: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None]) -> Any:
    if not low or not high:
        return None
    up = [0 if a is None or b is None else b - a for a, b in zip(y, high, strict=False)]
    down = [0 if a is None or b is None else a - b for a, b in zip(y, low, strict=False)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2}


def _tokens_html(figure: Figure) -> str:
    """Texts side by side, folded: their tokens are coloured by their numbers, white at 0."""
    values = [abs(value) for pane in figure.panes for value in pane.values[:MOST_TOKENS]]
    most = max(values, default=0) or 1.0
    panes = "".join(
        f'<div class="pane"><b>{as_html(pane.title)}</b><br>{"".join(_coloured(pane, most))}</div>'
        for pane in figure.panes
    )
    about = f"{figure.title}; colour: {figure.y}, up to {shown(most)}" if figure.y else figure.title
    return f'<details><summary>{as_html(about)}</summary><div class="panes">{panes}</div></details>'


def _coloured(pane: Pane, most: float) -> Iterable[str]:
    for token, value in zip(pane.tokens[:MOST_TOKENS], pane.values, strict=False):
        colour = "214,39,40" if value >= 0 else "31,119,180"
        style = f"background:rgba({colour},{min(1.0, abs(value) / most):.2f})"
        yield f'<span style="{style}" title="{value:.3g}">{as_html(token)}</span>'
