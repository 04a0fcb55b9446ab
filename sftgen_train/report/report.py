"""A run as a table in the terminal and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sftgen_judges.records.journal import write_atomic
from sftgen_tasks.harness.aggregation import METRICS
from sftgen_train.results.run import Run, RunError
from sftgen_train.trajectory.shape import Trajectory, read_trajectory
from sftgen_train.trajectory.statistics import estimate

if TYPE_CHECKING:
    from sftgen_tasks import TaskResult

# Task -> metric -> step -> row
Metrics = dict[str, dict[str, dict[int, dict[str, Any]]]]
CHARTS = (("score", "Score"), ("response_tokens", "Mean response length (tokens)"))
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")


def metrics_of(run: Run) -> Metrics:
    """The metrics of a run, by task, metric and step.

    Raises:
        RunError: There are none.
    """
    metrics: Metrics = defaultdict(lambda: defaultdict(dict))
    for row in run.metric_rows():
        if row.get("status") == "ok":
            metrics[row["task"]][row["metric"]][row["step"]] = row
    if not metrics:
        raise RunError(f"run directory {str(run.folder)!r} holds no evaluation that succeeded (metrics.jsonl)")
    return metrics


def failures_of(run: Run) -> list[str]:
    """Evaluations that failed and were not made good later, one line each."""
    failed = {row["step"]: row["reason"] for row in run.metric_rows() if row.get("status") == "failed"}
    return [f"step {step}: {failed[step]}" for step in sorted(set(failed) - run.evaluated_steps())]


def trajectories_of(run: Run) -> list[Trajectory]:
    """The reading of every task with at least two evaluated steps."""
    return [read_trajectory(task, steps) for task, steps in run.scores().items() if len(steps) > 1]


def print_run(run: Run, console: Console) -> None:
    """Print scores and lengths by step, then what became of each task."""
    metrics = metrics_of(run)
    in_domain = set(run.read_manifest().get("in_domain") or ())
    for metric, title in CHARTS:
        table = Table(title=f"{title}, 95 % interval", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("step", justify="right")
        for task in metrics:
            name = _short(task) + ("*" if task in in_domain else "")
            table.add_column(name, justify="right", overflow="fold")
        for step in _steps(metrics):
            table.add_row(str(step), *(_cell(metrics[task][metric].get(step), metric) for task in metrics))
        console.print(table)
    table = Table(
        title="Coverage (share graded) and truncated share, lowest to highest over the steps",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("task", "n", "coverage", "truncated", "what became of its score"):
        table.add_column(column, overflow="fold")
    readings = {trajectory.task: trajectory.sentence() for trajectory in trajectories_of(run)}
    for task, found in metrics.items():
        documents = sorted({row["docs"] for row in found["coverage"].values()})
        table.add_row(
            _short(task) + ("*" if task in in_domain else ""),
            "-".join(map(str, documents)),
            _range(found["coverage"])
            + (" (incomplete)" if any(row.get("incomplete") for row in found["coverage"].values()) else ""),
            _range(found["truncated"]),
            readings.get(task, "one step only"),
        )
    console.print(table)
    if in_domain:
        console.print("* in-domain")
    for line in failures_of(run):
        console.print(f"[red]evaluation failed[/] at {escape(line)}", highlight=False)


def print_scores(results: Sequence[tuple[int | None, TaskResult]], console: Console) -> None:
    """Print one line a step and task: score with interval, documents, coverage, truncation, length."""
    table = Table(title="Scores with 95 % intervals; shares of samples", title_justify="left")
    for column in ("step", "task", "score", "paper", "n", "graded", "answered", "cut", "tokens"):
        table.add_column(column, no_wrap=column != "task", overflow="fold")
    for step, result in results:
        score = estimate(result.values["score"]) if result.values.get("score") else None
        means = {metric: estimate(result.values[metric]).mean for metric in METRICS if metric in result.values}
        table.add_row(
            "-" if step is None else str(step),
            _short(result.task),
            f"{score.mean:.3f}\n{score.low:.3f}-{score.high:.3f}" if score else "-",
            f"{means['score_paper']:.3f}" if "score_paper" in means else "-",
            str(score.n if score else 0),
            f"{means['coverage']:.2f}" + ("\nincomplete" if result.incomplete else ""),
            *(f"{means[metric]:.2f}" for metric in ("answered", "truncated")),
            f"{means['response_tokens']:.0f}" if "response_tokens" in means else "-",
        )
    console.print(table)
    measures = Table(title="What the benchmarks measure besides, with 95 % intervals", title_justify="left")
    for column in ("step", "task", "measure", "value", "n"):
        measures.add_column(column, overflow="fold")
    for step, result in results:
        for metric in sorted(result.values.keys() - set(METRICS)):
            found = estimate(result.values[metric], aggregation=result.aggregations.get(metric))
            value = f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"
            measures.add_row("-" if step is None else str(step), _short(result.task), metric, value, str(found.n))
    if measures.row_count:
        console.print(measures)


def write_report(run: Run, path: Path | None = None) -> Path:
    """Write the report.

    Args:
        run: The run.
        path: Where to, `report.html` in the run directory by default.

    Returns:
        The path.

    Raises:
        RunError: The run holds nothing to report.
    """
    import plotly.io as plotly_io
    from jinja2 import Environment, select_autoescape
    from plotly.offline import get_plotlyjs

    metrics = metrics_of(run)
    manifest = run.read_manifest()
    in_domain = set(manifest.get("in_domain") or ())
    environment = Environment(autoescape=select_autoescape(default=True))
    template = environment.from_string(resources.files("sftgen_train.report").joinpath("report.html.j2").read_text())
    charts = [
        plotly_io.to_html(
            _chart(metrics, metric, title, in_domain), full_html=False, include_plotlyjs=False, div_id=metric
        )
        for metric, title in CHARTS
    ]
    steps = _steps(metrics)
    trajectories = sorted(trajectories_of(run), key=lambda trajectory: trajectory.task not in in_domain)
    html = template.render(
        plotly=get_plotlyjs(),
        charts=charts,
        manifest=manifest,
        in_domain=in_domain,
        trajectories=trajectories,
        failures=failures_of(run),
        steps=steps,
        tasks=list(metrics),
        metrics=metrics,
        tables=CHARTS,
        cell=_cell,
        short=_short,
    )
    path = path or run.folder / "report.html"
    write_atomic(path, html)
    return path


def _chart(metrics: Metrics, metric: str, title: str, in_domain: set[str]) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    # Steps are log-spaced from 0: as categories they get equal room.
    steps = [str(step) for step in _steps(metrics)]
    ordered = sorted(metrics, key=lambda task: task not in in_domain)
    for colour, task in zip(COLOURS * len(ordered), ordered, strict=False):
        rows = metrics[task][metric]
        shown = [step for step in _steps(metrics) if step in rows and "low" in rows[step]]
        means = [rows[step]["mean"] for step in shown]
        figure.add_trace(
            go.Scatter(
                x=[str(step) for step in shown],
                y=means,
                name=_short(task) + (" (in-domain)" if task in in_domain else ""),
                mode="lines+markers",
                line={"color": colour, "width": 4 if task in in_domain else 2},
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
        title=f"{title} against training step, 95 % intervals",
        xaxis={"title": "training step", "type": "category", "categoryorder": "array", "categoryarray": steps},
        yaxis={"title": title, "rangemode": "tozero"},
        template="plotly_white",
        height=460,
        legend={"orientation": "h", "y": -0.25},
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
    )
    return figure


def _steps(metrics: Metrics) -> list[int]:
    return sorted({step for task in metrics.values() for rows in task.values() for step in rows})


def _cell(row: Mapping[str, Any] | None, metric: str) -> str:
    if row is None:
        return "-"
    digits = 2 if metric == "score" else 0
    if "low" not in row:
        return f"{row['mean']:.{digits}f}"
    return f"{row['mean']:.{digits}f}\n{row['low']:.{digits}f}-{row['high']:.{digits}f}"


def _range(rows: Mapping[int, Mapping[str, Any]]) -> str:
    means = [row["mean"] for row in rows.values()]
    low, high = f"{min(means):.2f}", f"{max(means):.2f}"
    return low if low == high else f"{low} to {high}"


def _short(task: str) -> str:
    return task.removeprefix("sftgen_")
