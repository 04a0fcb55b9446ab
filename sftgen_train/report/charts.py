"""Score and length of a run against the training step: a panel a category, on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite, log2
from typing import Any

from sftgen_judges.records.schema import printable
from sftgen_train.report.categories import TITLES, title_of
from sftgen_train.report.drawing import COLOURS, faded, housed
from sftgen_train.report.reading import Metrics, Shown, named, short
from sftgen_train.trajectory import Verdict
from sftgen_train.trajectory.claims import p_text
from sftgen_train.trajectory.loading import OUTSIDE

Rows = Mapping[str, Mapping[int | None, Mapping[str, Any]]]
"""Metric -> step -> row of a task."""
Places = Mapping[int | None, float]
"""Where each step stands on the axis."""
_ROOM = 14
"""So many ticks stand beside each other on an axis."""


@dataclass(frozen=True)
class Point:
    """One step of a line.

    Attributes:
        step: The step; None outside training.
        mean: The mean.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        documents: Documents that have a value there.
        about: What else is told of it, a line each.
        dips: Whether the step is shown to be below the base.
    """

    step: int | None
    mean: float
    low: float
    high: float
    documents: int
    about: tuple[str, ...] = ()
    dips: bool = False


@dataclass(frozen=True)
class Line:
    """One task of a panel.

    Attributes:
        task: The task.
        score: Its score, by step.
        tokens: Its mean response length, by step.
        base: The score that the others are compared with; None without one.
        delta: The loss that does not matter.
        back: Whether the task dips and its end is shown to be back, or above.
    """

    task: str
    score: tuple[Point, ...]
    tokens: tuple[Point, ...]
    base: float | None = None
    delta: float = 0.0
    back: bool = False


@dataclass(frozen=True)
class Panel:
    """The tasks of one category.

    Attributes:
        category: A key of `TITLES`.
        title: Above the panel.
        lines: The tasks.
    """

    category: str
    title: str
    lines: tuple[Line, ...]


def panels_of(shown: Shown) -> list[Panel]:
    """A panel for each category that has a task with a score."""
    verdicts = {of.name: of for of in shown.explained.verdicts.tasks} if shown.explained else {}
    lines: dict[str, list[Line]] = {name: [] for name in TITLES}
    for task in shown.metrics:
        line = _line(task, shown.metrics, verdicts.get(task))
        if line.score:
            lines[shown.category(task)].append(line)
    trained = bool(shown.in_domain)
    return [Panel(name, title_of(name, trained=trained), tuple(found)) for name, found in lines.items() if found]


def panel_chart(panel: Panel, panels: Sequence[Panel], steps: Sequence[int | None]) -> Any:
    """Score above length; axes are those of all panels, so that they compare."""
    import plotly.graph_objects as go

    places = step_places(steps)
    lines = [line for each in panels for line in each.lines]
    lengths = any(line.tokens for line in lines)
    figure = go.Figure()
    for number, line in enumerate(panel.lines):
        pen = _Pen.of(number, len(panel.lines))
        for trace in (*_score_traces(line, places, pen), *_token_traces(line, places, pen)):
            figure.add_trace(go.Scatter(**trace))
    figure.update_layout(
        xaxis={**step_axis(places), "anchor": "y2" if lengths else "y"},
        yaxis={"title": {"text": "score"}, "domain": [0.38 if lengths else 0.0, 1.0], "range": _score_range(lines)},
    )  # fmt: skip
    if lengths:
        figure.update_layout(
            yaxis2={"title": {"text": "tokens"}, "domain": [0.0, 0.3], "range": _token_range(lines), "nticks": 4}
        )
    return housed(figure, height=400 if lengths else 280, showlegend=False, hovermode="closest")


def step_places(steps: Iterable[int | None]) -> dict[int | None, float]:
    """Where each step stands on the axis: steps that double stand equally far apart, the base one doubling before."""
    known = list(dict.fromkeys(steps))
    first = min((log2(step) for step in known if step and step > 0), default=0.0)
    return {step: log2(step) if step and step > 0 else first - 1 for step in known}


def step_axis(places: Places) -> dict[str, Any]:
    """An axis of steps by their places: those have names that have room for one, first and last among them."""
    room = (max(places.values()) - min(places.values())) / _ROOM if places else 0.0
    kept: list[int | None] = []
    for step in sorted(places, key=lambda step: -places[step]):
        if not kept or places[kept[-1]] - places[step] >= room:
            kept.append(step)
    return {
        "title": {"text": "training step", "standoff": 6}, "tickvals": [places[step] for step in kept],
        "ticktext": [named(step) for step in kept], "range": _padded(list(places.values())), "tickangle": 0,
    }  # fmt: skip


def _line(task: str, metrics: Metrics, verdict: Verdict | None) -> Line:
    rows = metrics[task]
    tokens = tuple(_points(rows.get("response_tokens", {})))
    points = [of for of in verdict.points if isfinite(of.mean)] if verdict else []
    if verdict is None or not points:
        return Line(task, tuple(_points(rows.get("score", {}), rows)), tokens)
    score = tuple(
        Point(
            None if of.step == OUTSIDE else of.step, of.mean, of.low, of.high, of.documents,
            (*_quality(rows, None if of.step == OUTSIDE else of.step), *_p(of, verdict)), of.step in verdict.dips,
        )
        for of in points
    )  # fmt: skip
    base = next((of.mean for of in points if of.step == verdict.base), None)
    back = bool(verdict.dips) and not verdict.so_far and verdict.end in {"recovered", "above base"}
    return Line(task, score, tokens, base, verdict.delta, back)


def _points(found: Mapping[int | None, Mapping[str, Any]], rows: Rows | None = None) -> Iterator[Point]:
    for step in sorted(found, key=lambda step: -1 if step is None else step):
        row = found[step]
        ends = [row.get(end) for end in ("low", "high")]
        low, high = (float("nan") if end is None else float(end) for end in ends)
        about = tuple(_quality(rows, step)) if rows else ()
        yield Point(step, float(row["mean"]), low, high, int(row.get("docs") or 0), about)


def _quality(rows: Rows, step: int | None) -> Iterator[str]:
    told = [(name, rows.get(name, {}).get(step)) for name in ("coverage", "truncated")]
    shares = [f"{name} {row['mean']:.0%}" for name, row in told if row]
    if shares:
        yield ", ".join(shares)


def _p(of: Any, verdict: Verdict) -> Iterator[str]:
    if of.step != verdict.base and isfinite(of.p_step_down) and not verdict.so_far:
        yield f"change {of.change:+.3f}, p of a fall {p_text(of.p_step_down)}"


@dataclass(frozen=True)
class _Pen:
    """How the lines of a task are drawn."""

    colour: str
    dash: str
    band: str

    @classmethod
    def of(cls, number: int, among: int) -> _Pen:
        colour = COLOURS[number % len(COLOURS)]
        # Bands of many tasks hide each other.
        band = faded(colour, 0.16 if among < 4 else 0.08)
        return cls(colour, "solid" if number < len(COLOURS) else "dot", band)


def _score_traces(line: Line, places: Places, pen: _Pen) -> list[dict[str, Any]]:
    fullest = max(of.documents for of in line.score)
    marks = [_mark(line, of) for of in line.score]
    shapes = [shape + "-open" * (of.documents < fullest) for shape, of in zip(marks, line.score, strict=True)]
    sizes = [7 if shape == "circle" else 11 for shape in marks]
    ends = [min(places.values()), max(places.values())]
    # The base as a line, and below it the loss that does not matter.
    bases = [] if line.base is None else [(line.base, "dot", "base"), (line.base - line.delta, "dash", "base - delta")]
    return [
        *(
            {
                "x": ends, "y": [height, height], "mode": "lines", "name": name, "hoverinfo": "skip",
                "showlegend": False, "line": {"color": faded(pen.colour, 0.55), "width": 1, "dash": dash},
            }
            for height, dash, name in bases
        ),
        *_traces(line.task, line.score, places, pen, what="score", marker={"size": sizes, "symbol": shapes}),
    ]  # fmt: skip


def _token_traces(line: Line, places: Places, pen: _Pen) -> list[dict[str, Any]]:
    traces = _traces(line.task, line.tokens, places, pen, what="tokens", marker={"size": 5}) if line.tokens else []
    return [{**trace, "yaxis": "y2", "showlegend": False} for trace in traces]


def _traces(
    task: str, points: Sequence[Point], places: Places, pen: _Pen, *, what: str, marker: dict[str, Any]
) -> list[dict[str, Any]]:
    sure = [of for of in points if isfinite(of.low) and isfinite(of.high)]
    at = [places[of.step] for of in sure]
    band = {
        "x": at + at[::-1], "y": [of.high for of in sure] + [of.low for of in reversed(sure)], "mode": "lines",
        "fill": "toself", "fillcolor": pen.band, "line": {"width": 0, "color": pen.colour}, "hoverinfo": "skip",
        "name": "band", "showlegend": False,
    }  # fmt: skip
    means = {
        "x": [places[of.step] for of in points], "y": [of.mean for of in points], "mode": "lines+markers",
        "name": escape(printable(short(task))), "line": {"color": pen.colour, "width": 2, "dash": pen.dash},
        "marker": {"color": pen.colour, "opacity": 1, "line": {"width": 1.5, "color": pen.colour}, **marker},
        "text": [_told(task, of, what) for of in points], "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    if len(points) == 1 and sure:  # a band of one point would be seen by nobody
        [of] = points
        ends = {"array": [of.high - of.mean], "arrayminus": [of.mean - of.low]}
        return [means | {"error_y": {**ends, "symmetric": False, "color": pen.colour, "thickness": 1.5, "width": 4}}]
    return [band, means]


def _mark(line: Line, of: Point) -> str:
    if of.dips:
        return "triangle-down"
    return "diamond" if line.back and of is line.score[-1] else "circle"


def _told(task: str, of: Point, what: str) -> str:
    digits = 3 if what == "score" else 0
    ends = f" ({of.low:.{digits}f} to {of.high:.{digits}f})" if isfinite(of.low) and isfinite(of.high) else ""
    head = f"<b>{escape(printable(short(task)))}</b>" + ("" if of.step is None else f", step {of.step}")
    return "<br>".join([head, f"{what} {of.mean:.{digits}f}{ends}", f"n {of.documents}", *of.about])


def _padded(values: Sequence[float]) -> list[float]:
    if not values:
        return [0.0, 1.0]
    room = (max(values) - min(values)) * 0.04 or 1.0
    return [min(values) - room, max(values) + room]


def _score_range(lines: Sequence[Line]) -> list[float] | None:
    """Of shares one range for all panels; of others none, so that each has its own."""
    ends = [value for line in lines for of in line.score for value in (of.mean, of.low, of.high) if isfinite(value)]
    if not ends or min(ends) < 0 or max(ends) > 1:
        return None
    return [max(-0.03, min(ends) - 0.05), min(1.03, max(ends) + 0.05)]


def _token_range(lines: Sequence[Line]) -> list[float] | None:
    ends = [value for line in lines for of in line.tokens for value in (of.mean, of.high) if isfinite(value)]
    return [0.0, max(ends) * 1.05] if ends and max(ends) > 0 else None


def steps_shown(panels: Sequence[Panel]) -> list[int | None]:
    """The steps of the axis, in order."""
    drawn = {of.step for panel in panels for line in panel.lines for of in (*line.score, *line.tokens)}
    return sorted(drawn, key=lambda step: -1 if step is None else step)


def keys_of(panel: Panel) -> tuple[tuple[str, int], ...]:
    """A task and the place of its colour for each line, as beside the panel."""
    return tuple((short(line.task), place) for place, line in enumerate(panel.lines))
