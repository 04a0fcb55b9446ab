"""What `sftgen doctor` asks of lm_eval: task files that do not parse, folders it scans, tasks one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_tasks.data.documents import loaded
from sftgen_tasks.harness.evaluation import load_tasks, resolve_tasks, task_manager
from sftgen_tasks.harness.task import TaskError


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

    original = manager.TaskIndex
    manager.TaskIndex = Spy
    try:
        manager.TaskManager()
    finally:
        manager.TaskIndex = original
    return scanned


@dataclass(frozen=True)
class TaskFacts:
    """What can be known of a task before a model is loaded; `prompts` builds them, for a model to count."""

    name: str
    origin: str
    documents: int
    max_gen_toks: int
    scorer: Any
    prompts: Callable[[], list[str]]


def inspect_tasks(
    names: Sequence[str], metadata: Mapping[str, Any] | None = None
) -> Iterator[TaskFacts | tuple[str, Exception]]:
    """Load tasks one by one, down to their graders; one that fails comes as its name and the error.

    Raises:
        UnknownTaskError: A name matches nothing.
    """
    manager = task_manager(metadata)
    groups = set(manager.all_groups)
    for name in resolve_tasks(names, manager):
        try:
            for task_name, task in load_tasks([name], metadata)["tasks"].items():
                yield TaskFacts(
                    task_name,
                    loaded(task_name).origin,
                    len(task.test_docs()),
                    task.max_gen_toks,
                    task.grading.scorer(),
                    partial(_prompts, task),
                )
        except Exception as error:
            yield name + (" (group)" if name in groups else ""), error


def _prompts(task: Any) -> list[str]:
    return [task.doc_to_text(doc) for doc in task.test_docs()]
