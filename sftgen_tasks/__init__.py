"""The benchmarks, and evaluating with them.

A task's YAML file points to `sftgen_tasks.Task`. All names are imported at first use, so that importing
a benchmark does not import lm_eval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftgen_judges.plugins.first_use import at_first_use
from sftgen_judges.plugins.renamed import keep_old_names

if TYPE_CHECKING:
    from sftgen_tasks.harness.evaluation import TaskResult, evaluate
    from sftgen_tasks.harness.loading import LoadedTasks, UnknownTaskError, load_tasks
    from sftgen_tasks.harness.task import Task

__all__ = ["LoadedTasks", "Task", "TaskResult", "UnknownTaskError", "evaluate", "load_tasks"]


_AT = {
    "LoadedTasks": "sftgen_tasks.harness.loading:LoadedTasks",
    "Task": "sftgen_tasks.harness.task:Task",
    "TaskResult": "sftgen_tasks.harness.evaluation:TaskResult",
    "UnknownTaskError": "sftgen_tasks.harness.loading:UnknownTaskError",
    "evaluate": "sftgen_tasks.harness.evaluation:evaluate",
    "load_tasks": "sftgen_tasks.harness.loading:load_tasks",
}

__getattr__ = at_first_use(__name__, _AT)


def __dir__() -> list[str]:
    return __all__


keep_old_names(
    __name__,
    {
        "aggregation": "harness.aggregation",
        "answers": "readers.boxed",
        "letters": "readers.letters",
        "math_grading": "math.grading",
        "programs": "readers.programs",
        "published": "readers.paper",
        "refusal": "secret",
        "sources": "data",
        "tables": "data.tables",
        "_lm_eval": "harness",
        "_lm_eval.penalties": "harness.penalties",
    },
)
