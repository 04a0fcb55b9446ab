"""Policy files of `sftgen gate`: which benchmarks count how much, and how far each may drop.

steps: last
benchmarks:
math500: {tier: critical, max_drop: 0.02, min_pairs: 400}
hex_phi: {tier: critical, max_drop: 0.05, min_pairs: 200, measure: asr, better: lower}
ifeval: {tier: supporting, max_drop: 0.03, min_pairs: 300}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import printable

Tier = Literal["critical", "supporting", "advisory"]
PREFIX = "sftgen_"
LARGEST = 1 << 20
"""Bytes of a policy file at most."""
_MOST_NODES = 10_000
_BRANCHES = ("literal['last','all']", "list[int]")
"""How pydantic names the two forms of `steps`; they are no part of the file."""


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


@dataclass(frozen=True)
class _Mistake:
    line: int
    text: str


def read_policy(path: Path, known: Collection[str]) -> Policy:
    """Read a policy file, YAML or JSON.

    Args:
        path: The file.
        known: Names of tasks that a benchmark may have.

    Raises:
        PolicyError: It cannot be read, or has mistakes: all of them, with file, line, value and nearest name.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise PolicyError(f"policy {str(path)!r}: cannot be read ({error.strerror})") from None
    if len(raw) > LARGEST:
        raise PolicyError(f"policy {str(path)!r}: larger than {LARGEST:,} bytes; expected a short YAML file")
    try:
        node = yaml.compose(raw.decode("utf-8"), yaml.SafeLoader)
        if node is None or not isinstance(node, yaml.MappingNode):
            raise PolicyError(f"policy {str(path)!r}: expected a mapping with `benchmarks`")
        _refuse_growth(node, path)
        given = yaml.SafeLoader("")
        found = given.construct_document(node)
    except PolicyError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise PolicyError(f"policy {where}: not YAML ({getattr(error, 'problem', None) or 'damaged'})") from None
    except (UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise PolicyError(f"policy {str(path)!r}: not YAML ({type(error).__name__})") from None
    return _checked(found, node, path, known)


def _refuse_growth(node: yaml.Node, path: Path) -> None:
    """Refuse a file whose references make much out of little."""
    open_nodes, count = [node], 0
    while open_nodes:
        count += 1
        if count > _MOST_NODES:
            raise PolicyError(f"policy {str(path)!r}: more than {_MOST_NODES:,} values; expected a short YAML file")
        top = open_nodes.pop()
        if isinstance(top, yaml.MappingNode):
            open_nodes += [part for pair in top.value for part in pair]
        elif isinstance(top, yaml.SequenceNode):
            open_nodes += top.value


def _checked(found: Any, node: yaml.MappingNode, path: Path, known: Collection[str]) -> Policy:
    mistakes = list(_twice(node))
    policy = None
    try:
        policy = Policy.model_validate(found)
    except ValidationError as error:
        mistakes += [_mistake(each, node) for each in error.errors(include_url=False) if _meant(each)]
    benchmarks = found.get("benchmarks") if isinstance(found, dict) else None
    if isinstance(benchmarks, dict):
        mistakes += _unknown(benchmarks, node, known)
    if mistakes or policy is None:
        lines = [f"{path}:{each.line}: {printable(each.text)}" for each in sorted(mistakes, key=lambda m: m.line)]
        raise PolicyError(
            f"policy {str(path)!r} has {len(lines)} mistake{'s' * (len(lines) > 1)}:\n" + "\n".join(lines)
        )
    return policy


def _unknown(benchmarks: dict[Any, Any], node: yaml.MappingNode, known: Collection[str]) -> Iterator[_Mistake]:
    short = {name.removeprefix(PREFIX) for name in known}
    seen: set[str] = set()
    for name in benchmarks:
        plain = str(name).removeprefix(PREFIX)
        line = _line(node, ("benchmarks", name))
        if plain in seen:
            yield _Mistake(line, f"benchmark {str(name)!r} is named twice, with and without {PREFIX!r}")
        seen.add(plain)
        if plain not in short:
            yield _Mistake(line, f"benchmark {str(name)!r} is unknown{_near(plain, sorted(short))}")


def _meant(error: Any) -> bool:
    """Of the two forms of `steps`, only what is wrong with the one that was written is told."""
    if _BRANCHES[0] in error["loc"]:
        return not isinstance(error["input"], list)
    return bool(error["loc"][-1] != _BRANCHES[1])


def _mistake(error: Any, node: yaml.MappingNode) -> _Mistake:
    place = tuple(part for part in error["loc"] if part not in _BRANCHES)
    name = ".".join(map(str, place))
    line = _line(node, place)
    value = error["input"]
    if error["type"] == "extra_forbidden":
        fields = Rule if len(place) > 1 else Policy
        return _Mistake(line, f"{name} is unknown{_near(str(place[-1]), sorted(fields.model_fields))}")
    if error["type"] == "missing":
        return _Mistake(line, f"{name} is missing")
    near = ""
    if error["type"] == "literal_error" and isinstance(value, str):
        near = _near(value, error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    said = error["msg"][:1].lower() + error["msg"][1:]
    return _Mistake(line, f"{name}: {str(value)[:80]!r}: {said}{near}")


def _near(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _twice(node: yaml.MappingNode) -> Iterator[_Mistake]:
    """Keys that stand twice in a mapping: YAML would take the last without a word."""
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield _Mistake(key.start_mark.line + 1, f"{key.value} stands twice")
            seen.add(key.value)
        if isinstance(value, yaml.MappingNode):
            yield from _twice(value)


def _line(node: yaml.Node, place: Sequence[Any]) -> int:
    """The line of a value, or of the innermost part of its place that is there."""
    line = node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            # Of a key that stands twice the last counts.
            pair = next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = node.value[part], node.value[part]
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line
