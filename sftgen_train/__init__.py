"""The top floor: training with the harness in the loop, trajectories, reports, the `sftgen` command.

All names are imported at first use, so that importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftgen_judges.plugins.first_use import at_first_use

if TYPE_CHECKING:
    from sftgen_judges.records.query import open_records as load_run
    from sftgen_train.evaluation.evaluator import evaluate_checkpoint
    from sftgen_train.training.callback import HarnessCallback

__all__ = ["HarnessCallback", "evaluate_checkpoint", "load_run"]


_AT = {
    "HarnessCallback": "sftgen_train.training.callback:HarnessCallback",
    "evaluate_checkpoint": "sftgen_train.evaluation.evaluator:evaluate_checkpoint",
    "load_run": "sftgen_judges.records.query:open_records",
}

__getattr__ = at_first_use(__name__, _AT)


def __dir__() -> list[str]:
    return __all__
