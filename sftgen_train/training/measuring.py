"""Measuring the weights of a step: evaluating them in this process, or putting them into the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from transformers import TrainerState, TrainingArguments

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.shards import Shard, together
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.evaluation.evaluator import Evaluator, evaluate_in_memory, require_tasks, undisturbed
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.training.continuing import output_of
from sftgen_train.training.distributed import gathered_weights
from sftgen_train.training.telling import Teller

if TYPE_CHECKING:
    from sftgen_train.evaluation.colocated import ColocatedEngine

Form = Literal["queue", "in_process", "colocated"]


class Report(Protocol):
    """Told when something fails, which never ends the training."""

    def __call__(self, doing: str, step: int, error: Exception, *, missing: bool = True) -> None:
        """Report an error."""


class Measuring:
    """Which steps are due, which were measured, and how each is."""

    def __init__(
        self, suite: Suite, form: Form, engine_options: Mapping[str, Any], teller: Teller, report: Report
    ) -> None:
        """Load the tasks, if this process evaluates; check that they exist, if a worker does.

        Args:
            suite: What is evaluated when.
            form: How.
            engine_options: Arguments of vLLM's engine, in the form `colocated`.
            teller: Told what was enqueued, and how long an evaluation took.
            report: Told of errors.

        Raises:
            UnknownTaskError: A task that does not exist.
            DataError: Documents that cannot be read, in a form that evaluates in this process.
        """
        self._suite, self._form, self._engine_options = suite, form, engine_options
        self._teller, self._report = teller, report
        self._evaluator: Evaluator | None = None
        if form == "queue":  # the worker loads the documents
            require_tasks(suite)
        else:
            self._evaluator = Evaluator(suite)
        self._engine: ColocatedEngine | None = None
        self._run: RunFolder | None = None
        self._shard: Shard | None = None
        self.enqueuer: Enqueuer | None = None
        """The queue's end, in the first process of a training with the form `queue`."""
        self.known: Mapping[int, set[str]] = {}
        """Models that a step was measured with before this process."""
        self.measured: dict[int, bool] = {}
        """Steps that this process took up, and whether as the last one."""
        self.unsaved: int | None = None
        """A step that is due and that the trainer is about to save."""

    def begin(self, run: RunFolder, shard: Shard | None) -> None:
        """Begin a training.

        Args:
            run: The run directory.
            shard: This process among those that train together.
        """
        self._run, self._shard, self.measured, self.unsaved = run, shard, {}, None

    def due(self, step: int) -> bool:
        """Whether a step is due, in the first process's word: a plugin's schedule may fail in one of them."""
        due = self._suite.due(step)
        return bool(self._shard.gather(due)[0]) if self._shard and not self._suite.built_in else due

    def candidate(self, step: int, every: int | None = None) -> bool:
        """Whether a step that is not due is kept, to be chosen later: one of `every`, or any that the trainer saves."""
        return bool(self._suite.adaptive) and step > 0 and (every is None or step % every == 0)

    def measure_first(
        self, step: int, args: TrainingArguments, given: Mapping[str, Any], *, last: bool = False
    ) -> None:
        """Measure the weights that training begins or goes on with, unless that was done before a kill."""
        if self._form != "queue" or step == 0:
            self.measure(step, args, given, last=last)
            return
        saved = output_of(args) / f"checkpoint-{step}"

        def enqueued() -> bool:
            """Whether the step was enqueued from memory: its checkpoint is gone, or holds only shards."""
            return self.enqueuer is not None and not is_complete(saved) and self.enqueuer.has(step)

        if not together(self._shard, enqueued)[0]:
            self.enqueue_saved(step, saved, args, given, last=last)
        self.measured[step] = last

    def measure_last(self, args: TrainingArguments, state: TrainerState, given: Mapping[str, Any]) -> None:
        """Measure the last step, all tiers, unless that is done; transformers makes a step too many after its end."""
        step = state.global_step
        if step > state.max_steps or self.measured.get(step):
            return
        if step in self.measured:  # stopped early at a step that was due: some tiers are for the last step alone
            more = together(self._shard, lambda: self._suite.at(step, last=True) != self._suite.at(step))[0]
            if not more or (self._form == "queue" and together(self._shard, lambda: self._marked_last(step))[0]):
                self.measured[step] = True
                return
        self.measure(step, args, given, last=True)

    def _marked_last(self, step: int) -> bool:
        return self.enqueuer is not None and self.enqueuer.mark_last(step)

    def measure(
        self,
        step: int,
        args: TrainingArguments,
        given: Mapping[str, Any],
        *,
        last: bool = False,
        candidate: bool = False,
    ) -> None:
        """Evaluate, or put into the queue, the weights in training, as those of the step."""
        repeated = step in self.measured
        self._taken_up(step, last, candidate)
        if self._form != "queue":
            self._try("evaluation", step, lambda: self._evaluate(step, args, given, last=last, again=repeated))
            return

        def enqueue() -> None:
            weights = gathered_weights(given["model"])  # all processes together
            if self.enqueuer:
                self.enqueuer.add_from_memory(
                    step, given["model"], given["processing_class"], last=last, candidate=candidate, weights=weights
                )
                self._teller.enqueued(step, candidate=candidate)

        self._try("enqueueing", step, enqueue)

    def _taken_up(self, step: int, last: bool, candidate: bool) -> None:
        if not candidate:  # a candidate at which the training stops is still to be measured
            self.measured[step], self.unsaved = last, None

    def enqueue_saved(
        self,
        step: int,
        checkpoint: Path,
        args: TrainingArguments,
        given: Mapping[str, Any],
        *,
        last: bool,
        candidate: bool = False,
    ) -> None:
        """Enqueue a saved checkpoint; one that holds only shards is enqueued from memory."""
        enqueuer = self.enqueuer
        if together(self._shard, lambda: enqueuer is not None and is_complete(checkpoint))[0]:
            self._taken_up(step, last, candidate)

            def enqueue() -> None:
                if enqueuer:
                    enqueuer.add(step, checkpoint, last=last, candidate=candidate)
                    self._teller.enqueued(step, candidate=candidate)

            self._try("enqueueing", step, enqueue)
        else:
            self.measure(step, args, given, last=last, candidate=candidate)

    def _evaluate(
        self, step: int, args: TrainingArguments, given: Mapping[str, Any], *, last: bool, again: bool
    ) -> None:
        assert self._run
        assert self._evaluator
        started = time.perf_counter()
        evaluate_in_memory(
            self._evaluator,
            self._run,
            step,
            model=given["model"],
            tokenizer=given["processing_class"],
            precision=_precision(args),
            last=last,
            shard=self._shard,
            engine=self._engine,
            known=() if again else self.known.get(step, ()),
        )
        self._teller.seconds[step] = time.perf_counter() - started

    def start_engine(self, args: TrainingArguments, given: Mapping[str, Any]) -> None:
        """Start the engine that generates, in the form `colocated`."""
        from sftgen_train.evaluation.colocated import ColocatedEngine

        with undisturbed(given["model"]):
            self._engine = ColocatedEngine(
                given["model"],
                given["processing_class"],
                precision=_precision(args),
                options=self._engine_options,
                seed=self._suite.seed,
                shard=self._shard,
            )

    def stop_engine(self) -> None:
        """Give the engine's memory back, if there is one."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()

    def _try(self, doing: str, step: int, action: Callable[[], object]) -> None:
        """Do something beside the training, which is worth more than one point of a curve."""
        try:
            action()
        except Exception as error:
            self._report(doing, step, error)


def _precision(args: TrainingArguments) -> torch.dtype | None:
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
