"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sftgen_judges.records.journal import write_atomic
from sftgen_train.report.arm_charts import ArmsShown
from sftgen_train.report.cells import landmark_span, landmark_value
from sftgen_train.report.charts import Panel, keys_of, panel_chart, panels_of, steps_shown
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.distance import base_opening, distance_section
from sftgen_train.report.drawing import colour_rules, dark_json, library, placed, static
from sftgen_train.report.explaining import Explained, TaskWhy
from sftgen_train.report.findings import findings_html, read_findings
from sftgen_train.report.numbers import number_sections, provenance_sections
from sftgen_train.report.opening import open_with
from sftgen_train.report.reading import Shown, short, steps_of
from sftgen_train.report.remarks import remarks_of
from sftgen_train.report.sections import Section, with_rows
from sftgen_train.report.verdict_tables import words_of
from sftgen_train.report.why_charts import change_chart, parts_chart, tradeoff_chart
from sftgen_train.report.why_tables import parts_sections, price_sentence, stage_rows, tradeoff_sections
from sftgen_train.trajectory import WORDS, Verdict
from sftgen_train.trajectory.landmarks import MEANINGS
from sftgen_train.trajectory.words import REGIMES

TRADEOFF = "Attack success against reasoning gained, from step to step"


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
    change: Markup
    parts: Markup


def write_report(shown: Shown, path: Path | None = None, compared: Comparison | None = None) -> Path:
    """Write the report.

    Args:
        shown: What the run holds.
        path: Where to, `report.html` in the run directory by default.
        compared: The run compared with others.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        autoescape=select_autoescape(default=True), loader=PackageLoader("sftgen_train.report", "")
    )
    metrics, in_domain, found = shown.metrics, shown.in_domain, shown.explained
    panels = panels_of(shown)
    facts: dict[str, Any] = {
        "far_base": base_opening(metrics, shown.manifest),
        "opening": open_with(shown),
        "panels": _panels(panels),
        "blocks": _blocks(found, in_domain) if found else (),
        "cautions": found.verdicts.cautions if found else (),
        "remarks": remarks_of(metrics, shown.manifest),
        "failures": shown.failures,
        "arms": ArmsShown.of(compared) if compared else None,
        "tradeoff": placed(tradeoff_chart(found.tradeoff), "tradeoff", TRADEOFF) if found and found.tradeoff else "",
        "price": price_sentence(found.tradeoff) if found and found.tradeoff else "",
        "no_tradeoff": found.no_tradeoff if found else "",
        "findings": Markup(findings_html(read_findings(shown.run))),
        "distance": distance_section(metrics, shown.manifest),
        "tables": number_sections(shown),
        "sections": _numbers(found) if found else (),
        "provenance": provenance_sections(shown.manifest),
    }
    html = environment.get_template("report.html.j2").render(
        **facts,
        contents=_contents(facts),
        library=library(),
        style=static("report.css"),
        script=static("report.js"),
        colour_rules=colour_rules(),
        dark_colours=dark_json(),
        manifest=shown.manifest,
        in_domain=in_domain,
        words=WORDS,
        regimes=REGIMES,
        meanings=MEANINGS,
        words_of=words_of,
        keys_of=keys_of,
        landmark_value=landmark_value,
        landmark_span=landmark_span,
        stage_rows=stage_rows,
        steps=steps_of(metrics),
        tasks=list(metrics),
        short=short,
    )
    path = path or shown.run.path / "report.html"
    write_atomic(path, html)
    return path


def _contents(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The sections that are there, by their place on the page."""
    yield "verdict", "Verdict"
    yield "readings-title", "What recovered"
    for fact, anchor, name in (
        ("blocks", "tasks", "Task by task"),
        ("arms", "arms", "Runs compared"),
        ("findings", "findings", "Findings"),
        ("tradeoff", "safety-against-reasoning", "Safety"),
        ("distance", "distance", "Distance to the paper"),
    ):
        if facts[fact]:
            yield anchor, name
    yield "numbers", "Numbers"
    yield "provenance", "How it was run"


def _panels(panels: Sequence[Panel]) -> list[tuple[Panel, Markup]]:
    steps = steps_shown(panels)
    return [
        (
            panel,
            placed(
                panel_chart(panel, panels, steps), panel.category,
                f"{panel.title}: score and response length against training step; the numbers are in the tables below",
            ),
        )
        for panel in panels
    ]  # fmt: skip


def _blocks(found: Explained, in_domain: set[str]) -> Sequence[Block]:
    ordered = sorted(found.verdicts.verdicts, key=lambda verdict: verdict.name not in in_domain)
    return [_block(f"task-{place}", verdict, found.by_task.get(verdict.name)) for place, verdict in enumerate(ordered)]


def _numbers(found: Explained) -> Sequence[Section]:
    """Tables behind the charts of all tasks: of every step, where the terminal has those that matter."""
    changes = [change for why in found.tasks for change in why.changes]
    safety = [each for why in found.tasks for each in why.safety]
    return with_rows([*parts_sections(changes, safety), *tradeoff_sections(found.tradeoff)])


def _block(anchor: str, verdict: Verdict, why: TaskWhy | None) -> Block:
    name, change, parts = short(verdict.name), Markup(), Markup()
    if len(verdict.points) > 1:
        change = placed(change_chart(verdict), f"{anchor}-change", f"Change of {name} from the base by step")
    if why and why.changes:
        parts = placed(parts_chart(why.changes), f"{anchor}-parts", f"What the changes of {name} are made of")
    return Block(anchor, verdict, why, change, parts)
