"""Charts of what stands behind verdicts: a task's curve with its band, its parts, the cost of reasoning in safety."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from sftgen_train.report.composition import PARTS, TaskChange
from sftgen_train.report.drawing import BLUE, GREY, INK, ORANGE, PINK, faded, housed
from sftgen_train.trajectory import Verdict
from sftgen_train.trajectory.tradeoff import Tradeoff

_ROOM = 12
"""So many ticks stand beside each other on an axis."""
BAND, REGION = faded(BLUE, 0.18), faded(BLUE, 0.08)


def change_chart(verdict: Verdict) -> Any:
    """The change from the base at each step with the band that holds for all steps at once; without a base the means.

    A step that dips is orange, one that was measured on fewer documents than another is open. The dashed line is the
    loss that does not matter; its label stands above the plot.
    """
    import plotly.graph_objects as go

    points = [point for point in verdict.points if isfinite(point.mean)]
    steps = [str(point.step) for point in points]
    changes = verdict.base is not None
    middle = [point.change if changes else point.mean for point in points]
    ends = [(point.change_low, point.change_high) if changes else (point.low, point.high) for point in points]
    fullest = max((point.documents for point in points), default=0)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[*steps, *reversed(steps)],
            y=[high for _, high in ends] + [low for low, _ in reversed(ends)],
            mode="lines", fill="toself", fillcolor=BAND, line={"width": 0}, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=steps, y=middle, mode="lines+markers", line={"color": BLUE, "width": 2}, showlegend=False,
            name="change" if changes else "mean",
            marker={
                "size": 9,
                "color": [ORANGE if point.step in verdict.dips else BLUE for point in points],
                "symbol": ["circle" if point.documents >= fullest else "circle-open" for point in points],
            },
            text=[_point_text(point, low, high) for point, (low, high) in zip(points, ends, strict=True)],
            hovertemplate="step %{x}: %{y:.3f}<br>%{text}<extra></extra>",
        )
    )  # fmt: skip
    if changes:
        figure.add_hline(y=0, line={"color": GREY, "width": 1})
        figure.add_hline(
            y=-verdict.delta, line={"color": GREY, "width": 1, "dash": "dash"},
            name=f"-delta, {verdict.delta:g} below the base", showlegend=True,  # above the plot it hides no line
        )  # fmt: skip
        figure.update_layout(showlegend=True)
    return _laid_out(figure, steps, "change from the base" if changes else "score")


def _point_text(point: Any, low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}<br>{point.documents} documents"


def parts_chart(changes: Sequence[TaskChange]) -> Any:
    """What the change from the base to each step is made of, as stacked bars; the dots are the change, their sum."""
    import plotly.graph_objects as go

    steps = [str(change.after) for change in changes]
    figure = go.Figure()
    for (field, name), colour in zip(PARTS, (ORANGE, BLUE, PINK), strict=True):
        factors = [getattr(change.parts, field) for change in changes]
        figure.add_trace(
            go.Bar(
                x=steps, y=[factor.change for factor in factors], name=name, marker={"color": colour},
                text=[f"{factor.low:+.3f} to {factor.high:+.3f}" for factor in factors], textposition="none",
                hovertemplate="step %{x}: %{y:+.3f} (%{text})<extra>" + name + "</extra>",
            )
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=steps, y=[change.parts.change for change in changes], mode="markers", name="change",
            marker={"color": INK, "size": 8, "symbol": "diamond"},
            hovertemplate="step %{x}: %{y:+.3f}<extra>change</extra>",
        )
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_layout(barmode="relative")
    return _laid_out(figure, steps, "change from the base")


def tradeoff_chart(found: Tradeoff) -> Any:
    """Attack success against reasoning gained, from step to step, with the joint 95 % region of each step."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for point in found.points:
        edge = point.outline()
        # At the base nothing was gained, for certain: a line, not an area. Of two documents there is no region.
        if isfinite(float(edge.sum())):
            figure.add_trace(
                go.Scatter(
                    x=edge[:, 0].tolist(), y=edge[:, 1].tolist(), mode="lines", fill="toself", fillcolor=REGION,
                    line={"color": BLUE, "width": 0.5}, hoverinfo="skip", showlegend=False, name=f"step {point.step}",
                )
            )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[point.gain for point in found.points], y=[point.asr for point in found.points],
            text=[str(point.step) for point in found.points], mode="lines+markers+text", textposition="top center",
            line={"color": BLUE, "width": 2}, marker={"size": 8}, showlegend=False, name="steps",
            hovertemplate="step %{text}: reasoning %{x:+.3f}, attack success %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    return housed(
        figure, height=420, showlegend=False,
        xaxis={"title": {"text": "mean reasoning gained since the base"}},
        yaxis={"title": {"text": "attack success"}, "rangemode": "tozero"},
    )  # fmt: skip


def _laid_out(figure: Any, steps: Sequence[str], axis: str) -> Any:
    every = 1 + len(steps) // _ROOM
    return housed(
        figure, height=300,
        xaxis={
            "title": {"text": "training step"}, "type": "category", "categoryorder": "array",
            "categoryarray": list(steps), "tickvals": list(steps[::-every][::-1]), "tickangle": 0,
        },
        yaxis={"title": {"text": axis}},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
