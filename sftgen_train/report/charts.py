"""Charts of a run's metrics against the training step."""

from __future__ import annotations

from typing import Any

from sftgen_train.report.reading import Metrics, has_interval, named, short, steps_of

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")


def chart(metrics: Metrics, metric: str, title: str, in_domain: set[str]) -> Any:
    """One metric of every task against the step, with intervals; in-domain tasks first and in bold."""
    import plotly.graph_objects as go

    figure = go.Figure()
    # Steps are log-spaced from 0: as categories they get equal room.
    steps = [named(step) for step in steps_of(metrics)]
    ordered = sorted(metrics, key=lambda task: task not in in_domain)
    for colour, task in zip(COLOURS * len(ordered), ordered, strict=False):
        rows = metrics[task][metric]
        shown = [step for step in steps_of(metrics) if step in rows and has_interval(rows[step])]
        means = [rows[step]["mean"] for step in shown]
        documents = [rows[step].get("docs") or 0 for step in shown]
        figure.add_trace(
            go.Scatter(
                x=[named(step) for step in shown],
                y=means,
                name=short(task) + (" (in-domain)" if task in in_domain else ""),
                mode="lines+markers",
                line={"color": colour, "width": 4 if task in in_domain else 2},
                # A step that was measured on fewer documents than another is an open circle.
                marker={
                    "size": 8,
                    "symbol": ["circle" if count >= max(documents) else "circle-open" for count in documents],
                },
                text=[f"{count} documents" for count in documents],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [rows[step]["high"] - mean for step, mean in zip(shown, means, strict=True)],
                    "arrayminus": [mean - rows[step]["low"] for step, mean in zip(shown, means, strict=True)],
                    "thickness": 1.2,
                },
            )
        )
    figure.update_layout(
        xaxis={"title": "training step", "type": "category", "categoryorder": "array", "categoryarray": steps},
        yaxis={"title": title, "rangemode": "tozero"},
        template="plotly_white",
        height=460,
        legend={"orientation": "h", "y": -0.25},
        margin={"l": 60, "r": 20, "t": 10, "b": 60},
    )
    return figure
