"""The first page: the runs, and what became of their scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_train.report.categories import trained_on
from sftgen_train.report.trajectories import last_step, mapping
from sftgen_train.trajectory.loading import OUTSIDE
from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.naming import run_names
from sftgen_train.viewer.questions import RunOutline, metrics


@dataclass(frozen=True)
class RunCard:
    """A run on the first page.

    Attributes:
        of: What it holds.
        name: Its short name.
        model: The model that was trained or evaluated.
        state: Whether it goes on, in words.
        live: Whether more is to come.
        in_domain: Its in-domain tasks.
        failures: Steps whose evaluation failed.
        evaluated: Steps that have metrics.
        versions: Of sftgen and the main libraries.
    """

    of: RunOutline
    name: str
    model: str
    state: str
    live: bool
    in_domain: frozenset[str]
    failures: tuple[str, ...]
    evaluated: tuple[int, ...]
    versions: str


def runs_page(edition: Edition) -> dict[str, Any]:
    """What the first page shows. It waits for metrics only, which are few."""
    rows = metrics(edition.records, ["score"])
    names = run_names(edition.outline)
    cards = []
    for run, of in edition.outline.runs.items():
        own = [row for row in rows if row["run"] == run]
        manifest = mapping(of.facts["manifest"])
        good = tuple(sorted({row["at_step"] for row in own if row["status"] == "ok"}))
        state, live = _state(manifest, of, good or of.steps)
        failures = tuple(
            f"{row['task']}, step {row['at_step']}: {row['reason'] or 'no reason was written down'}"
            for row in own
            if row["status"] != "ok"
        )
        versions = manifest.get("versions")
        known = versions if isinstance(versions, dict) else {}
        shown = ", ".join(
            f"{name} {known[name]}" for name in ("sftgen", "lm_eval", "transformers", "vllm") if known.get(name)
        )
        model = str(of.facts["model"] or "model unknown")
        cards.append(
            RunCard(of, names[run], model, state, live, frozenset(trained_on(manifest)), failures, good, shown)
        )
    return {"cards": cards}


def _state(manifest: dict[str, Any], of: RunOutline, steps: tuple[int, ...]) -> tuple[str, bool]:
    if not steps:
        return "no evaluation yet", True
    if steps == (OUTSIDE,):
        return "evaluated outside of a training", False
    last = last_step(manifest, Path(of.folder))
    if last is not None and steps[-1] < last:
        return f"evaluated up to step {steps[-1]} of {last}", True
    return f"{len(steps)} steps, 0 to {steps[-1]}" if steps[0] == 0 else f"{len(steps)} steps, up to {steps[-1]}", False
