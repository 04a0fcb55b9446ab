"""Runs compared, as a section of a report: curves side by side, then the tables of the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

from sftgen_judges.records.schema import printable
from sftgen_train.report.charts import step_axis, step_places
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.comparison_tables import remarks_of, sections
from sftgen_train.report.drawing import COLOURS, housed, placed
from sftgen_train.report.reading import short
from sftgen_train.report.sections import Section
from sftgen_train.trajectory.arms import ArmDifference
from sftgen_train.trajectory.claims import SIGNIFICANCE, p_text


@dataclass(frozen=True)
class ArmsShown:
    """The section.

    Attributes:
        labels: The runs.
        cautions: What a reader has to know first.
        charts: A title, the keys of the lines, and the chart, for each task.
        sections: The tables.
        remarks: What a reader should know after them.
    """

    labels: tuple[str, ...]
    cautions: tuple[str, ...]
    charts: tuple[tuple[str, list[tuple[str, str]], Markup], ...]
    sections: Sequence[Section]
    remarks: Sequence[str]

    @classmethod
    def of(cls, found: Comparison) -> ArmsShown:
        """Draw a comparison."""
        labels = tuple(map(printable, found.arms))
        charts = tuple(
            (
                short(task),
                _keys(labels, lines),
                placed(arms_chart(labels, lines), f"arms-{place}", f"{short(task)} by run"),
            )
            for place, (task, lines) in enumerate(tasks_of(found))
        )
        return cls(labels, found.cautions, charts, sections(found), remarks_of(found))


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


def _keys(labels: Sequence[str], lines: Mapping[int, ArmDifference]) -> list[tuple[str, str]]:
    return [(f"c{place % len(COLOURS)}", labels[place]) for place in (0, *lines)]


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
    return housed(figure, height=300, showlegend=False, xaxis=step_axis(places), yaxis={"title": {"text": "score"}})


def _told(label: str, point: Any, score: float, *, other: bool) -> str:
    lines = [f"<b>{escape(label)}</b>, step {point.step}", f"score {score:.3f}"]
    if other:
        ends = f"{point.low:+.3f} to {point.high:+.3f}"
        lines += [f"{point.difference:+.3f} from the first ({ends}), p {p_text(point.p)}"]
    return "<br>".join(lines)
