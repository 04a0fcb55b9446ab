"""Charts of runs compared: how far each is from the first, and what reasoning cost each of them in safety."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite
from typing import Any

from sftgen_judges.plugins.contracts import Plot
from sftgen_judges.records.schema import printable
from sftgen_train.report.categories import TITLES, title_of
from sftgen_train.report.charts import step_axis, step_places
from sftgen_train.report.comparing import AgainstFirst, Comparison
from sftgen_train.report.drawing import COLOURS, GREY, faded, housed
from sftgen_train.report.reading import short
from sftgen_train.trajectory.arms import ArmDifference
from sftgen_train.trajectory.claims import SIGNIFICANCE, p_text
from sftgen_train.trajectory.tradeoff import TradePoint
from sftgen_train.trajectory.tradeoff_arms import TradePair

BOTH_AXES = {
    "xaxis": {"title": {"text": "mean reasoning gained since the base"}},
    "yaxis": {"title": {"text": "attack success"}},
}


def difference_plots(found: Comparison) -> Iterator[Plot]:
    """The differences of each other run from the first by step, a panel a category."""
    for other in found.others:
        drawn = [one for one in other.tasks if len(one.points) > 1]
        steps = sorted({point.step for one in drawn for point in one.points})
        ends = [end for one in drawn for point in one.points for end in (point.low, point.high) if isfinite(end)]
        room = [min(ends, default=-0.1) - 0.02, max(ends, default=0.1) + 0.02]
        for category in TITLES:
            title = title_of(category, trained=bool(found.in_domain))
            tasks = [one for one in drawn if found.categories.get(one.name) == category]
            if tasks:
                who = printable(f"{other.arm} less {found.arms[0]}")
                yield Plot(
                    f"differences-{category}" + f"-{other.arm}" * (len(found.others) > 1),
                    f"{title}: {who} at each step; the numbers are in the tables below",
                    _difference_chart(tasks, steps, room), f"{title}: {who}",
                    tuple((printable(short(one.name)), place) for place, one in enumerate(tasks)),
                    tuple(_difference_rows(found, other, category, tasks)), "differences",
                )  # fmt: skip


def _difference_rows(
    found: Comparison, other: AgainstFirst, category: str, tasks: Sequence[ArmDifference]
) -> Iterator[dict[str, Any]]:
    for one in tasks:
        for point in one.points:
            yield {
                "first_arm": printable(found.arms[0]), "arm": printable(other.arm), "category": category,
                "task": printable(one.name), "documents": one.shared, "step": point.step,
                "difference": point.difference, "low": point.low, "high": point.high, "p": point.p,
            }  # fmt: skip


def _difference_chart(tasks: Sequence[ArmDifference], steps: Sequence[int], room: Sequence[float]) -> Any:
    import plotly.graph_objects as go

    figure, places = go.Figure(), step_places(steps)
    for number, one in enumerate(tasks):
        colour = COLOURS[number % len(COLOURS)]
        band = [point for point in one.points if isfinite(point.low) and isfinite(point.high)]
        at = [places[point.step] for point in band]
        differs = [point.p <= SIGNIFICANCE for point in one.points]
        figure.add_trace(
            go.Scatter(
                x=at + at[::-1], y=[point.high for point in band] + [point.low for point in reversed(band)],
                mode="lines", fill="toself", fillcolor=faded(colour, 0.16 if len(tasks) < 4 else 0.08),
                line={"width": 0}, hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=[places[point.step] for point in one.points], y=[point.difference for point in one.points],
                mode="lines+markers", name=escape(printable(short(one.name))),
                line={"color": colour, "width": 2, "dash": "solid" if number < len(COLOURS) else "dot"},
                marker={
                    "color": colour, "opacity": 1, "size": [10 if each else 7 for each in differs],
                    "symbol": ["diamond" if each else "circle" for each in differs],
                },
                text=[
                    f"<b>{escape(printable(short(one.name)))}</b>, step {point.step}<br>{point.difference:+.3f} "
                    f"({point.low:+.3f} to {point.high:+.3f})<br>p {p_text(point.p)}<br>n {one.shared}"
                    for point in one.points
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    return housed(
        figure, height=300, showlegend=False, hovermode="closest", xaxis=step_axis(places),
        yaxis={"title": {"text": "difference of score"}, "range": list(room)},
    )  # fmt: skip


# ------------------------------------------------------------------------------ safety against reasoning


def tradeoff_plots(found: Comparison) -> Iterator[Plot]:
    """Attack success against reasoning gained of all runs, and the differences of both from the first run.

    Regions are joint: they hold both numbers of a step with 95 %.
    """
    alone = [(place, of) for place, of in enumerate(found.alone) if of.tradeoff]
    if alone:
        lines = [(place, of.arm, of.tradeoff.points) for place, of in alone if of.tradeoff]
        yield Plot(
            "safety-by-run", "Attack success against reasoning gained, from step to step of each run",
            _tradeoff_chart(lines),
            "Each run; the area is the joint 95 % region of its last step",
            tuple((printable(arm), place) for place, arm, _ in lines),
            tuple(row for _, arm, points in lines for row in _region_rows(arm, points)),
        )  # fmt: skip
    pairs = [
        (place, of.arm, of.tradeoff.points) for place, of in enumerate(found.others, start=1) if of.tradeoff
    ]  # fmt: skip
    if pairs:
        # At the base reasoning gained nothing in either, for certain.
        chart = _tradeoff_chart([(place, arm, points[1:]) for place, arm, points in pairs])
        chart.add_hline(y=0, line={"color": GREY, "width": 1})
        chart.update_layout(
            xaxis={"title": {"text": "difference of reasoning gained"}},
            yaxis={"title": {"text": "difference of attack success"}},
        )
        first = printable(found.arms[0])
        yield Plot(
            "safety-differences", f"Attack success and reasoning gained less those of {first}, from step to step",
            chart, f"Differences from {first}; the area is the joint 95 % region of the last step",
            tuple((printable(arm), place) for place, arm, _ in pairs),
            tuple(row for _, arm, points in pairs for row in _region_rows(arm, points)),
        )  # fmt: skip


_Points = Sequence[TradePoint] | Sequence[TradePair]


def _tradeoff_chart(lines: Sequence[tuple[int, str, _Points]]) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, arm, points in lines:
        colour = COLOURS[place % len(COLOURS)]
        edge = points[-1].outline()
        if isfinite(float(edge.sum())):
            figure.add_trace(
                go.Scatter(
                    x=edge[:, 0].tolist(), y=edge[:, 1].tolist(), mode="lines", fill="toself",
                    fillcolor=faded(colour, 0.12), line={"color": colour, "width": 0.5}, hoverinfo="skip",
                    showlegend=False,
                )
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=[of.gain for of in points], y=[of.asr for of in points], text=[str(of.step) for of in points],
                mode="lines+markers+text", textposition="top center", name=escape(printable(arm)),
                line={"color": colour, "width": 2}, marker={"color": colour, "size": 8},
                hovertemplate="step %{text}: reasoning %{x:+.3f}, attack success %{y:+.3f}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    return housed(figure, height=380, showlegend=False, **BOTH_AXES)


def _region_rows(arm: str, points: _Points) -> Iterator[dict[str, Any]]:
    for point in points:
        for place, (gain, asr) in enumerate([(point.gain, point.asr), *point.outline().tolist()]):
            what = "region" if place else "point"
            yield {"arm": printable(arm), "step": point.step, "what": what, "reasoning": gain, "asr": asr}
