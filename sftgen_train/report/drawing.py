"""Figures on the page: their data beside an empty place, which `static/report.js` fills in the reader's colours."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from typing import Any

from markupsafe import Markup

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


def placed(figure: Any, name: str, label: str) -> Markup:
    """A figure on the page.

    Args:
        figure: Of Plotly.
        name: Its name on the page.
        label: What it shows, for those who do not see it.
    """
    # A name in the data cannot end the script.
    data = Markup(figure.to_json().replace("<", "\\u003c"))
    return Markup(
        '<div class="chart" id="chart-{}" data-figure role="img" aria-label="{}" style="height: {}px"></div>'
        '<script type="application/json">{}</script>'
    ).format(name, label, figure.layout.height or 400, data)


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
