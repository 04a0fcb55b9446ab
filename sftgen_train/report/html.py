"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import write_atomic
from sftgen_train.report.cells import landmark_span, landmark_value
from sftgen_train.report.charts import chart
from sftgen_train.report.distance import base_opening
from sftgen_train.report.explaining import Explained, TaskWhy
from sftgen_train.report.findings import findings_html, read_findings
from sftgen_train.report.reading import CHARTS, Shown, cell, named, short, steps_of
from sftgen_train.report.remarks import remarks_of
from sftgen_train.report.sections import Section, with_rows
from sftgen_train.report.verdict_tables import words_of
from sftgen_train.report.why_charts import change_chart, parts_chart, tradeoff_chart
from sftgen_train.report.why_tables import parts_sections, price_sentence, stage_rows, tradeoff_sections
from sftgen_train.trajectory import WORDS, Verdict
from sftgen_train.trajectory.landmarks import MEANINGS
from sftgen_train.trajectory.words import REGIMES


@dataclass(frozen=True)
class Block:
    """One task or group on the page.

    Attributes:
        anchor: Its place on the page.
        verdict: What became of it.
        why: What stands behind; None of a group.
        change: The chart of its change.
        parts: The chart of what its changes are made of; empty where nothing is split.
    """

    anchor: str
    verdict: Verdict
    why: TaskWhy | None
    change: str
    parts: str


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
    from jinja2 import DictLoader, Environment, select_autoescape
    from plotly.offline import get_plotlyjs

    metrics, in_domain = shown.metrics, shown.in_domain
    folder = resources.files("sftgen_train.report")
    names = ("report.html.j2", "why.html.j2")
    templates = DictLoader({name: folder.joinpath(name).read_text() for name in names})
    environment = Environment(autoescape=select_autoescape(default=True), loader=templates)
    charts = [(metric, title, _drawn(chart(metrics, metric, title, in_domain), metric)) for metric, title in CHARTS]
    found = shown.explained
    html = environment.get_template("report.html.j2").render(
        findings=findings_html(read_findings(shown.run)),
        plotly=get_plotlyjs(),
        charts=charts,
        opening=base_opening(metrics, shown.manifest),
        manifest=shown.manifest,
        in_domain=in_domain,
        blocks=_blocks(found, in_domain) if found else (),
        cautions=found.verdicts.cautions if found else (),
        words=WORDS,
        regimes=REGIMES,
        meanings=MEANINGS,
        words_of=words_of,
        tradeoff=_drawn(tradeoff_chart(found.tradeoff), "tradeoff") if found and found.tradeoff else "",
        price=price_sentence(found.tradeoff) if found and found.tradeoff else "",
        no_tradeoff=found.no_tradeoff if found else "",
        sections=_numbers(found) if found else (),
        landmark_value=landmark_value,
        landmark_span=landmark_span,
        stage_rows=stage_rows,
        failures=shown.failures,
        remarks=remarks_of(metrics, shown.manifest),
        steps=steps_of(metrics),
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


def _blocks(found: Explained, in_domain: set[str]) -> Sequence[Block]:
    ordered = sorted(found.verdicts.verdicts, key=lambda verdict: verdict.name not in in_domain)
    return [_block(f"task-{place}", verdict, found.by_task.get(verdict.name)) for place, verdict in enumerate(ordered)]


def _numbers(found: Explained) -> Sequence[Section]:
    """Tables behind the charts of all tasks: of every step, where the terminal has those that matter."""
    changes = [change for why in found.tasks for change in why.changes]
    safety = [each for why in found.tasks for each in why.safety]
    return with_rows([*parts_sections(changes, safety), *tradeoff_sections(found.tradeoff)])


def _block(anchor: str, verdict: Verdict, why: TaskWhy | None) -> Block:
    change = _drawn(change_chart(verdict), f"{anchor}-change") if len(verdict.points) > 1 else ""
    parts = _drawn(parts_chart(why.changes), f"{anchor}-parts") if why and why.changes else ""
    return Block(anchor, verdict, why, change, parts)


def _drawn(figure: Any, name: str) -> str:
    import plotly.io as plotly_io

    settings = {"responsive": True, "displayModeBar": False}
    return str(
        plotly_io.to_html(figure, full_html=False, include_plotlyjs=False, div_id=f"chart-{name}", config=settings)
    )
