"""A small line chart as SVG, for documents: no script, no browser, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 340, 56, 150, 36, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")

Line = tuple[str, Sequence[tuple[float, float]]]
"""A label, and places on the axis with shares."""


def share_chart(title: str, axis: str, lines: Sequence[Line], *, goal: float | None = None) -> str:
    """Shares over an axis whose places stand equally far apart.

    Args:
        title: Above the chart.
        axis: What the places are.
        lines: The lines.
        goal: A share that is marked.
    """
    places = sorted({place for _, points in lines for place, _ in points})
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(place: float) -> float:
        return LEFT + (right - LEFT) * (places.index(place) + 0.5) / max(1, len(places))

    def y(share: float) -> float:
        return bottom - (bottom - TOP) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 20, title, size=14),
        _text((LEFT + right) / 2, HEIGHT - 10, axis, anchor="middle"),
    ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(_stroke([(LEFT, y(share)), (right, y(share))], "#ddd", 1))
        parts.append(_text(LEFT - 6, y(share) + 4, f"{100 * share:.0f} %", anchor="end"))
    parts += [_text(x(place), bottom + 18, f"{place:g}", anchor="middle") for place in places]
    if goal is not None:
        parts.append(_stroke([(LEFT, y(goal)), (right, y(goal))], "#555", 1, dash="5 4"))
    for number, (label, points) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_stroke([(x(place), y(share)) for place, share in points], colour, 2))
        parts += [f'<circle cx="{x(place):.1f}" cy="{y(share):.1f}" r="3" fill="{colour}"/>' for place, share in points]
        parts.append(_stroke([(right + 12, TOP + 10 + 20 * number), (right + 32, TOP + 10 + 20 * number)], colour, 2))
        parts.append(_text(right + 38, TOP + 14 + 20 * number, label))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _stroke(points: Sequence[tuple[float, float]], colour: str, width: int, *, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'
