"""Watches the tokens of the training batches by a hook on the model in training, and closes a window at each log.

The hook adds small tensors on the device; processes bring theirs together when a window is closed. It counts a forward
pass of training only: not those of evaluations, of generation, of a reference model or of a teacher.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle
from transformers import TrainerControl, TrainerState, TrainingArguments

from sftgen_judges.records.manifest import now
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.shards import Shard, together
from sftgen_train.diagnosing.running import write_findings
from sftgen_train.diagnosing.training_tokens import REACHED, TRAINING_TOKENS, findings_of, named
from sftgen_train.training.tokens.counting import Counts, Tally, summed
from sftgen_train.training.tokens.outputs import Source, UnreadError, is_fused, read, source_of
from sftgen_train.training.tokens.rising import Seen

LONGEST_WINDOW = 50
"""Steps after which a window is closed though the trainer does not log."""
FOUND_EVERY = 60.0
"""Seconds between two writings of the finding, for who reads the run while it is trained."""
MOST_HELD = 64
"""Forward passes whose samples may stand on the device."""
KNOWN = 0.95
"""Share of the sampled tokens that were seen before, from which on the data count as repeated within an epoch."""
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
LOGGED = ("accuracy", "p50", "p95", "rising")
"""Those numbers of a window that reach the trainer's log."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Window:
    """Some steps of a training, as the trainer's log and a person get them.

    Attributes:
        rows: A row for each kind of token.
        signal: Whether repeated data are known by heart now, for the first time.
    """

    rows: tuple[Row, ...]
    signal: bool = False

    def values(self) -> dict[str, float]:
        """The numbers for the trainer's log, by name."""
        return {
            f"sftgen/{TRAINING_TOKENS.name}/{named(row['kind'], name)}": row[name]
            for row in self.rows
            for name in LOGGED
            if row.get(name) is not None
        }

    def told(self) -> str:
        """Its accuracy in a few words; empty where there is none."""
        return ", ".join(
            f"{'training' if row['kind'] == 'trained' else row['kind']} tokens right {row['accuracy']:.3f}"
            for row in self.rows
            if row.get("accuracy") is not None and row["kind"] != "rejected"
        )


class TokenWatch:
    """The tokens of one training."""

    def __init__(self, stop_at: float | None = None) -> None:
        """Nothing is watched before `begin`.

        Args:
            stop_at: The token accuracy on repeated data at which the training is stopped; None only reports.
        """
        self._stop_at = stop_at
        self._hook: RemovableHandle | None = None
        self._source = Source(())
        self._tallies: dict[str, Tally] = {}
        self._parts: dict[str, list[Counts]] = {}
        self._seen: dict[str, Seen] = {}
        self._problem: Exception | None = None
        self._unread: dict[str, int] = defaultdict(int)
        self._run: RunFolder | None = None
        self._shard: Shard | None = None
        self._rows: list[Row] = []
        self._unwritten: list[Row] = []
        self._closed = 0
        self._epoch = 0.0
        self._told = self._stops = False
        self._found_at = time.monotonic()

    @property
    def watches(self) -> bool:
        """Whether there is something to count."""
        return self._run is not None and bool(self._source.kinds)

    def begin(
        self, run: RunFolder, args: TrainingArguments, state: TrainerState, model: Any, shard: Shard | None
    ) -> None:
        """Begin to watch a model. Rows of later steps, from before a kill, are removed from the run.

        Args:
            run: Where rows go.
            args: Of the trainer; their kind says where the tokens are.
            state: Of the trainer.
            model: The model in training, as the trainer calls it or inside its wrapper.
            shard: This process among those that train together. All of them call this, `step` and `end`.
        """
        self.stop()
        self._run, self._shard, self._closed = run, shard, state.global_step
        self._source, self._problem, self._epoch = source_of(args, model), None, state.epoch or 0.0
        self._told = self._stops = False
        self._unwritten = []
        self._unread.clear()
        kinds = self._source.kinds
        self._tallies = {kind: Tally() for kind in kinds}
        self._parts = {kind: [] for kind in kinds}
        self._seen = {kind: Seen() for kind in kinds}
        if kinds:
            self._hook = model.register_forward_hook(self._hooked, with_kwargs=True)
        self._rows = run.begin_training_tokens(state.global_step) if state.is_world_process_zero else []
        self._told = any(row.get("signal") for row in self._rows)

    def stop(self) -> None:
        """Take the hook off the model."""
        if self._hook:
            self._hook.remove()
            self._hook = None

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves out the types
    def _hooked(self, model: Any, args: tuple[Any, ...], given: Mapping[str, Any], output: Any) -> None:
        """What the model calls after each forward pass. It changes nothing and raises nothing."""
        learns = torch.is_grad_enabled() or (self._source.without_gradients and is_fused(output))
        if self._problem or not model.training or not learns:
            return
        try:
            with torch.no_grad():
                tokens = read(args, given, output)
                parts = tokens.parts(len(self._tallies))
                for (kind, tally), part in zip(self._tallies.items(), parts, strict=True):
                    tally.add(part)
                    if len(tally) >= MOST_HELD:
                        self._parts[kind].append(tally.take())
        except UnreadError as error:
            self._unread[str(error)] += 1
        except Exception as error:  # of the device or of a model that nobody knows: training goes on
            self._problem = error

    def step(self, state: TrainerState, control: TrainerControl) -> Window | None:
        """After a step: close the window if the trainer logs now, or has not for long.

        Raises:
            Exception: Tokens could not be counted, in this process or in another; nothing more is counted then.
        """
        due = control.should_log or state.global_step - self._closed >= LONGEST_WINDOW
        return self._close(state, control) if due and self.watches else None

    def end(self, state: TrainerState, control: TrainerControl) -> Window | None:
        """After the last step: close the last window, and write what was found.

        Raises:
            Exception: As `step`; or the run directory cannot be written.
        """
        self.stop()
        if self._run is None:
            return None
        more = self.watches and state.global_step > self._closed
        window = self._close(state, control) if more else None
        if state.is_world_process_zero:
            if not self._rows:
                self._write([self._why_not(state)])
            self.write_found()
        self._run = None
        return window

    def write_found(self) -> None:
        """Write what all windows so far show as findings of the run."""
        self._found_at = time.monotonic()
        if self._run and self._rows:
            write_findings(self._run, TRAINING_TOKENS, findings_of(self._rows), None)

    # ------------------------------------------------------------------------------ one window

    def _close(self, state: TrainerState, control: TrainerControl) -> Window | None:
        try:
            held = together(self._shard, self._take)
        except Exception:
            self.stop()
            self._source = Source((), reason="the tokens could not be counted; the log says why")
            raise
        about = {"first_step": self._closed + 1, "step": state.global_step, "epoch": state.epoch, "at": now()}
        self._closed = state.global_step
        rows = []
        for kind in self._source.kinds:
            counts = summed(part[kind] for part in held)
            if counts.tokens:
                rows.append({"kind": kind, **about, **self._numbers(kind, counts)})
        self._epoch = state.epoch or 0.0
        if self._stops:
            control.should_training_stop = True
        signal = not self._told and any(row["signal"] for row in rows)
        self._told = self._told or signal
        if state.is_world_process_zero:
            self._write(rows)
            if time.monotonic() - self._found_at > FOUND_EVERY:
                self.write_found()
        return Window(tuple(rows), signal) if rows else None

    def _take(self) -> dict[str, Counts]:
        if self._problem:
            raise self._problem
        taken = {kind: summed([*self._parts[kind], tally.take()]) for kind, tally in self._tallies.items()}
        self._parts = {kind: [] for kind in self._tallies}
        return taken

    def _numbers(self, kind: str, counts: Counts) -> Row:
        finite = counts.tokens - counts.not_finite
        accuracy = counts.right / counts.tokens if self._source.right and counts.right is not None else None
        again = self._seen[kind].compare(counts)
        # Prompts that begin alike are not repeated data. After a resume the sample is empty, and the epochs go on.
        repeated = again.again > KNOWN * again.sampled or self._epoch >= 1
        known = accuracy if repeated and accuracy is not None and kind == "trained" else 0.0
        if self._stop_at is not None and known >= self._stop_at:
            self._stops = True
        return {
            "tokens": counts.tokens,
            "right": counts.right if accuracy is not None else None,
            "accuracy": accuracy,
            "loss": counts.loss / finite if finite else None,
            **{name: counts.quantile(share) if finite else None for name, share in QUANTILES.items()},
            "not_finite": counts.not_finite,
            "sampled": again.sampled,
            "again": again.again,
            "rising": again.rising,
            "falling": again.falling,
            "signal": known >= REACHED,
        }

    def _write(self, rows: list[Row]) -> None:
        """Keep rows, and write them; those that a full disk does not take come with the next."""
        self._rows += rows
        self._unwritten += rows
        if self._run and self._unwritten:
            about = {"run": self._run.run_id()}
            self._run.append(self._run.training_tokens, [{**about, **row} for row in self._unwritten])
            self._unwritten = []

    def _why_not(self, state: TrainerState) -> Row:
        seen = max(self._unread, key=self._unread.__getitem__, default="")
        reason = self._source.reason or seen or "no forward pass of training was seen"
        return {"kind": "none", "step": state.global_step, "tokens": 0, "reason": reason, "at": now()}
