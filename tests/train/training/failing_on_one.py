"""Two processes train; at each step the evaluation fails in another place, in one of them only.

Call it under `accelerate launch` as `failing_on_one.py MODEL FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from sftgen_tasks.harness import evaluation
from sftgen_train.evaluation import evaluator
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.training.callback import HarnessCallback
from tests.train.training.test_last_step import QUICK, plain

# In which process what fails at which step. Two tiers, so that more is shared after what fails.
PLACES: dict[int, tuple[int, Any, str]] = {
    1: (1, evaluator, "RecordingHFLM"),
    2: (0, evaluator, "RecordingHFLM"),
    3: (1, evaluator, "identity_in_memory"),
    4: (0, evaluation, "record_documents"),
    5: (1, evaluation, "task_result"),
    6: (1, evaluation, "_found"),
    7: (0, evaluator, "add_results"),
}
LAST = 8


class Fails(TrainerCallback):
    """Puts a failure in its place, for one step."""

    def __init__(self) -> None:
        self.real: list[tuple[Any, str, Any]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        while self.real:
            setattr(*self.real.pop())
        process, owner, name = PLACES.get(state.global_step, (None, None, ""))
        if process == dist.get_rank():
            self.real.append((owner, name, getattr(owner, name)))
            setattr(owner, name, _cannot_be_sent if name == "_found" else _raises)


def _raises(*given: Any, **named: Any) -> Any:
    raise MemoryError("only here")


def _cannot_be_sent(*given: Any, **named: Any) -> Any:
    return lambda: None


def main(model: Path, folder: Path) -> None:
    """Train evaluating inside, then with the queue."""
    tiers = [Tier(["sftgen_refusal"], every=1, limit=3)]
    callback = HarnessCallback(["sftgen_parity"], every=1, tiers=tiers, form="in_process", **QUICK)
    fields = {"max_steps": LAST, "save_strategy": "no", "per_device_train_batch_size": 1}
    plain(model, folder / "in_process", [Fails(), callback], **fields).train()
    if dist.get_rank():  # as if a plugin's schedule could not be asked in this process
        Suite.due = lambda self, step: False  # type: ignore[method-assign]
    Suite.built_in = False  # type: ignore[assignment,method-assign]
    Enqueuer.add = _raises  # type: ignore[method-assign]
    callback = HarnessCallback(["sftgen_parity"], every=1, form="queue", **QUICK)
    saved = {**fields, "save_strategy": "steps", "save_steps": 2, "max_steps": 3}
    plain(model, folder / "queue", [callback], **saved).train()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
