"""Verdicts as tables: for the terminal, for papers, and with every number for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import clean
from sftgen_judges.records.schema import printable
from sftgen_train.report.forms import as_csv, as_latex, as_markdown, write_forms
from sftgen_train.report.reading import short
from sftgen_train.report.trajectories import RunVerdicts
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


def records_of(found: Sequence[RunVerdicts]) -> list[dict[str, Any]]:
    """One row a run, task and step with every number of the step, and the verdict of the task."""
    rows = []
    for run in found:
        for verdict in run.verdicts:
            about = {
                "run": run.run, "task": verdict.name, "tasks": verdict.tasks, "shared": verdict.shared,
                "clusters": verdict.clusters, "base": verdict.base, "delta": verdict.delta, "end": verdict.end,
                "end_change": verdict.end_change, "end_low": verdict.end_low, "end_high": verdict.end_high,
                "smallest_delta": verdict.smallest_delta, "so_far": verdict.so_far,
            }  # fmt: skip
            rows += [
                {**about, **asdict(point), "dips": point.step in verdict.dips, "rises": point.step in verdict.rises}
                for point in verdict.points
            ]
    return rows


def as_json(found: Sequence[RunVerdicts]) -> str:
    """Every verdict with all its numbers; a number that JSON cannot hold is null."""

    def whole(verdict: Verdict) -> dict[str, Any]:
        return {
            **asdict(verdict),
            "claims": verdict.claims,
            "claims_over_tasks": verdict.claims_over_tasks,
            "sentence": verdict.sentence(),
        }

    runs = [
        {
            "run": run.run,
            "folder": run.folder,
            "cautions": run.cautions,
            "failures": run.failures,
            "tasks": [whole(verdict) for verdict in run.tasks],
            "groups": [whole(verdict) for verdict in run.groups],
        }
        for run in found
    ]
    return json.dumps(clean(runs), indent=2)


def write_verdicts(found: Sequence[RunVerdicts], form: str, out: Path | None) -> str | None:
    """Write verdicts in a form for programs or papers.

    Args:
        found: The verdicts.
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
        "markdown": lambda: as_markdown(*_rows(found)),
        "latex": lambda: as_latex(*_rows(found)),
    }
    return write_forms(forms, lambda: records_of(found), form, out)


def _rows(found: Sequence[RunVerdicts]) -> tuple[list[str], list[list[str]]]:
    several = len(found) > 1
    rows = [[printable(run.run)] * several + list(cells(verdict)) for run in found for verdict in run.verdicts]
    return ["run"] * several + list(COLUMNS), rows
