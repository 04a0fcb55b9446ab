"""The numbers of a run as tables of a page or a paper: scores, lengths, coverage; and how it was run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftgen_judges.records.schema import printable
from sftgen_train.report.reading import CHARTS, Shown, cell, judged_titles, named, short, steps_of
from sftgen_train.report.sections import Section, with_rows

_SHORT = 16
"""So many characters of a hash tell data apart."""


def number_sections(shown: Shown) -> list[Section]:
    """Score and length of every task and step, with coverage and truncation."""
    metrics, steps = shown.metrics, steps_of(shown.metrics)
    tasks = tuple(short(task) for task in metrics)
    found = [
        Section(f"{title}, 95 % interval", ("step", *tasks), tuple(_cells(shown, metric, step) for step in steps))
        for metric, title in CHARTS
    ]
    for name, (title, judged) in judged_titles(shown.manifest, metrics).items():
        rows = tuple((named(step), *(cell(metrics[task][name].get(step), name) for task in judged)) for step in steps)
        found.append(Section(f"{printable(title)}, 95 % interval", ("step", *map(short, judged)), rows))
    quality = tuple(row for task in metrics for row in _quality(shown, task))
    head = ("task", "step", "documents", "coverage", "answered", "truncated")
    return [*found, Section("Coverage and truncation", head, quality)]


def _cells(shown: Shown, metric: str, step: int | None) -> tuple[str, ...]:
    return (named(step), *(cell(rows[metric].get(step), metric) for rows in shown.metrics.values()))


def _quality(shown: Shown, task: str) -> Iterator[tuple[str, ...]]:
    rows = shown.metrics[task]
    for step in steps_of(shown.metrics):
        of = rows["coverage"].get(step)
        if of is not None:
            shares = (
                f"{rows[metric][step]['mean']:.2f}" if step in rows[metric] else "-"
                for metric in ("coverage", "answered", "truncated")
            )
            documents = shown.documents(task, of.get("docs", "-")) + " incomplete" * bool(of.get("incomplete"))
            yield (short(task), named(step), documents, *shares)


def provenance_sections(manifest: Mapping[str, Any]) -> list[Section]:
    """What was run, on which data, with which versions. A manifest may be damaged: what is not there is left out."""
    about = {
        "model": manifest.get("model"),
        "run": manifest.get("run"),
        "created": manifest.get("created"),
        "command": " ".join(map(str, command)) if isinstance(command := manifest.get("command"), list) else command,
        "evaluation": manifest.get("evaluation"),
        "training steps": manifest.get("max_steps"),
        **{f"seed of {name}": seed for name, seed in _mapping(manifest.get("seeds")).items()},
        **{f"hardware: {name}": told for name, told in _mapping(manifest.get("hardware")).items()},
        **_by_value("vLLM", _mapping(manifest.get("engines"))),
        **_by_value("batch invariant", _mapping(manifest.get("batch_invariant"))),
    }
    data = tuple(
        (
            printable(short(str(task))),
            *(printable(str(facts.get(name, "-"))) for name in ("origin", "n", "of")),
            *(printable(str(facts.get(name, "-"))[:_SHORT]) for name in ("sha256", "prompts_sha256")),
        )
        for task, facts in _mapping(manifest.get("documents")).items()
        if isinstance(facts, dict)
    )
    versions = {"python": manifest.get("python"), **_mapping(manifest.get("versions"))}
    versions |= {
        f"git: {name}": f"{facts.get('revision')}{' with changes' * bool(facts.get('dirty'))}"
        for name, facts in _mapping(manifest.get("git")).items()
        if isinstance(facts, dict)
    }
    return with_rows(
        [
            Section("Run", ("what", "value"), _rows(about)),
            Section("Data", ("task", "origin", "documents", "of", "sha256", "sha256 of prompts"), data),
            Section("Versions", ("package", "version"), _rows(versions)),
        ]
    )


def _by_value(name: str, by_step: Mapping[str, Any]) -> dict[str, str]:
    """What is known of each step, one row for those of which the same is known."""
    steps: dict[str, list[str]] = {}
    for step, told in by_step.items():
        steps.setdefault(str(told), []).append(str(step))
    return {f"{name} at step {', '.join(of)}": told for told, of in steps.items()}


def _rows(facts: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple((printable(name), printable(str(told))) for name, told in facts.items() if told is not None)


def _mapping(given: Any) -> dict[str, Any]:
    return {str(name): told for name, told in given.items()} if isinstance(given, dict) else {}
