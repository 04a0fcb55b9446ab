"""The published numbers of the paper, and how far a measured number is from them.

`reference.json` holds facts with their source: the scores, how each benchmark was asked, and which cells are doubtful.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import isfinite, nan, sqrt
from typing import Any

BASE = "base"
Z = 1.959964
"""Standard errors of a 95 % interval."""


@dataclass(frozen=True)
class Benchmark:
    """How the paper asked a benchmark.

    Attributes:
        name: Its name in the tables.
        tasks: Names of tasks here; one that ends with `*` stands for all of a group.
        paper_metrics: Metrics here by the paper's rule.
        strict_metrics: Metrics here by the right rule, which compare less well.
        documents: How many documents; None where the paper does not say.
        repeats: Samples of each.
        sampling: Generation settings.
        logit: Whether the score is no share but a mean logit.
        doubt: Why a difference may say little.
    """

    name: str
    tasks: tuple[str, ...]
    paper_metrics: tuple[str, ...]
    strict_metrics: tuple[str, ...]
    documents: int | None
    repeats: int
    sampling: Mapping[str, float]
    logit: bool
    doubt: str

    def has(self, task: str) -> bool:
        """Whether a task is, or is part of, this benchmark. Groups of all documents, `_full`, are not."""
        return any(
            task == name or (name.endswith("*") and task.startswith(name[:-1]) and "_full" not in task)
            for name in self.tasks
        )


@dataclass(frozen=True)
class Distance:
    """A measured number beside a published one.

    Attributes:
        benchmark: Its name in the tables.
        step: The step.
        data: The training data in the tables; `base` before training.
        rule: `paper` or `strict`: which rule scored ours.
        metric: The metric of ours.
        ours: Our number.
        error: Its standard error, from documents.
        published: The published number; the nearest where two tables disagree.
        others: Other published numbers of the same cell.
        published_error: Its standard error between documents: at most that of one answer each (binomial), since the
            paper gives none; NaN of a logit, where ours is taken.
        difference: Ours less the published.
        inside: Whether 0 lies within 1.96 of both standard errors together.
        z: The difference in these standard errors.
        differs: Fields of the protocol that differ.
        doubt: Why the difference may say little; empty otherwise.
    """

    benchmark: str
    step: int
    data: str
    rule: str
    metric: str
    ours: float
    error: float
    published: float
    others: tuple[float, ...]
    published_error: float
    difference: float
    inside: bool
    z: float
    differs: tuple[str, ...] = ()
    doubt: str = ""


@cache
def _read() -> dict[str, Any]:
    text = resources.files("sftgen_train.trajectory").joinpath("reference.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def source() -> str:
    """Where the published numbers are from."""
    return str(_read()["source"])


def benchmarks() -> dict[str, Benchmark]:
    """The published benchmarks by name."""
    found = {}
    for name, of in _read()["benchmarks"].items():
        facts: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in of.items()}
        found[name] = Benchmark(name, **facts)
    return found


def models() -> list[str]:
    """The published models."""
    return list(_read()["models"])


def datasets(model: str) -> list[str]:
    """The training data of a published model."""
    return [name for name in _read()["models"][model] if name != BASE]


def model_of(name: str) -> str | None:
    """The published model of a name or folder, such as `Qwen/Qwen3-4B-Base`; None for any other."""
    plain = _plain(re.split(r"[/\\]", name.rstrip("/\\"))[-1])
    return next((model for model in models() if _plain(model) == plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[-_]base$", "", name.lower()))


def values(model: str, data: str, step: int, benchmark: Benchmark) -> tuple[float, ...]:
    """The published values of a cell, shares where they are percent; several where tables disagree."""
    cell = _read()["models"].get(model, {}).get(data, {}).get(str(step), {}).get(benchmark.name, ())
    return tuple(value if benchmark.logit else value / 100 for value in cell)


def by_step(benchmark: Benchmark) -> dict[str, dict[int, float]]:
    """The published scores of a benchmark at several steps: `MODEL DATA` to step, 0 is the base, to score."""
    found = {
        (data, model): {
            step: values(model, BASE if step == 0 else data, step, benchmark)[0]
            for step in (0, *sorted(map(int, _read()["models"][model][data])))
            if values(model, BASE if step == 0 else data, step, benchmark)
        }
        for model in models()
        for data in datasets(model)
    }
    return {f"{model} {data}": found[data, model] for data, model in sorted(found) if len(found[data, model]) > 2}


def distance(
    model: str,
    data: str,
    step: int,
    benchmark: Benchmark,
    *,
    ours: float,
    error: float,
    rule: str,
    metric: str,
    differs: tuple[str, ...] = (),
) -> Distance | None:
    """How far a measured number is from the published one; None where none is published.

    Args:
        model: A published model.
        data: `base`, or training data of the tables.
        step: The step.
        benchmark: The benchmark.
        ours: Our number, a share where the benchmark's is one.
        error: Its standard error.
        rule: `paper` or `strict`.
        metric: The metric of ours.
        differs: Fields of the protocol that differ.
    """
    found = values(model, data, step, benchmark)
    if not found:
        return None
    near, *others = sorted(found, key=lambda value: abs(ours - value))
    known = nan if benchmark.logit or not benchmark.documents else sqrt(near * (1 - near) / benchmark.documents)
    both = sqrt(error**2 + (known if isfinite(known) else error) ** 2)
    z = (ours - near) / both if both > 0 else (0.0 if ours == near else float("inf"))
    suspect = [model, data, str(step), benchmark.name] in _read()["suspect_cells"]
    doubt = "; ".join(filter(None, [benchmark.doubt, "the published cell is suspect" if suspect else ""]))
    return Distance(
        benchmark.name, step, data, rule, metric, ours, error, near, tuple(others), known, ours - near, abs(z) <= Z, z,
        differs, doubt,
    )  # fmt: skip


def far_bases(found: list[Distance]) -> list[Distance]:
    """The base scores that are not near the published ones, all benchmarks together in 95 % of cases (Bonferroni)."""
    bases = [each for each in found if each.data == BASE]
    if not bases:
        return []
    from scipy.special import ndtri

    limit = float(ndtri(1 - 0.025 / len(bases)))
    return [each for each in bases if abs(each.z) > limit]
