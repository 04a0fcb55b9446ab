"""Verdicts as tables: for the terminal, for papers, and with every number for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import clean
from sftgen_judges.records.schema import printable
from sftgen_train.report.cells import named_keys
from sftgen_train.report.explaining import Explained
from sftgen_train.report.forms import as_csv, write_forms
from sftgen_train.report.reading import short
from sftgen_train.report.sections import Section, for_latex, for_markdown
from sftgen_train.report.why_tables import NO_TRADEOFF, details, step_columns, task_columns, tradeoff_columns
from sftgen_train.trajectory import Verdict
from sftgen_train.trajectory.claims import p_text

COLUMNS = ("task", "n", "dips at", "deepest", "p", "paired t", "end", "change", "95 % limits", "delta", "what else")


def cells(verdict: Verdict) -> tuple[str, ...]:
    """A verdict as the cells of `COLUMNS`."""
    name = printable(short(verdict.name)) + (f" ({verdict.tasks} tasks)" if verdict.tasks > 1 else "")
    deepest = min((point for point in verdict.points if point.step in verdict.dips), key=_change, default=None)
    compared = verdict.base is not None and len(verdict.points) > 1
    told = verdict.base is not None and bool(verdict.end_steps)
    return (
        name,
        str(verdict.shared),
        (", ".join(map(str, verdict.dips)) or "not shown") if compared else "-",
        f"{deepest.change:+.3f}" if deepest else "-",
        "-" if deepest is None or verdict.so_far else p_text(deepest.p_step_down),
        "-" if deepest is None or verdict.so_far else p_text(deepest.p_paired),
        "so far" if verdict.so_far else verdict.end,
        f"{verdict.end_change:+.3f}" if told else "-",
        f"{verdict.end_low:+.3f} to {verdict.end_high:+.3f}" if told else "-",
        f"{verdict.delta:g}",
        "; ".join(_else(verdict)),
    )


def words_of(verdict: Verdict) -> list[str]:
    """The words of a verdict that `WORDS` defines."""
    compared = verdict.base is not None and len(verdict.points) > 1
    words = (
        "so far" if verdict.so_far else "",
        compared and ("dips" if verdict.dips else "no dip shown"),
        verdict.fall and "falls after a peak",
        not verdict.so_far and verdict.end,
    )
    return [word for word in words if isinstance(word, str) and word]


def _change(point: Any) -> float:
    return float(point.change)


def _else(verdict: Verdict) -> Iterator[str]:
    if verdict.so_far:
        yield f"{verdict.so_far}; anytime-valid intervals"
    elif verdict.fall:
        fall = verdict.fall
        yield f"falls after a peak: {fall.change:+.3f} from step {fall.peak} to {fall.step}, p {p_text(fall.p)}"
    if verdict.why and not verdict.so_far:
        yield verdict.why
    if verdict.needed:
        yield verdict.needed.sentence()
    if verdict.end in {"below base", "not recovered", "cannot tell"} and verdict.smallest_delta > 0:
        yield f"smallest delta {verdict.smallest_delta:.3f}"
    if verdict.over_tasks and (lost := [claim for claim in verdict.claims if claim not in verdict.claims_over_tasks]):
        yield f"not over all tasks: {', '.join(lost)}"
    yield from (f"{entry.count} {entry.what} left out ({entry.why})" for entry in verdict.left_out)


def records_of(found: Sequence[Explained]) -> list[dict[str, Any]]:
    """One row a run, task and step: every number of the step, the verdict of the task, and what stands behind both.

    A run with safety and reasoning has rows of their trade-off too.
    """
    rows: list[dict[str, Any]] = []
    for run in found:
        for verdict in run.verdicts.verdicts:
            why = run.by_task.get(verdict.name)
            about = {
                "run": run.verdicts.run, "task": verdict.name, "tasks": verdict.tasks, "shared": verdict.shared,
                "clusters": verdict.clusters, "base": verdict.base, "delta": verdict.delta, "end": verdict.end,
                "end_change": verdict.end_change, "end_low": verdict.end_low, "end_high": verdict.end_high,
                "smallest_delta": verdict.smallest_delta, "so_far": verdict.so_far, **task_columns(why), **NO_TRADEOFF,
            }  # fmt: skip
            rows += [
                {
                    **about,
                    **asdict(point),
                    "dips": point.step in verdict.dips,
                    "rises": point.step in verdict.rises,
                    **step_columns(why, point.step),
                }
                for point in verdict.points
            ]
        rows += tradeoff_columns(run, rows[0] if rows else {})
    return rows


def as_json(found: Sequence[Explained]) -> str:
    """Every verdict with all its numbers and what stands behind it; a number that JSON cannot hold is null."""

    def whole(verdict: Verdict, run: Explained) -> dict[str, Any]:
        why = run.by_task.get(verdict.name)
        return {
            **asdict(verdict),
            "claims": verdict.claims,
            "claims_over_tasks": verdict.claims_over_tasks,
            "sentence": verdict.sentence(),
            **({"why_so": {name: value for name, value in asdict(why).items() if name != "task"}} if why else {}),
        }

    runs = [
        {
            "run": run.verdicts.run,
            "folder": run.verdicts.folder,
            "cautions": run.verdicts.cautions,
            "failures": run.verdicts.failures,
            "tasks": [whole(verdict, run) for verdict in run.verdicts.tasks],
            "groups": [whole(verdict, run) for verdict in run.verdicts.groups],
            "tradeoff": asdict(run.tradeoff) if run.tradeoff else None,
            "no_tradeoff": run.no_tradeoff,
        }
        for run in found
    ]
    return json.dumps(clean(named_keys(runs)), indent=2)


def write_verdicts(found: Sequence[Explained], form: str, out: Path | None) -> str | None:
    """Write verdicts in a form for programs or papers.

    Args:
        found: The verdicts, and what stands behind them.
        form: One of `Format` but `table`.
        out: The file.

    Returns:
        The text, if no file is named.

    Raises:
        FormatError: An unknown form, or Parquet without a file.
        OSError: The file cannot be written.
    """
    forms = {
        "json": lambda: as_json(found),
        "csv": lambda: as_csv(records_of(found), ["run", "task", "step"]),
        "markdown": lambda: for_markdown(sections_of_runs(found)),
        "latex": lambda: for_latex(sections_of_runs(found)),
    }
    return write_forms(forms, lambda: records_of(found), form, out)


def sections_of_runs(found: Sequence[Explained]) -> list[Section]:
    """The verdicts of runs and what stands behind them, as tables."""
    several = len(found) > 1
    parts = []
    for run in found:
        of = f" of {printable(run.verdicts.run)}" * several
        rows = tuple(cells(verdict) for verdict in run.verdicts.verdicts)
        parts += [Section(f"What became of the scores{of}", COLUMNS, rows)]
        parts += [replace(part, title=part.title + of) for part in details(run)]
    return parts
