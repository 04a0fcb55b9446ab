"""The top floor: training with the harness in the loop, trajectories, reports, the `sftgen` command.

All names are imported at first use, so that importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sftgen_judges.records.query import open_records as load_run
    from sftgen_train.evaluation.evaluator import evaluate_checkpoint
    from sftgen_train.training.callback import HarnessCallback

__all__ = ["HarnessCallback", "evaluate_checkpoint", "load_run"]


def __getattr__(name: str) -> Any:
    if name == "HarnessCallback":
        from sftgen_train.training.callback import HarnessCallback

        return HarnessCallback
    if name == "evaluate_checkpoint":
        from sftgen_train.evaluation.evaluator import evaluate_checkpoint

        return evaluate_checkpoint
    if name == "load_run":
        from sftgen_judges.records.query import open_records

        return open_records
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
