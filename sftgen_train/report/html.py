"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sftgen_judges.records.journal import write_atomic
from sftgen_train.report.charts import chart
from sftgen_train.report.distance import base_opening
from sftgen_train.report.findings import findings_html, read_findings
from sftgen_train.report.reading import CHARTS, Shown, cell, named, short, steps_of
from sftgen_train.report.remarks import remarks_of
from sftgen_train.report.verdict_tables import words_of
from sftgen_train.trajectory import WORDS


def write_report(shown: Shown, path: Path | None = None) -> Path:
    """Write the report.

    Args:
        shown: What the run holds.
        path: Where to, `report.html` in the run directory by default.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written.
    """
    import plotly.io as plotly_io
    from jinja2 import Environment, select_autoescape
    from plotly.offline import get_plotlyjs

    metrics, in_domain = shown.metrics, shown.in_domain
    environment = Environment(autoescape=select_autoescape(default=True))
    template = environment.from_string(resources.files("sftgen_train.report").joinpath("report.html.j2").read_text())
    charts = [
        plotly_io.to_html(
            chart(metrics, metric, title, in_domain), full_html=False, include_plotlyjs=False, div_id=metric
        )
        for metric, title in CHARTS
    ]
    steps = steps_of(metrics)
    found = shown.verdicts
    verdicts = sorted(found.verdicts, key=lambda verdict: verdict.name not in in_domain) if found else []
    html = template.render(
        findings=findings_html(read_findings(shown.run)),
        plotly=get_plotlyjs(),
        charts=charts,
        opening=base_opening(metrics, shown.manifest),
        manifest=shown.manifest,
        in_domain=in_domain,
        verdicts=verdicts,
        cautions=found.cautions if found else (),
        words=WORDS,
        words_of=words_of,
        failures=shown.failures,
        remarks=remarks_of(metrics, shown.manifest),
        steps=steps,
        tasks=list(metrics),
        metrics=metrics,
        tables=CHARTS,
        cell=cell,
        documents=shown.documents,
        short=short,
        named=named,
    )
    path = path or shown.run.path / "report.html"
    write_atomic(path, html)
    return path
