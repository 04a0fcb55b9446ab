"""How far a training is: one line, in place of the trainer's bar and its dictionaries."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from sftgen_judges.progress import More, duration, stage

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)


class TrainingLine(TrainerCallback):
    """Shows step, loss and the time that is left; the first process only.

    `disable_tqdm` hides the bar. Every loss is in the trainer's own log, which trackers and checkpoints have.
    """

    def __init__(self) -> None:
        self._stage = ExitStack()
        self._more: More | None = None
        self._note = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the line."""
        if state.is_world_process_zero:
            left = state.max_steps - state.global_step
            self._more = self._stage.enter_context(stage("training", left, hidden=bool(args.disable_tqdm)))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One step more."""
        if self._more:
            self._more(1, self._note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the loss for the line; at the end say what the training came to."""
        if not self._more or not logs:
            return
        if isinstance(loss := logs.get("loss"), int | float | str):
            self._note = f"loss {float(loss):.3f}"
        if "train_runtime" in logs:
            self.close()
            took = duration(float(logs["train_runtime"]))
            steps = f"{state.global_step} step{'s' * (state.global_step != 1)}"
            logger.info("%s", ", ".join(filter(None, [f"trained {steps} in {took}", self._note])))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the line."""
        self.close()

    def close(self) -> None:
        """End the line, also where the training failed."""
        self._more = None
        self._stage.close()


def in_one_line(trainer: Trainer) -> None:
    """Let a trainer show its progress in one line."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(TrainingLine())
