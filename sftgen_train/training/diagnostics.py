"""The diagnostics that a training file names: some measure each checkpoint, the others read the run at its end."""

from __future__ import annotations

import logging

from sftgen_train.diagnosing.running import Outcome, by_moment, require_probes
from sftgen_train.training.config import HarnessConfig, TrainingConfigError

logger = logging.getLogger(__name__)


def diagnostics_of(harness: HarnessConfig) -> tuple[list[str], list[str]]:
    """The diagnostics of each checkpoint, and those of the run at its end.

    Raises:
        TrainingConfigError: Nobody in this command can run one: there is no checkpoint, or no evaluation.
        SftgenError: One does not exist, cannot be loaded, or lacks its judge.
    """
    probes, at_end = by_moment(harness.harness_diagnostics)
    named = f"harness_diagnostics {', '.join(probes + at_end)}"
    if (probes or at_end) and not (harness.harness_tasks or harness.harness_tiers):
        raise TrainingConfigError(f"{named}: expected harness_tasks beside them")
    if (probes or at_end) and harness.harness_worker == "none" and harness.harness_form == "queue":
        raise TrainingConfigError(
            f"{named}: with harness_worker none nobody evaluates here; give "
            "them to `sftgen worker RUN --probe` and `sftgen diagnose RUN --only`"
        )
    if probes and harness.harness_form != "queue":
        raise TrainingConfigError(
            f"{named}: measured while a checkpoint is leased, which the form "
            f"{harness.harness_form!r} does not do; set harness_form: queue"
        )
    require_probes(probes)
    return probes, at_end


def tell_outcome(outcome: Outcome) -> None:
    """Name the diagnostics that failed; the scores stand."""
    for name, why in outcome.failed.items():
        logger.warning("diagnostic %r is left out: %s", name, why)
