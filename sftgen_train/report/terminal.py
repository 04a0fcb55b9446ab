"""A run as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from sftgen_tasks.harness.aggregation import METRICS
from sftgen_tasks.harness.categories import SAFETY
from sftgen_train.report.categories import IN_DOMAIN, UNDECLARED
from sftgen_train.report.comparing import Comparison
from sftgen_train.report.comparison_tables import remarks_of as remarks_of_comparison
from sftgen_train.report.comparison_tables import sections
from sftgen_train.report.distance import base_opening
from sftgen_train.report.explaining import Explained
from sftgen_train.report.opening import open_with
from sftgen_train.report.reading import CHARTS, Shown, asked, cell, has_interval, judged_titles, named, short, steps_of
from sftgen_train.report.remarks import READ, prompts_remark, remarks, remarks_of
from sftgen_train.report.sections import plain, print_sections, print_table
from sftgen_train.report.trajectories import RunVerdicts
from sftgen_train.report.verdict_tables import COLUMNS, cells
from sftgen_train.report.why_tables import brief, cost_line, details, regime_line
from sftgen_train.results.run import budget_of
from sftgen_train.trajectory.statistics import estimate

if TYPE_CHECKING:
    from sftgen_tasks import TaskResult


_STEPS = 10
"""So wide is the column of steps."""
_MARKS = {
    IN_DOMAIN: ("*", "in-domain"),
    SAFETY: ("+", "safety: a higher score is safer"),
    UNDECLARED: ("?", "category not declared: taken for out-of-domain"),
}


def print_opening(shown: Shown, console: Console) -> None:
    """Print what the base says of all other numbers, where it is far from the published one, and the verdict."""
    if first := base_opening(shown.metrics, shown.manifest):
        console.print(f"[red]{plain(first)}[/]", highlight=False)
    if opening := open_with(shown):
        console.print(f"[bold]{plain(opening.verdict)}[/]\n{plain(opening.rests)}\n", highlight=False)


def print_scores_by_step(shown: Shown, console: Console) -> None:
    """Print scores and lengths by step, coverage, and scores at budgets."""
    metrics = shown.metrics
    judged, steps = judged_titles(shown.manifest, metrics), steps_of(metrics)
    charts = [(metric, title, list(metrics)) for metric, title in CHARTS]
    for metric, title, tasks in charts + [(name, *about) for name, about in judged.items()]:
        columns = {
            plain(short(task)) + _mark(shown, task): [cell(metrics[task][metric].get(step), metric) for step in steps]
            for task in tasks
        }
        for number, names in enumerate(_beside(columns, console.width)):
            told = f"{plain(title)}, 95 % interval{', further tasks' * (number > 0)}"
            table = Table(title=told, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
            table.add_column("step", justify="right")
            for name in names:
                table.add_column(name, justify="right", overflow="fold")
            for place, step in enumerate(steps):
                table.add_row(named(step), *(columns[name][place] for name in names))
            print_table(table, console)
    table = Table(
        title="Coverage (share graded) and truncated share, lowest to highest over the steps",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("task", "n", "coverage", "truncated"):
        table.add_column(column, overflow="fold")
    for task, found in metrics.items():
        documents = sorted({row["docs"] for row in found["coverage"].values() if row.get("docs") is not None})
        table.add_row(
            plain(short(task)) + _mark(shown, task),
            "\n".join(shown.documents(task, number) for number in documents),
            _range(found["coverage"])
            + (" (incomplete)" if any(row.get("incomplete") for row in found["coverage"].values()) else ""),
            _range(found["truncated"]),
        )
    print_table(table, console)
    drawn = {_mark(shown, task) for task in metrics}
    for mark, meaning in _MARKS.values():
        if mark in drawn:
            console.print(f"{mark} {meaning}", highlight=False)
    print_budgets([row for task in metrics.values() for steps in task.values() for row in steps.values()], console)


def _beside(columns: Mapping[str, Sequence[str]], room: int) -> Iterator[list[str]]:
    """As many columns a table as have room with the steps, at least one: no number and no name is broken."""
    names, left = list[str](), 0
    for name, column in columns.items():
        width = 2 + max(cell_len(line) for text in (name, *column) for line in text.split("\n"))
        if names and width > left:
            yield names
            names = []
        left = left - width if names else room - _STEPS - width
        names.append(name)
    if names:
        yield names


def _mark(shown: Shown, task: str) -> str:
    return _MARKS[shown.category(task)][0] if shown.tag(task) else ""


def print_remarks(shown: Shown, console: Console) -> None:
    """Print what a reader of the scores has to know, and which evaluations failed."""
    for line in remarks_of(shown.metrics, shown.manifest):
        console.print(f"[yellow]{plain(line)}[/]", highlight=False)
    for line in shown.failures:
        console.print(f"[red]evaluation failed[/] at {plain(line)}", highlight=False)


def print_explained(found: Explained, console: Console, *, named: bool = False, full: bool = False) -> None:
    """Print what became of each task and group, and below it what stands behind.

    Args:
        found: A run.
        console: Where to.
        named: Whether the run is named.
        full: Whether every table is printed that stands behind; else one.
    """
    print_verdicts(found.verdicts, console, named=named)
    print_sections(details(found) if full else brief(found), console)
    for line in ("" if full else regime_line(found), cost_line(found)):
        if line:
            console.print(plain(line), highlight=False)


def print_verdicts(found: RunVerdicts, console: Console, *, named: bool = False) -> None:
    """Print what became of each task and group.

    Args:
        found: The verdicts of a run.
        console: Where to.
        named: Whether the run is named.
    """
    for line in found.cautions:
        console.print(f"[yellow]{plain(line)}[/]", highlight=False)
    shown = [dict(zip(COLUMNS, cells(verdict), strict=True)) for verdict in found.verdicts]
    deltas = {row["delta"] for row in shown}
    one = f", delta {min(deltas)}" if len(deltas) == 1 else ""
    table = Table(
        title="What became of the scores" + (f" of {plain(found.run)}" if named else "") + one,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # leaves room in 80 characters
    )
    for column in ("task", "n", "dips at", "end", "change at end", *(["delta"] * (not one))):
        table.add_column(column, overflow="fold", no_wrap=column not in {"task", "dips at"})
    for row in shown:
        tested = f"\np {row['p']}, t-test {row['paired t']}" if row["p"] != "-" else ""
        dips = row["dips at"] + (f": {row['deepest']}{tested}" if row["deepest"] != "-" else "")
        end = row["change"] + (f"\n{row['95 % limits']}" if row["95 % limits"] != "-" else "")
        name = row["task"].replace(" (", "\n(")
        told = (name, row["n"], dips, row["end"], end, *([row["delta"]] * (not one)))
        table.add_row(*("\n".join(map(plain, cell.split("\n"))) for cell in told))
    print_table(table, console)
    # What explains a verdict stands in full below the table.
    for row in shown:
        if row["what else"]:
            console.print(f"{plain(row['task'])}: {plain(row['what else'])}", highlight=False)


def print_comparison(found: Comparison, console: Console) -> None:
    """Print what a reader has to know first, then every table of a comparison."""
    for line in found.cautions:
        console.print(f"[yellow]{plain(line)}[/]", highlight=False)
    print_sections(sections(found), console)
    for line in remarks_of_comparison(found):
        console.print(plain(line), highlight=False)


def print_scores(results: Sequence[tuple[int | None, TaskResult]], console: Console) -> None:
    """Print one line a step and task: score with interval, documents, coverage, truncation, length."""
    table = Table(
        title="Scores with 95 % intervals; shares of samples",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # leaves room for the task in 80 characters
    )
    for column in ("step", "task", "score", "paper", "n", "graded", "answered", "truncated", "tokens"):
        table.add_column(column, no_wrap=column != "task", overflow="fold")
    paper = dict.fromkeys(result.task for _, result in results if result.paper_prompts)
    notes: list[str] = [prompts_remark(paper)] if paper else []
    for step, result in results:
        scores = result.values.get("score")
        score = estimate(scores, share=result.is_share("score")) if scores else None
        shown = [metric for metric in (*METRICS, *READ) if metric in result.values]
        means = {metric: estimate(result.values[metric]).mean for metric in shown}
        notes += remarks(result.task, step, means)
        table.add_row(
            named(step),
            plain(short(result.task)) + ("\nincomplete" if result.incomplete else ""),
            f"{score.mean:.3f}\n{score.low:.3f}-{score.high:.3f}" if score else "-",
            f"{means['score_paper']:.3f}" if "score_paper" in means else "-",
            asked(result.documents, result.of).replace(" of", "\nof"),
            *(f"{means[metric]:.2f}" if metric in means else "-" for metric in ("coverage", "answered", "truncated")),
            f"{means['response_tokens']:.0f}" if "response_tokens" in means else "-",
        )
    print_table(table, console)
    for line in notes:
        console.print(f"[yellow]{plain(line)}[/]", highlight=False)
    measures = Table(title="Further measures of the benchmarks, with 95 % intervals", title_justify="left")
    for column in ("step", "task", "measure", "value", "n"):
        measures.add_column(column, overflow="fold")
    for step, result in results:
        for metric in sorted(result.values.keys() - set(METRICS)):
            found = estimate(
                result.values[metric], share=result.is_share(metric), aggregation=result.aggregations.get(metric)
            )
            value = f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"
            measures.add_row(named(step), plain(short(result.task)), plain(metric), value, str(found.n))
    if measures.row_count:
        print_table(measures, console)


def print_measures(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print metric rows, a line each."""
    table = Table(title="Measures, with 95 % intervals", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("task", "step", "measure", "value", "documents"):
        table.add_column(column, overflow="fold")
    for row in sorted(rows, key=lambda row: (str(row["task"]), -1 if row.get("step") is None else row["step"])):
        ends = f" ({row['low']:.3f} to {row['high']:.3f})" if has_interval(row) else ""
        cells = (named(row.get("step")), plain(str(row["metric"])), f"{row['mean']:.3f}{ends}", str(row["n"]))
        table.add_row(plain(short(str(row["task"]))), *cells)
    print_table(table, console)


def print_budgets(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the scores of responses that were truncated at budgets, if there are any.

    Args:
        rows: Metric rows; those of whole responses are shown beside the budgets of their task and step.
        console: Where to.
    """
    found: dict[tuple[str, int | None], dict[float, dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        budget, metric = budget_of(row) or (inf, str(row.get("metric")))
        place = (str(row["task"]), row.get("step"))
        found.setdefault(place, {}).setdefault(budget, {})[metric] = row
    table = Table(
        title="Scores of responses truncated after so many tokens, with 95 % intervals", title_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    for column in ("task", "step", "budget", "score", "paper", "truncated", "n"):
        table.add_column(column, justify="left" if column == "task" else "right", overflow="fold")
    for (task, step), budgets in sorted(
        found.items(), key=lambda item: (item[0][0], -1 if item[0][1] is None else item[0][1])
    ):
        if set(budgets) == {inf}:
            continue
        for budget, metrics in sorted(budgets.items()):
            score = metrics.get("score")
            interval = f" ({score['low']:.2f}-{score['high']:.2f})" if score and has_interval(score) else ""
            table.add_row(
                plain(short(task)), named(step), "whole" if budget == inf else f"{budget:,}",
                f"{score['mean']:.3f}{interval}" if score else "-",
                *(f"{metrics[name]['mean']:.3f}" if name in metrics else "-" for name in ("score_paper", "truncated")),
                str(score.get("n", "-")) if score else "-",
            )  # fmt: skip
    if table.row_count:
        print_table(table, console)


def _range(rows: Mapping[int | None, Mapping[str, Any]]) -> str:
    means = [row["mean"] for row in rows.values()]
    if not means:
        return "-"
    low, high = f"{min(means):.2f}", f"{max(means):.2f}"
    return low if low == high else f"{low} to {high}"
