"""What a worker generates with, and how it goes through a queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftgen_judges.plugins.contracts import Diagnostic
from sftgen_train.checkpoints.retention import Rule

BEHIND = 1
"""So many checkpoints of a worker are graded while it generates the next: what they answered is in memory."""


@dataclass(frozen=True)
class Backend:
    """What generates.

    Attributes:
        model: Name of an lm_eval model that takes `pretrained`.
        model_args: Further arguments of it.
        fresh: Whether vLLM starts a fresh engine for each checkpoint, also where its weights could be replaced.
    """

    model: str = "sftgen-hf"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False

    def never_kept(self, probes: Sequence[Diagnostic]) -> str:
        """Why no engine is kept from checkpoint to checkpoint; empty where one may be."""
        if self.fresh:
            return "fresh engines were asked for"
        return "diagnostics load the weights beside it" if probes else ""


@dataclass(frozen=True)
class Policy:
    """How a worker goes through a queue.

    Attributes:
        newest_first: Take the newest checkpoint first, else in order.
        behind: Skip the oldest while more than so many wait. The base model and the last step are never skipped.
        attempts: Tries before a checkpoint counts as failed.
        keep: Steps whose weights are kept after evaluation, or a rule for them; for other steps `leases/step-N` is
            removed. By the rule `verdict` that happens when the verdict is in.
        first: Steps to take before others, in this order.
        workers: How many workers empty the queue together, as far as that is known.
        wait: Whether to wait for more while the training runs, and for a training that has not begun.
        probes: Names of diagnostics of level `checkpoint` that run on each checkpoint once it is evaluated.
    """

    newest_first: bool = False
    behind: int | None = None
    attempts: int = 2
    keep: Collection[int] | Rule = ()
    wait: bool = True
    probes: Sequence[str] = ()
    first: Sequence[int] = ()
    workers: int = 1

    def keeps(self, step: int) -> bool | None:
        """Whether the weights of a step stay; None where a rule says so, when more is known."""
        return None if isinstance(self.keep, Rule) else step in self.keep
