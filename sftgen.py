"""What users of sftgen call, in one place; what is heavy is imported at first use.

import sftgen

records = sftgen.load_run("runs/a")
records.sql("SELECT task, step, avg(score) FROM samples GROUP BY ALL").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sftgen_judges
from sftgen_judges import Register, Response, Verdict, hookimpl, split_thinking  # noqa: F401 - in `__all__` below
from sftgen_judges.plugins.contracts import *  # noqa: F403 - every contract, a new one too

if TYPE_CHECKING:
    from sftgen_train import HarnessCallback, evaluate_checkpoint, load_run
    from sftgen_train.report.comparing import compare
    from sftgen_train.report.explaining import explain
    from sftgen_train.report.findings import findings
    from sftgen_train.report.trajectories import trajectory

__all__ = ["HarnessCallback", "compare", "evaluate_checkpoint", "explain", "findings", "load_run", "trajectory"]
__all__ += sftgen_judges.__all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "trajectory":  # in sftgen_train this is the room of the array functions
        from sftgen_train.report.trajectories import trajectory

        return trajectory
    if name == "compare":
        from sftgen_train.report.comparing import compare

        return compare
    if name == "explain":
        from sftgen_train.report.explaining import explain

        return explain
    if name == "findings":
        from sftgen_train.report.findings import findings

        return findings
    import sftgen_train

    return getattr(sftgen_train, name)


def __dir__() -> list[str]:
    return __all__
