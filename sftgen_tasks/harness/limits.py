"""Token limits of single tasks: `--max_gen_toks TASK=N,...`, which is `max_gen_toks` in the tasks' metadata."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import task_directories
from sftgen_tasks.harness.catalogue import leaves, read_configs

OPTION = "max_gen_toks"


class LimitError(SftgenError, ValueError):
    """A token limit for a task that does not exist, or that is no number of tokens."""


def parse_limits(text: str) -> dict[str, int]:
    """Limits by task or group.

    Args:
        text: `TASK=N,...`.

    Raises:
        LimitError: An unknown task, or no number of tokens.

    >>> parse_limits("sftgen_math500=16384,sftgen_safety=512")
    {'sftgen_math500': 16384, 'sftgen_safety': 512}
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    limits: dict[str, Any] = {}
    for name, _, number in pairs:
        if name.strip() in limits:
            raise LimitError(f"--max_gen_toks names {name.strip()!r} twice")
        limits[name.strip()] = int(number) if number.strip().isdigit() else number.strip()
    return _checked(limits)


def limits_of(metadata: Mapping[str, Any]) -> dict[str, int]:
    """The limits that tasks' metadata names, none where it holds a model's argument of the same name.

    Raises:
        LimitError: An unknown task, or no number of tokens.
    """
    given = metadata.get(OPTION)
    if isinstance(given, str) and "=" in given:
        return parse_limits(given)
    return _checked(given) if isinstance(given, Mapping) else {}


def limit_of(task: str, limits: Mapping[str, int]) -> int | None:
    """The limit of a task: its own, or that of the smallest group that it is in; None where there is none."""
    named = {name: tasks_of(name) for name in limits}
    fitting = [name for name, tasks in named.items() if task in tasks]
    return limits[min(fitting, key=lambda name: (name != task, len(named[name])))] if fitting else None


def tasks_of(name: str) -> frozenset[str]:
    """The tasks of a group; a task is its own. Empty for a name that neither sftgen nor a plugin defines."""
    return _members(tuple(task_directories())).get(name, frozenset())


def _checked(limits: Mapping[str, Any]) -> dict[str, int]:
    for name, number in limits.items():
        if not tasks_of(str(name)):
            raise LimitError(
                f"--max_gen_toks {name!r}: no task or group of sftgen or a plugin (`sftgen tasks` lists them)"
                f"{did_you_mean(str(name), _members(tuple(task_directories())))}; "
                "expected TASK=N, for example sftgen_math500=16384"
            )
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise LimitError(f"--max_gen_toks {name}={number!r}: expected a whole number of tokens from 1")
    return {str(name): number for name, number in limits.items()}


@cache
def _members(folders: tuple[Path, ...]) -> dict[str, frozenset[str]]:
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for folder in folders:
        found = read_configs(folder)
        tasks, groups = {**tasks, **found[0]}, {**groups, **found[1]}
    return {name: leaves(name, tasks, groups) for name in (*tasks, *groups)}
