"""A report as files: every figure as CSV, SVG and PNG, every table in Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import printable
from sftgen_train.report.arm_charts import arms_chart, tasks_of
from sftgen_train.report.charts import panel_chart, panels_of, steps_shown
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.comparison_tables import records_of as rows_of_comparison
from sftgen_train.report.comparison_tables import sections as sections_of
from sftgen_train.report.composition import PARTS
from sftgen_train.report.distance import distance_section
from sftgen_train.report.explaining import Explained
from sftgen_train.report.findings import MOST_ROWS, drawn, heading, read_findings, table_of
from sftgen_train.report.findings import shown as shown_cell
from sftgen_train.report.forms import as_csv
from sftgen_train.report.numbers import number_sections
from sftgen_train.report.pictures import browser, pictures
from sftgen_train.report.reading import Shown, short
from sftgen_train.report.sections import Section, for_latex, for_markdown
from sftgen_train.report.verdict_tables import sections_of_runs
from sftgen_train.report.why_charts import change_chart, parts_chart, tradeoff_chart

Rows = list[dict[str, Any]]


def write_folder(shown: Shown, folder: Path, compared: Comparison | None = None) -> Path:
    """Write the data of the figures, a CSV file each, and `tables.md` and `tables.tex`.

    Args:
        shown: What the run holds.
        folder: Where to; files of these names are replaced, others stay.
        compared: The run compared with others.

    Returns:
        The folder.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = _tables(shown, compared)
    write_atomic(folder / "tables.md", for_markdown(tables) + "\n")
    write_atomic(folder / "tables.tex", for_latex(tables) + "\n")
    for name, rows in figure_rows(shown, compared):
        if rows:
            write_atomic(folder / f"{name}.csv", as_csv(rows, ()) + "\n")
    return folder


def write_pictures(shown: Shown, folder: Path, compared: Comparison | None = None) -> None:
    """Draw every figure as SVG and PNG.

    Args:
        shown: What the run holds.
        folder: Where to.
        compared: The run compared with others.

    Raises:
        BrowserError: There is no browser, or it did not draw.
        OSError: The folder cannot be written.
    """
    named = dict(_figures(shown, compared))
    for place, form, picture in pictures(named.values(), browser()):
        (folder / f"{list(named)[place]}.{form}").write_bytes(picture)


def _figures(shown: Shown, compared: Comparison | None) -> Iterator[tuple[str, Any]]:
    """The figures of the page by names that are files. What stands beside them on the page stands in them."""
    panels = panels_of(shown)
    keyed = {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"}}
    for panel in panels:
        yield f"course-{panel.category}", panel_chart(panel, panels, steps_shown(panels)).update_layout(**keyed)
    found = shown.explained
    for place, verdict in enumerate(found.verdicts.verdicts if found else ()):
        why = found.by_task.get(verdict.name) if found else None
        if len(verdict.points) > 1:
            yield _file("changes", verdict.name, place), change_chart(verdict)
        if why and why.changes:
            yield _file("parts", verdict.name, place), parts_chart(why.changes)
    for place, one in enumerate(read_findings(shown.run)):
        if one.finding.figure and one.finding.figure.kind != "tokens":
            yield _file("finding", heading(one), place), drawn(one.finding.figure)
    if found and found.tradeoff:
        yield "safety-against-reasoning", tradeoff_chart(found.tradeoff)
    if compared:
        labels = tuple(map(printable, compared.arms))
        for place, (task, lines) in enumerate(tasks_of(compared)):
            yield _file("comparison", task, place), arms_chart(labels, lines).update_layout(**keyed)


def _file(kind: str, task: str, place: int) -> str:
    """A file's name: a task's name may hold anything, and two may differ in that only."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", short(task))[:80]
    return f"{kind}-{plain}" if plain == short(task) else f"{kind}-{plain}-{place}"


def figure_rows(shown: Shown, compared: Comparison | None = None) -> Iterator[tuple[str, Rows]]:
    """The name of each figure and its data: a row a point, with the numbers that the figure draws."""
    yield "course", list(_course(shown))
    if found := shown.explained:
        yield "changes", list(_changes(found))
        yield "parts", list(_parts(found))
        yield "safety-against-reasoning", list(_tradeoff(found))
    yield "findings", list(_findings(shown))
    if compared:
        yield "comparison", rows_of_comparison(compared)


def _course(shown: Shown) -> Iterator[dict[str, Any]]:
    for panel in panels_of(shown):
        for line in panel.lines:
            about = {"category": panel.category, "task": printable(line.task), "base": line.base, "delta": line.delta}
            for measure, points in (("score", line.score), ("response_tokens", line.tokens)):
                for of in points:
                    yield {
                        **about, "measure": measure, "step": of.step, "mean": of.mean, "low": of.low, "high": of.high,
                        "documents": of.documents, "dips": of.dips, "about": "; ".join(of.about),
                    }  # fmt: skip


def _changes(found: Explained) -> Iterator[dict[str, Any]]:
    for verdict in found.verdicts.verdicts:
        for point in verdict.points if len(verdict.points) > 1 else ():
            yield {
                "task": printable(verdict.name), "delta": verdict.delta, **asdict(point),
                "dips": point.step in verdict.dips,
            }  # fmt: skip


def _parts(found: Explained) -> Iterator[dict[str, Any]]:
    for change in (change for why in found.tasks for change in why.changes):
        for field, name in PARTS:
            part = getattr(change.parts, field)
            yield {
                "task": printable(change.task), "before": change.before, "after": change.after, "part": name,
                "change": part.change, "low": part.low, "high": part.high, "of_change": change.parts.change,
            }  # fmt: skip


def _tradeoff(found: Explained) -> Iterator[dict[str, Any]]:
    for point in found.tradeoff.points if found.tradeoff else ():
        for place, (gain, asr) in enumerate([(point.gain, point.asr), *point.outline().tolist()]):
            yield {"step": point.step, "what": "region" if place else "point", "reasoning_gained": gain, "asr": asr}


def _findings(shown: Shown) -> Iterator[dict[str, Any]]:
    for one in read_findings(shown.run):
        for series in one.finding.figure.series if one.finding.figure else ():
            gaps = [None] * len(series.y)
            for x, y, low, high in zip(series.x, series.y, series.low or gaps, series.high or gaps, strict=False):
                about = {"finding": printable(heading(one)), "series": printable(series.name)}
                yield {**about, "x": printable(str(x)), "y": y, "low": low, "high": high}


def _finding_tables(shown: Shown) -> Iterator[Section]:
    for one in read_findings(shown.run):
        if table := table_of(one.finding):
            rows = tuple(tuple(printable(shown_cell(cell)) for cell in row) for row in table.rows[:MOST_ROWS])
            yield Section(printable(heading(one)), tuple(map(printable, table.columns)), rows)


def _tables(shown: Shown, compared: Comparison | None) -> Sequence[Section]:
    distance = distance_section(shown.metrics, shown.manifest)
    return [
        *(sections_of_runs([shown.explained]) if shown.explained else ()),
        *(sections_of(compared) if compared else ()),
        *_finding_tables(shown),
        *([distance] if distance else ()),
        *number_sections(shown),
    ]
