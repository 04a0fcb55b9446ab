"""The one place that knows lm_eval's internals; nothing outside imports lm_eval but the model in `hf_lm`."""

from sftgen_tasks.harness.evaluation import (
    TaskResult,
    UnknownTaskError,
    aggregations,
    evaluate,
    load_tasks,
    quiet,
    resolve_tasks,
    task_manager,
    task_result,
)
from sftgen_tasks.harness.generation import GeneratedText, journal_generations
from sftgen_tasks.harness.task import (
    GradeFilter,
    PromptTooLongError,
    Task,
    TaskError,
    process_results,
)

__all__ = [
    "GeneratedText",
    "GradeFilter",
    "PromptTooLongError",
    "Task",
    "TaskError",
    "TaskResult",
    "UnknownTaskError",
    "aggregations",
    "evaluate",
    "journal_generations",
    "load_tasks",
    "process_results",
    "quiet",
    "resolve_tasks",
    "task_manager",
    "task_result",
]
