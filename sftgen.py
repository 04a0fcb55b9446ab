"""What users of sftgen call, in one place; each name is imported at first use.

import sftgen

records = sftgen.load_run("runs/a")
records.sql("SELECT task, step, avg(score) FROM samples GROUP BY ALL").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sftgen_judges import (
        Checkpoint,
        CheckpointSource,
        Diagnostic,
        Execution,
        Grader,
        Item,
        Judge,
        Limits,
        Program,
        Register,
        Reply,
        Request,
        Response,
        Sample,
        Sandbox,
        Verdict,
        hookimpl,
        split_thinking,
    )
    from sftgen_train import HarnessCallback, evaluate_checkpoint, load_run

__all__ = [
    "Checkpoint",
    "CheckpointSource",
    "Diagnostic",
    "Execution",
    "Grader",
    "HarnessCallback",
    "Item",
    "Judge",
    "Limits",
    "Program",
    "Register",
    "Reply",
    "Request",
    "Response",
    "Sample",
    "Sandbox",
    "Verdict",
    "evaluate_checkpoint",
    "hookimpl",
    "load_run",
    "split_thinking",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sftgen_judges
    import sftgen_train

    return getattr(sftgen_train if name in sftgen_train.__all__ else sftgen_judges, name)


def __dir__() -> list[str]:
    return __all__
