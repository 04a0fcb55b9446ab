"""What users of sftgen call, in one place; what is heavy is imported at first use.

import sftgen

records = sftgen.load_run("runs/a")
records.sql("SELECT task, step, avg(score) FROM samples GROUP BY ALL").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sftgen_judges
from sftgen_judges import Register, Response, SftgenError, Verdict, hookimpl, split_thinking  # noqa: F401 - in `__all__` below
from sftgen_judges.plugins.contracts import *  # noqa: F403 - every contract, a new one too
from sftgen_judges.plugins.first_use import at_first_use

if TYPE_CHECKING:
    from sftgen_train import HarnessCallback, evaluate_checkpoint, load_run
    from sftgen_train.report.comparing import compare
    from sftgen_train.report.explaining import explain
    from sftgen_train.report.findings import findings
    from sftgen_train.report.trajectories import trajectory

__all__ = ["HarnessCallback", "compare", "evaluate_checkpoint", "explain", "findings", "load_run", "trajectory"]
__all__ += sftgen_judges.__all__


_AT = {
    "HarnessCallback": "sftgen_train:HarnessCallback",
    "evaluate_checkpoint": "sftgen_train:evaluate_checkpoint",
    "load_run": "sftgen_train:load_run",
    "compare": "sftgen_train.report.comparing:compare",
    "explain": "sftgen_train.report.explaining:explain",
    "findings": "sftgen_train.report.findings:findings",
    "trajectory": "sftgen_train.report.trajectories:trajectory",  # in sftgen_train this is the room of array functions
}
"""Where the names stand that are imported at first use."""

__getattr__ = at_first_use(__name__, _AT)


def __dir__() -> list[str]:
    return __all__
