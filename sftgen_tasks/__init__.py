"""The benchmarks, and evaluating with them.

A task's YAML file points to `sftgen_tasks.Task`. All names are imported at first use, so that importing
a benchmark does not import lm_eval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sftgen_tasks.harness import (
        Task,
        TaskResult,
        UnknownTaskError,
        evaluate,
        load_tasks,
    )

__all__ = ["Task", "TaskResult", "UnknownTaskError", "evaluate", "load_tasks"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sftgen_tasks import harness

        return getattr(harness, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
