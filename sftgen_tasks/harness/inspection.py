"""What `sftgen doctor` asks of lm_eval: task files that do not parse, folders it scans, tasks one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_tasks.data.documents import loaded
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.catalogue import benchmarks
from sftgen_tasks.harness.loading import OwnTaskManager, load_tasks, resolve_tasks
from sftgen_tasks.harness.patches import replaced
from sftgen_tasks.harness.task import Task, TaskError


def read_task_files(folder: Path) -> Iterator[tuple[Path, str | None, Exception | None]]:
    """Parse every YAML of a folder, with its functions, which lm_eval's own index does not tell about.

    Yields:
        File, the task or group it names, and what is wrong with it.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    for path in sorted(folder.rglob("*.yaml")):
        try:
            config = load_yaml(path, resolve_func=True)
            name = config.get("task") if isinstance(config.get("task"), str) else config.get("group")
            yield path, name, None if name else TaskError("neither `task` nor `group` is named")
        except Exception as error:  # whatever a YAML or the module it points to raises
            yield path, None, error


def folders_seen_by_lm_eval() -> set[str]:
    """Which of sftgen's and the plugins' folders a plain `TaskManager()` of this interpreter scans.

    Asks without indexing lm_eval's built-in tasks.
    """
    from lm_eval.tasks import manager
    from lm_eval.tasks._index import TaskIndex

    native = getattr(manager, "discover_plugin_task_paths", None)
    if native is not None:
        return {str(path) for path in native()}
    scanned: set[str] = set()

    class Spy(TaskIndex):  # type: ignore[misc]
        def build(self, paths: Iterable[Path], **_: Any) -> dict[str, Any]:
            scanned.update(map(str, paths))
            return {}

    with replaced(manager, "TaskIndex", Spy):
        manager.TaskManager()
    return scanned


@dataclass(frozen=True)
class TaskFacts:
    """What can be known of a task before a model is loaded; `prompts` builds them, for a model to count.

    `benchmark` is the group that the task is a part of, for example a subject of MMLU-Pro; else the task itself.
    """

    name: str
    benchmark: str
    origin: str
    documents: int
    max_gen_toks: int
    scorer: Any
    prompts: Callable[[], list[str]]


@dataclass(frozen=True)
class TaskFailure:
    """A task or group that cannot be loaded, and why."""

    name: str
    benchmark: str
    error: Exception


def inspect_tasks(names: Sequence[str], metadata: Mapping[str, Any] | None = None) -> list[TaskFacts | TaskFailure]:
    """Load tasks one by one, down to their graders.

    Raises:
        UnknownTaskError: A name matches nothing.
    """
    manager = OwnTaskManager(metadata)
    of = benchmarks({group: manager.members(group) or () for group in manager.all_groups})
    found: list[TaskFacts | TaskFailure] = []
    with one_load():
        for name in resolve_tasks(names, manager):
            try:
                found += [_facts(task, of) for task in load_tasks([name], manager=manager).tasks.values()]
            except Exception as error:
                shown = name + (" (group)" if name in manager.all_groups else "")
                found.append(TaskFailure(shown, of.get(name, shown), error))
    return found


def _facts(task: Task, of: Mapping[str, str]) -> TaskFacts:
    name = task.config.task
    prompts = partial(_prompts, task)
    origin, documents, scorer = loaded(name).origin, len(task.test_docs()), task.grading.scorer()
    return TaskFacts(name, of.get(name, name), origin, documents, task.max_gen_toks, scorer, prompts)


def _prompts(task: Task) -> list[str]:
    return [task.doc_to_text(doc) for doc in task.test_docs()]
