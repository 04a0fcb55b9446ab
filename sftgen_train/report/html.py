"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from sftgen_judges.plugins.contracts import Reported
from sftgen_judges.records.journal import write_atomic
from sftgen_train.report.drawing import colour_rules, dark_json, library, static
from sftgen_train.report.gathering import gathered, left_out
from sftgen_train.report.own import shown_of, title_of
from sftgen_train.report.page_blocks import Page, environment
from sftgen_train.report.reading import steps_of


def write_report(reported: Reported, path: Path | None = None) -> Path:
    """Write the report.

    Args:
        reported: The runs, as `report_of` gives them.
        path: Where to, `report.html` in the first run's directory by default.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written.
    """
    shown, page = shown_of(reported), Page()
    sections = []
    for of in gathered(reported):
        anchor, body, problem = page.name(of.section.name), "", of.problem
        if not problem:
            try:
                body = page.html(of.blocks)
            except Exception as error:  # for example a figure that Plotly cannot read; the others are still shown
                problem = left_out(reported, of.section.name, of.plugin, error)
        sections.append({"anchor": anchor, "section": of.section, "body": body, "problem": problem})
    html = (
        environment()
        .get_template("report.html.j2")
        .render(
            sections=sections,
            library=library(),
            style=static("report.css"),
            script=static("report.js"),
            colour_rules=colour_rules(),
            dark_colours=dark_json(),
            title=title_of(reported),
            manifest=shown.manifest,
            steps=steps_of(shown.metrics),
            tasks=list(shown.metrics),
        )
    )
    path = path or shown.run.path / "report.html"
    write_atomic(path, html)
    return path
