"""Figures on the page: their data beside an empty place, which `static/report.js` fills in the reader's colours."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from html import escape as as_html
from importlib import resources
from typing import Any

from markupsafe import Markup

from sftgen_judges.plugins.contracts import Figure
from sftgen_judges.records.schema import printable

LIBRARY = "plotly-basic-4.1.1.min.js.gz"
"""Plotly's basic bundle: lines, bars and pies, a quarter of the whole. Its version is the one of `plotly` in Python."""

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#c2500a", "#00795a", "#a64d86"
SKY, BROWN, VIOLET, INK, GREY, LINE = "#2f86b8", "#8a6100", "#5b55b5", "#1d2023", "#5c6268", "#e2e2de"
COLOURS = (BLUE, ORANGE, GREEN, PINK, BROWN, VIOLET, SKY, GREY)
"""Lines that stand beside each other; on white each has a contrast of 4 or more."""
DARK = {
    BLUE: "#62b6f0", ORANGE: "#f0935a", GREEN: "#4cc9a0", PINK: "#e59ac9", SKY: "#9ad0ee", BROWN: "#d8b45a",
    VIOLET: "#aaa5f5", INK: "#e4e6e8", GREY: "#a2a9b0", LINE: "#32373c",
}  # fmt: skip
"""What each colour is on a dark ground."""


_MARKUP = re.compile(r"<(?!/?(?:b|i|sub|sup|extra)>|br>)")


def faded(colour: str, share: float) -> str:
    """A colour that lets through what stands behind it."""
    return f"{_solid(colour)}, {share:g})"


def dark_pairs() -> list[tuple[str, str]]:
    """Texts of colours in a figure, each with what replaces it on a dark ground."""
    whole = list(DARK.items())
    return [*whole, *((_solid(light), _solid(dark)) for light, dark in whole)]


def housed(figure: Any, *, height: int, **layout: Any) -> Any:
    """The figure in the house's layout."""
    axis = {"gridcolor": LINE, "linecolor": LINE, "zeroline": False, "automargin": True}
    figure.update_layout(
        template={},
        height=height,
        font={"size": 12, "color": GREY, "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 44, "r": 12, "t": 10, "b": 40},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(**axis, fixedrange=True)
    figure.update_yaxes(**axis, fixedrange=True)
    figure.update_layout(**layout)
    return figure


def in_house(figure: Any) -> Any:
    """A figure of a plugin in the house's layout where it has one of Plotly's own; ours stay as they are."""
    import plotly.graph_objects as go

    made = go.Figure(figure)
    return housed(made, height=made.layout.height or 340) if made.layout.template.to_plotly_json() else made


def drawn(figure: Figure) -> Any:
    """Lines or bars as a figure of Plotly."""
    import plotly.graph_objects as go

    made = go.Figure()
    for colour, series in zip(COLOURS * (1 + len(figure.series)), figure.series, strict=False):
        y = list(series.y)
        error = _error_bars(y, series.low, series.high)
        facts = {"x": [str(x) for x in series.x], "y": y, "name": _text(series.name), "error_y": error}
        if figure.kind == "bars":
            made.add_trace(go.Bar(**facts, marker={"color": colour}))
        else:
            made.add_trace(go.Scatter(**facts, mode="lines+markers", line={"color": colour}))
    return housed(
        made,
        height=340,
        xaxis={"title": {"text": _text(figure.x)}, "type": "category"},
        yaxis={"title": {"text": _text(figure.y)}},
        showlegend=len(figure.series) > 1,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )


def _error_bars(y: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None]) -> Any:
    if not low or not high:
        return None
    up = [0 if a is None or b is None else b - a for a, b in zip(y, high, strict=False)]
    down = [0 if a is None or b is None else a - b for a, b in zip(y, low, strict=False)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2}


def _text(text: str) -> str:
    """A text in a figure, without markup."""
    return as_html(printable(text))


def placed(figure: Any, name: str, label: str) -> Markup:
    """A figure on the page.

    Args:
        figure: Of Plotly.
        name: Its name on the page.
        label: What it shows, for those who do not see it.
    """
    return Markup(
        '<div class="chart" id="{}" data-figure role="img" aria-label="{}" style="height: {}px"></div>'
        '<script type="application/json">{}</script>'
    ).format(name, label, figure.layout.height or 400, Markup(as_data(figure)))


def as_data(figure: Any) -> str:
    """A figure as JSON that no script ends in, without markup that could lead elsewhere or look like another part."""
    return json.dumps(_inert(json.loads(figure.to_json())), separators=(",", ":")).replace("<", "\\u003c")


def _inert(value: Any) -> Any:
    if isinstance(value, str):
        return _MARKUP.sub("&lt;", value)
    if isinstance(value, dict):
        return {name: _inert(held) for name, held in value.items()}
    return [_inert(held) for held in value] if isinstance(value, list) else value


def library() -> Markup:
    """The script that draws."""
    packed = resources.files("sftgen_train.report").joinpath("static").joinpath(LIBRARY).read_bytes()
    return Markup(gzip.decompress(packed).decode())


def static(name: str) -> Markup:
    """A text of the folder `static`."""
    return Markup(resources.files("sftgen_train.report").joinpath("static").joinpath(name).read_text())


def colour_rules() -> Markup:
    """The colours of lines as classes `c0`, `c1`, ... of keys beside figures."""
    light = "".join(f".c{place} {{ --key: {colour}; }}\n" for place, colour in enumerate(COLOURS))
    dark = "".join(f".c{place} {{ --key: {DARK[colour]}; }}\n" for place, colour in enumerate(COLOURS))
    return Markup(f"{light}@media (prefers-color-scheme: dark) {{\n{dark}}}")


def dark_json() -> Markup:
    """`dark_pairs` for the script."""
    return Markup(json.dumps(dark_pairs()))


def _solid(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}"
