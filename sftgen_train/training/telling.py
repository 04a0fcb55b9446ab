"""What a training says of its measurements: a line a measured step, and numbers in the trainer's own log."""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import CallbackHandler, PrinterCallback, ProgressCallback

from sftgen_judges.records.schema import printable
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.shards import Shard
from sftgen_train.results.run import in_one_line
from sftgen_train.training.tokens.watching import TokenWatch, Window

LOGGED = ("score", "truncated")
"""Metrics that reach the trainer's log; the run directory has all."""


class Teller:
    """Speaks for a callback, in the first process; all processes call `begin`, `step` and `end` together."""

    def __init__(self, callback: TrainerCallback, *, stop_at: float | None, lines: bool) -> None:
        """Nothing is said before `begin`.

        Args:
            callback: For which it speaks.
            stop_at: The token accuracy on repeated data at which the training is stopped.
            lines: Whether a person gets lines.
        """
        self._callback, self._lines, self._last = callback, lines, 0
        self._tokens = TokenWatch(stop_at)
        self._run: RunFolder | None = None
        self._logged: set[tuple[Any, str]] = set()
        self._read: tuple[int, ...] = ()
        self._window = ""
        self.seconds: dict[int, float] = {}
        """How long the evaluations of steps in this process took."""

    def begin(
        self, run: RunFolder, args: TrainingArguments, state: TrainerState, model: Any, shard: Shard | None
    ) -> None:
        """Begin; scores that the trainer's log already has are not logged again.

        Args:
            run: The run directory.
            args: The trainer's arguments.
            state: Its state.
            model: The model in training.
            shard: This process among those that train together.
        """
        self._run = run if state.is_world_process_zero else None
        self._last, self._read, self._window = state.max_steps, (), ""
        self._logged = {
            (entry.get("step"), name) for entry in state.log_history for name in entry if name.startswith("sftgen/")
        }
        self._tokens.begin(run, args, state, model, shard)

    def step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        """After a step: log its window of training tokens, if it closes one."""
        self._told(self._tokens.step(state, control), args, state, control)

    def end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        """After the last step: log the last window of training tokens."""
        self._told(self._tokens.end(state, control), args, state, control)

    def say(self, line: str) -> None:
        """Print a line, above a progress bar if there is one."""
        if self._lines and self._run:
            tqdm.write(printable(line))

    def enqueued(self, step: int, *, candidate: bool = False) -> None:
        """A checkpoint waits for a worker, or is kept to be chosen later."""
        what = "kept as a candidate" if candidate else "enqueued"
        self.say(f"{self._step(step)}: checkpoint {what}{self._of_tokens()}")

    def _told(
        self, window: Window | None, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        if window is None or self._run is None:
            return
        self._window = window.told()
        self._log(state.global_step, window.values(), args, state, control)
        if window.signal:
            row = next(row for row in window.rows if row["signal"])
            self.say(
                f"{self._step(state.global_step)}: token accuracy reached {row['accuracy']:.3f} on repeated data; "
                "more repetition is said to add nothing then (arXiv 2602.11149)"
            )

    def new_scores(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        """Log the scores that have come since, from this process or a worker, each at its own step."""
        if self._run is None:
            return
        try:
            facts = self._run.metrics.stat()
        except OSError:
            return
        if self._read == (facts.st_size, facts.st_mtime_ns):
            return
        self._read = (facts.st_size, facts.st_mtime_ns)
        fresh: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self._run.metric_rows():
            step = row.get("step")
            known = row.get("status") == "ok" and row.get("mean") is not None and row.get("metric") in LOGGED
            if known and step is not None and step <= state.global_step and (step, _name(row)) not in self._logged:
                fresh[step].append(row)
        for step, rows in sorted(fresh.items()):
            self._log(step, {_name(row): row["mean"] for row in rows}, args, state, control)
            if scores := in_one_line(rows):
                took = f" ({self.seconds[step]:.1f} s)" if step in self.seconds else ""
                self.say(f"{self._step(step)}: {scores}{took}{self._of_tokens()}")

    def how_to_read(self, *, waiting: int) -> None:
        """Say which command reads the run."""
        if self._run is None:
            return
        if waiting:
            self.say(f"{waiting} checkpoint{'s' * (waiting > 1)} to evaluate: sftgen worker {self._run.path}")
        self.say(f"to read the run: sftgen report {self._run.path}")

    def _step(self, step: int) -> str:
        return f"step {step} of {self._last}" if self._last > 0 else f"step {step}"

    def _of_tokens(self) -> str:
        said, self._window = self._window, ""
        return f"; {said}" if said else ""

    def _log(
        self,
        step: int,
        values: Mapping[str, float],
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
    ) -> None:
        """Give numbers to the trainer's history and to the callbacks that log elsewhere, at their own step.

        `Trainer.log` itself would close the means that TRL takes between two logs.
        """
        if not values:
            return
        self._logged |= {(step, name) for name in values}
        history = state.log_history
        epoch = {"epoch": state.epoch} if state.epoch is not None and step == state.global_step else {}
        ended = bool(history) and "train_runtime" in history[-1]  # what is read as the last entry stays the last
        history.insert(len(history) - ended, {**values, **epoch, "step": step})
        then = copy.copy(state)
        then.global_step = step
        for other in _others(self._callback):
            other.on_log(args, then, control, logs=dict(values))


def _name(row: Mapping[str, Any]) -> str:
    return f"sftgen/{row['task'].removeprefix('sftgen_')}/{row['metric']}"


def _others(callback: TrainerCallback) -> list[TrainerCallback]:
    """The trainer's other callbacks, without those that print.

    A callback is told neither its trainer nor the others, so the caller is looked for. Without one, there are none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, CallbackHandler):
            printing = (PrinterCallback, ProgressCallback)
            return [other for other in caller.callbacks if other is not callback and not isinstance(other, printing)]
        frame = frame.f_back  # type: ignore[assignment]
    return []
