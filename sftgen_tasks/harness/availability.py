"""Leaving out tasks whose data is not here, so that one gated data set does not stop nine benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from sftgen_tasks.data.loading import one_load
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.loading import OwnTaskManager
from sftgen_tasks.harness.patches import quiet


def usable_tasks(names: Sequence[str], manager: OwnTaskManager) -> tuple[list[str], dict[str, str]]:
    """Load every task once to see whether it can be.

    Args:
        names: Task and group names that the manager knows.
        manager: Has the metadata of the run, and keeps what is loaded: its `load` reads nothing again.

    Returns:
        What to evaluate, where a group that lacks a task is its other members, since a mean over some of them
        is another number than the group's; and why each task that was left out cannot be loaded.

    Raises:
        DataError: None can be loaded; says why for the first.
    """
    problems: dict[str, str] = {}
    first: list[DataError] = []

    def visit(name: str) -> list[str]:
        children = manager.members(name)
        if children is not None:
            kept = [visit(child) for child in children]
            return [name] if kept == [[child] for child in children] else [child for part in kept for child in part]
        try:
            manager.load([name])
        except DataError as error:
            first.append(error)
            problems[name] = str(error)
            return []
        return [name]

    with quiet(), one_load():
        usable = [task for name in names for task in visit(name)]
    if not usable and first:
        raise first[0]
    return usable, problems
