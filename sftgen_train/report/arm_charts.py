"""Runs compared: curves side by side, differences with their bands, safety against reasoning, and every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sftgen_judges.plugins.contracts import Block, Group, Paragraph, Plot
from sftgen_judges.records.schema import printable
from sftgen_train.report.charts import step_axis, step_places
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.comparison_tables import records_of, remarks_of, sections
from sftgen_train.report.difference_charts import difference_plots, tradeoff_plots
from sftgen_train.report.drawing import COLOURS, housed
from sftgen_train.report.reading import short
from sftgen_train.trajectory.arms import ArmDifference
from sftgen_train.trajectory.claims import SIGNIFICANCE, p_text


def comparison_blocks(found: Comparison) -> Iterator[Block]:
    """A comparison as blocks of a report: what a reader has to know first, charts, tables."""
    labels = tuple(map(printable, found.arms))
    if len(labels) > 1:
        about = "the first is what the others are compared with, on the documents that they share."
        yield Paragraph(f"{', '.join(labels)}: {about}", "note")
    yield from (Paragraph(line, "note") for line in found.cautions)
    curves = tuple(_curves(found, labels))
    if curves:
        yield Group(curves, "Scores", beside=True)
        yield Paragraph(
            "Scores on shared documents; ◆ differs from the first run at that step, over all steps at once.", "note"
        )
    if differences := tuple(difference_plots(found)):
        yield Group(differences, "Differences", beside=True)
        yield Paragraph(
            "The run less the first. A band holds at 95 % for all steps of its task at once; ◆ differs from the first "
            "at that step, over all steps at once.",
            "note",
        )
    if costs := tuple(tradeoff_plots(found)):
        yield Group(costs, "Safety against reasoning", beside=True)
    yield from (of.as_block() for of in sections(found))
    yield from (Paragraph(line, "note") for line in remarks_of(found))


def _curves(found: Comparison, labels: Sequence[str]) -> Iterator[Plot]:
    # Every number of the comparison is in one file, with the first chart.
    rows = tuple(records_of(found))
    for task, lines in tasks_of(found):
        keys = tuple((labels[place], place) for place in (0, *lines))
        chart = arms_chart(labels, lines)
        yield Plot(f"comparison-{short(task)}", f"{short(task)} by run", chart, short(task), keys, rows, "comparison")
        rows = ()


def tasks_of(found: Comparison) -> Iterator[tuple[str, dict[int, ArmDifference]]]:
    """Each task of several steps with the differences of the arms from the first, by the arm's place."""
    names = dict.fromkeys(one.name for other in found.others for one in other.tasks)
    for name in names:
        lines = {
            place: one
            for place, other in enumerate(found.others, start=1)
            for one in other.tasks
            if one.name == name and len(one.points) > 1
        }
        if lines:
            yield name, lines


def arms_chart(labels: Sequence[str], lines: Mapping[int, ArmDifference]) -> Any:
    """The scores of a task in each run.

    Args:
        labels: The runs.
        lines: The difference of each other run from the first, by its place among them.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    places = step_places(sorted({point.step for one in lines.values() for point in one.points}))
    first = next(iter(lines.values()))
    drawn = [(0, first.points, [point.first for point in first.points])]
    drawn += [(place, one.points, [point.second for point in one.points]) for place, one in lines.items()]
    for place, points, scores in drawn:
        colour = COLOURS[place % len(COLOURS)]
        differs = [place > 0 and point.p <= SIGNIFICANCE for point in points]
        figure.add_trace(
            go.Scatter(
                x=[places[point.step] for point in points], y=scores, mode="lines+markers", name=escape(labels[place]),
                line={"color": colour, "width": 2 if place else 4},
                marker={
                    "color": colour, "opacity": 1, "size": [10 if each else 7 for each in differs],
                    "symbol": ["diamond" if each else "circle" for each in differs],
                },
                text=[_told(labels[place], *each, other=place > 0) for each in zip(points, scores, strict=True)],
                hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    heights = [score for _, _, scores in drawn for score in scores]
    low, high = min(heights), max(heights)
    # Of a flat line Plotly would show twice its height.
    axis = {"range": [min(low, 0) - 0.05, max(high, 1) + 0.05]} if low == high else {}
    score = {"title": {"text": "score"}, **axis}
    return housed(figure, height=300, showlegend=False, xaxis=step_axis(places), yaxis=score)


def _told(label: str, point: Any, score: float, *, other: bool) -> str:
    lines = [f"<b>{escape(label)}</b>, step {point.step}", f"score {score:.3f}"]
    if other:
        ends = f"{point.low:+.3f} to {point.high:+.3f}"
        lines += [f"{point.difference:+.3f} from the first ({ends}), p {p_text(point.p)}"]
    return "<br>".join(lines)
