"""How two arms were evaluated: what a comparison refuses, and what it says first."""

from __future__ import annotations

from typing import Any

from sftgen_judges.records.query import Records
from sftgen_judges.records.schema import printable
from sftgen_train.report.trajectories import mapping
from sftgen_train.trajectory.loading import TaskSamples
from sftgen_train.trajectory.pairing import Pair

_SHOWN = 40
"""Characters of a sampling setting that a caution shows."""


def graders_differ(a: TaskSamples, b: TaskSamples, of: Pair) -> str:
    """Why two arms of a task do not compare: other rules gave the scores. Empty where they do."""
    for name, word in (("grader", "grader"), ("version", "evaluation version")):
        for one, two in _ways(a, b, of, name):
            return f"{word} {printable(str(one))} and {printable(str(two))}; grade both alike first (sftgen rescore)"
    return ""


def settings_differ(records: Records, a: TaskSamples, b: TaskSamples, of: Pair) -> list[str]:
    """Sampling settings and token limits that differ, by name where the run's texts tell."""
    found = []
    for ids in _ways(a, b, of, "sampling"):
        known = [_settings(records, arm, identity) for arm, identity in zip((a, b), ids, strict=True)]
        if not all(known):
            found.append("other sampling settings or another token limit")
            continue
        one, two = known
        # Another seed is another answer of the same model, as it should be.
        names = sorted(name for name in {*one, *two} - {"seed"} if one.get(name) != two.get(name))
        found += [
            f"other sampling settings: {printable(name)} {_short(one.get(name))} and {_short(two.get(name))}"
            for name in names
        ]
    return list(dict.fromkeys(found))


def _ways(a: TaskSamples, b: TaskSamples, of: Pair, name: str) -> list[tuple[Any, Any]]:
    """How each compared step was evaluated in both arms, where it differs."""
    steps = zip(of.steps, of.other_steps, strict=True)
    found = [(getattr(a.ways.get(one), name, None), getattr(b.ways.get(two), name, None)) for one, two in steps]
    return list(dict.fromkeys((one, two) for one, two in found if one != two))


def _settings(records: Records, of: TaskSamples, identity: str | None) -> dict[str, Any]:
    query = "SELECT any_value(sampling) AS sampling FROM texts WHERE folder = ? AND task = ? AND sampling_id = ?"
    [row] = records.sql(query, (of.folder, of.task, identity)).rows()
    return mapping(row["sampling"])


def _short(value: Any) -> str:
    return printable(str(value))[:_SHOWN]
