"""Finding and loading tasks: each once, whoever asks for it and however often."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks.manager import TaskManager

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import task_directories
from sftgen_judges.records.markers import ThinkMarkers, think_markers
from sftgen_tasks.data.generated import Generated
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.limits import limits_of
from sftgen_tasks.harness.patches import quiet
from sftgen_tasks.harness.task import Task
from sftgen_tasks.harness.version import QUALIFIED


class UnknownTaskError(SftgenError, ValueError):
    """A task name that no task folder defines."""


class RepeatedTaskError(SftgenError, ValueError):
    """A task that two of the names stand for, whose results lm_eval could not tell apart."""


@dataclass(frozen=True)
class LoadedTasks:
    """Tasks with their documents, for any number of evaluations.

    Attributes:
        tasks: The tasks by name, those of groups among them.
        groups: lm_eval's groups by name.
        group_map: Names of the members of each group.
    """

    tasks: Mapping[str, Task]
    groups: Mapping[str, Any] = field(default_factory=dict)
    group_map: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def only(self, names: Sequence[str]) -> LoadedTasks:
        """Some of the tasks, without groups."""
        return LoadedTasks({name: self.tasks[name] for name in names})

    def apart(self) -> LoadedTasks:
        """The same tasks for one evaluation, which keeps its requests in them; the documents are shared."""
        return LoadedTasks({name: copy.copy(task) for name, task in self.tasks.items()}, self.groups, self.group_map)

    def for_lm_eval(self) -> dict[str, Any]:
        """As lm_eval's `evaluate` takes them."""
        return {"tasks": dict(self.tasks), "groups": dict(self.groups), "group_map": dict(self.group_map)}


class OnceFactory(TaskFactory):  # type: ignore[misc]
    """Builds a task once, and hands it out again for a group or another load that changes nothing of it."""

    def __init__(self, *, meta: Mapping[str, Any]) -> None:
        """Start with nothing built."""
        super().__init__(meta=dict(meta))
        self._built: dict[tuple[str, Any], Any] = {}

    def _build_task(self, entry: Any, overrides: dict[str, Any] | None) -> Any:
        changed = {key: value for key, value in (overrides or {}).items() if key != QUALIFIED}
        if {"task": entry.name, **changed} != {"task": entry.name}:
            return super()._build_task(entry, overrides)
        key = entry.name, entry.yaml_path
        if key not in self._built:
            self._built[key] = super()._build_task(entry, overrides)
        return self._built[key]


class OwnTaskManager(TaskManager):  # type: ignore[misc]
    """lm_eval's TaskManager over sftgen's and the plugins' tasks, without its own 13,000, that loads each once."""

    def __init__(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Make an index of the task files; nothing is loaded yet.

        Args:
            metadata: Handed to every task, as `lm_eval --metadata` does.

        Raises:
            LimitError: It limits the tokens of an unknown task, or to no number.
        """
        limits_of(metadata or {})
        folders = [str(path) for path in task_directories()]
        super().__init__(include_path=folders, include_defaults=False, metadata=dict(metadata or {}))
        self._factory = OnceFactory(meta=self.metadata)

    def members(self, name: str) -> list[str] | None:
        """The members of a group, None for a task."""
        entry = self._entry(name)
        listed = (entry.cfg or {}).get("task") if entry else None
        named = isinstance(listed, list) and all(isinstance(member, str) for member in listed)
        return listed if named else None

    def leaves(self, name: str) -> list[str]:
        """The tasks of a group and of its groups; a task is its own."""
        members = self.members(name)
        return [name] if members is None else [leaf for member in members for leaf in self.leaves(member)]

    def check_options(self, name: str) -> None:
        """Check what the metadata sets of a task's documents, as far as that can be known without them.

        Raises:
            DataError: An option that the task does not have.
        """
        config = self._factory._load_full_config(self._entry(name))
        source = getattr(config.get("custom_dataset"), "__self__", None)
        if isinstance(source, Generated):
            source.check(**config["metadata"])


def resolve_tasks(names: Sequence[str], manager: OwnTaskManager) -> list[str]:
    """Match names and globs; a glob gives tasks only, since a group would give its tasks again.

    Raises:
        UnknownTaskError: A name matches nothing; tells what there is.
        RepeatedTaskError: Two names stand for the same task, for example a group and one of its tasks.
    """
    found: list[str] = []
    unknown = []
    for name in names:
        known = manager.all_subtasks if "*" in name else manager.all_tasks
        matches = fnmatch.filter(known, name)
        found += matches
        unknown += [] if matches else [name]
    if unknown or not names:
        near = "".join(did_you_mean(name, manager.all_tasks) for name in unknown[:1])
        told = f"{near} `sftgen tasks` lists them" if near else f". Known: {', '.join(manager.all_tasks)}"
        raise UnknownTaskError(f"unknown task {', '.join(map(repr, unknown)) or '(none given)'}{told}")
    chosen = list(dict.fromkeys(found))
    first: dict[str, str] = {}
    for name in chosen:
        for leaf in manager.leaves(name):
            if leaf in first:
                raise RepeatedTaskError(
                    f"task {leaf!r} is asked for twice, by {first[leaf]!r} and by {name!r}: name one"
                )
            first[leaf] = name
    return chosen


def load_tasks(
    names: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    gen_kwargs: Mapping[str, Any] | None = None,
    *,
    manager: OwnTaskManager | None = None,
) -> LoadedTasks:
    """Load tasks once, for any number of evaluations.

    Args:
        names: Task and group names; globs are allowed.
        metadata: Handed to every task, as `lm_eval --metadata` does.
        gen_kwargs: Put over every task's generation settings, as `lm_eval --gen_kwargs` does.
        manager: One with metadata of its own; what it has loaded before is not loaded again.

    Raises:
        UnknownTaskError: A name matches nothing.
        RepeatedTaskError: Two names stand for the same task.
        DataError: A task's documents cannot be read.
    """
    manager = manager or OwnTaskManager(metadata)
    with quiet(), one_load():
        found = LoadedTasks(**manager.load(resolve_tasks(names, manager)))
    for task in found.tasks.values():
        task.set_fewshot_seed(1234)
        if gen_kwargs:
            task.set_config(key="generation_kwargs", value=dict(gen_kwargs), update=True)
    return found


def reading_of(task: str, options: Mapping[str, Any]) -> tuple[ThinkMarkers | None, bool | None]:
    """How the responses to a task are read, without loading its documents.

    Args:
        task: The task; of one that is not known here, the options alone tell.
        options: Metadata that it was evaluated with.

    Returns:
        The markers of thinking, None for those of the family that writes like a response; and whether responses begin
        inside thinking, None for what their prompts say.
    """
    manager = OwnTaskManager()
    known = manager._entry(task) if task in manager.all_subtasks else None
    metadata = {**((manager._factory._load_full_config(known).get("metadata") or {}) if known else {}), **options}
    markers = metadata.get("think_markers")
    return None if markers in (None, "auto") else think_markers(markers), metadata.get("think_prefilled")
