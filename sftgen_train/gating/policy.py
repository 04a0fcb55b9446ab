"""Policy files of `sftgen gate`: which benchmarks count how much, and how far each may drop.

steps: last
benchmarks:
math500: {tier: critical, max_drop: 0.02, min_pairs: 400}
hex_phi: {tier: critical, max_drop: 0.05, min_pairs: 200, measure: asr, better: lower}
ifeval: {tier: supporting, max_drop: 0.03, min_pairs: 300}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_tasks.harness.catalogue import less_is_better
from sftgen_train.configuring.checking import Mistake, read_config

Tier = Literal["critical", "supporting", "advisory"]
PREFIX = "sftgen_"


class PolicyError(SftgenError, ValueError):
    """A policy that cannot be used, with every mistake in it."""


class Rule(BaseModel):
    """What is asked of one benchmark.

    Attributes:
        tier: `critical`: must be shown not to drop by more than `max_drop`; `supporting`: must not be shown to;
            `advisory`: is told only.
        max_drop: The largest drop allowed, in the unit of the measure: 0.02 is 2 points of 100.
        min_pairs: With fewer documents that both sides share nothing is decided.
        measure: `score`, `paper`, or a measure of the benchmark.
        max_relative_drop: The largest drop allowed as a share of the baseline: 0.1 is a tenth of it. It is asked beside
            `max_drop`: where scores are low, 2 points may be most of them.
        better: Whether `higher` or `lower` values are better; of the latter a rise is the drop.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tier: Tier
    max_drop: float = Field(ge=0, allow_inf_nan=False, strict=True)
    min_pairs: PositiveInt = Field(strict=True)
    measure: str = Field(default="score", min_length=1)
    max_relative_drop: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False, strict=True)
    better: Literal["higher", "lower"] = "higher"


class Policy(BaseModel):
    """A whole policy.

    Attributes:
        benchmarks: A rule for each; names with or without `sftgen_`.
        steps: Which steps of the run are judged: `last`, `all` after the base, or a list.
        base: The step of the run that is the baseline where no other run is.
        other_settings: What happens where the two sides were made with other sampling settings, or graded otherwise:
            `refuse` decides nothing, `tell` compares and says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmarks: dict[str, Rule] = Field(min_length=1)
    steps: Literal["last", "all"] | list[int] = "last"
    base: int = Field(default=0, ge=0, strict=True)
    other_settings: Literal["refuse", "tell"] = "refuse"


def read_policy(path: Path, known: Collection[str]) -> Policy:
    """Read a policy file, YAML or JSON.

    Args:
        path: The file.
        known: Names of tasks that a benchmark may have.

    Raises:
        PolicyError: It cannot be read, or has mistakes: all of them, with file, line, value and nearest name.
    """
    return read_config(
        path, Policy, kind="policy", error=PolicyError, also=lambda values: (*_unknown(values, known), *_turned(values))
    )


def _unknown(values: Mapping[Any, Any], known: Collection[str]) -> Iterator[Mistake]:
    short = {name.removeprefix(PREFIX) for name in known}
    seen: set[str] = set()
    benchmarks = values.get("benchmarks")
    for name in benchmarks if isinstance(benchmarks, dict) else ():
        plain = str(name).removeprefix(PREFIX)
        place = ("benchmarks", name)
        if plain in seen:
            yield Mistake(place, f"benchmark {str(name)!r} is named twice, with and without {PREFIX!r}")
        seen.add(plain)
        if plain not in short:
            yield Mistake(place, f"benchmark {str(name)!r} is unknown{did_you_mean(plain, sorted(short))}")


def _turned(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Measures whose direction is not the one that the task's file names: a worse model would be let through."""
    benchmarks = values.get("benchmarks")
    for name, rule in benchmarks.items() if isinstance(benchmarks, dict) else ():
        measure = rule.get("measure") if isinstance(rule, dict) else None
        if not isinstance(measure, str) or rule.get("better", "higher") != "higher":
            continue
        if measure in less_is_better(PREFIX + str(name).removeprefix(PREFIX)):
            place = ("benchmarks", name, "better" if "better" in rule else "measure")
            yield Mistake(place, f"benchmarks.{name}: of {measure!r} less is better: expected `better: lower`")
