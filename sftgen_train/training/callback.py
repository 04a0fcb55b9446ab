"""Evaluation beside a trainer: `HarnessCallback` for any `transformers.Trainer`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal, get_args

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.sampling import check_settings
from sftgen_tasks.harness.shards import together
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.training import continuing
from sftgen_train.training.distributed import shard
from sftgen_train.training.failures import Failures
from sftgen_train.training.measuring import Form, Measuring
from sftgen_train.training.requirements import (
    CallbackError,
    require_generator,
    require_template,
    require_whole_model,
)
from sftgen_train.training.settings import beside_of, defaults_of, settings_of
from sftgen_train.training.telling import Teller
from sftgen_train.trajectory.deltas import parse_deltas


def _never_ends_training(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook that reports whatever goes wrong in it: an exception of a callback would end the training."""

    @wraps(hook)
    def safe(
        self: HarnessCallback, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._try(hook.__name__, state.global_step, lambda: hook(self, args, state, control, **kwargs), missing=False)

    return safe


class HarnessCallback(TrainerCallback):
    """Measures checkpoints with the harness, the base model and the last step always included.

    In the form `queue` it leases the checkpoint against deletion, adds an entry to the run's queue and returns. At a
    step that the trainer does not save, it writes the weights into a lease. `sftgen worker RUN` evaluates in another
    process, now or later. In the form `in_process` training waits for the evaluation. Afterwards model mode, random
    number generators and generation settings are restored: the trained weights are the same, bit for bit, with and
    without it. In the form `colocated` a vLLM engine in this process generates, and sleeps between the evaluations.
    Before each one, engine and model must give a probe text the same probabilities.

    In every form, an evaluation that fails is reported and recorded, and training goes on.

    Example:
        >>> trainer.add_callback(HarnessCallback(tasks=["sftgen_countdown"], at_steps=[5, 10, 20]))
    """

    def __init__(
        self,
        tasks: Sequence[str] = (),
        *,
        at_steps: Sequence[int] | Literal["adaptive"] | None = None,
        every: int | None = None,
        schedule: str | None = None,
        max_evaluations: int = 16,
        limit: int | None = None,
        tiers: Sequence[Tier] = (),
        form: Form = "queue",
        engine: Mapping[str, Any] | None = None,
        batch_size: int = 16,
        metadata: Mapping[str, Any] | None = None,
        gen_kwargs: Mapping[str, Any] | None = None,
        in_domain: Sequence[str] = (),
        delta: str | float | None = None,
        chat_template: bool = True,
        run_dir: str | Path | None = None,
        seed: int = 0,
        stop_at_token_accuracy: float | None = None,
        lines: bool = True,
    ) -> None:
        """Check the tasks before training, and load them once if this process evaluates.

        In the form `queue` the worker loads the documents, and reports missing ones.

        Args:
            tasks: Task and group names.
            at_steps: Steps to evaluate at. With `adaptive`, in the form `queue`, those of the default schedule; then
                further ones between two of them where a score or a length moved most. Their weights are kept till then.
            every: Or the number of steps between two evaluations. With `adaptive` every so many steps the weights are
                kept; without it those that the trainer saves are.
            max_evaluations: With `adaptive`, how many steps are evaluated at most.
            schedule: Or a registered schedule, as `NAME` or `NAME:ARGUMENTS`. The default is `log-spaced`:
                0, 5, 10, 20, 40, 80, ...
            limit: Documents a task, None for all.
            tiers: Further tasks with steps and limits of their own, for example the full suite at few steps.
            form: `queue`, `in_process` or `colocated`.
            engine: Arguments of vLLM's engine for `colocated`, for example `{"gpu_memory_utilization": 0.2}`.
            batch_size: Prompts generated together; vLLM decides for itself.
            metadata: Handed to the tasks, as `lm_eval --metadata` does.
            gen_kwargs: Settings over the tasks' own, for example `{"max_gen_toks": 512}`.
            in_domain: Those of the tasks that training is about; only the report uses this.
            delta: The loss that does not matter, named before training, as `0.02` or `0.02,TASK=0.05`. Verdicts use
                it (docs/trajectories.md); 0.02 by default.
            chat_template: Whether prompts go through the tokenizer's chat template.
            run_dir: Where results go; the trainer's `output_dir` by default.
            seed: Seed of sampled responses.
            stop_at_token_accuracy: Stops the training when the model predicts this share of the training tokens right
                on data that it has seen before; 0.995 is the published signal. None only reports.
            lines: Whether a line a measured step is printed, and at the end how to read the run.

        Raises:
            CallbackError: An unknown form, or `colocated` without vLLM.
            ScheduleError: An impossible schedule.
            DeltaError: A delta that is no number from 0 to 1.
            UnknownTaskError: A task that does not exist.
            RepeatedTaskError: A task that one tier names twice, for example by a group too.
            DataError: An option that a task does not have, or documents that cannot be read, in a form that evaluates
                in this process.
        """
        if form not in get_args(Form):
            raise CallbackError(f"form {form!r}: expected one of {', '.join(get_args(Form))}")
        if form == "colocated" and importlib.util.find_spec("vllm") is None:
            raise CallbackError("form='colocated' needs vLLM, which is not installed: pip install 'sftgen[vllm]'")
        if stop_at_token_accuracy is not None and not 0 < stop_at_token_accuracy <= 1:
            raise CallbackError(
                f"stop_at_token_accuracy={stop_at_token_accuracy}: expected a share above 0 and up to 1"
            )
        if engine and form != "colocated":
            raise CallbackError(f"engine={dict(engine)} is for form='colocated' only, and the form is {form!r}")
        named = None if at_steps == "adaptive" else at_steps
        adaptive = at_steps == "adaptive"
        if adaptive and (form != "queue" or schedule is not None or not tasks):
            raise CallbackError(
                "at_steps='adaptive' keeps weights to choose from: expected form='queue', tasks, and no schedule"
            )
        if adaptive and (max_evaluations < 3 or (every is not None and every < 1)):
            raise CallbackError(
                f"max_evaluations={max_evaluations}, every={every}: expected at least 3 evaluations, and 1 step"
            )
        self._kept_every = every if adaptive else None
        every = None if adaptive else every
        first = [Tier(list(tasks), named, every, limit, schedule)] if tasks or not tiers else []
        self.suite = Suite(
            [*first, *tiers], dict(metadata or {}), dict(gen_kwargs or {}), chat_template, batch_size, seed,
            adaptive=max_evaluations if adaptive else 0,
        )  # fmt: skip
        check_settings({"in_process": "sftgen-hf", "colocated": "sftgen-vllm"}.get(form, ""), self.suite.gen_kwargs)
        self._form, self._in_domain = form, list(in_domain)
        self._deltas = parse_deltas("" if delta is None else str(delta))
        self._run_dir = Path(run_dir) if run_dir else None
        self._run: RunFolder | None = None
        self._failures: Failures | None = None
        self._teller = Teller(self, stop_at=stop_at_token_accuracy, lines=lines)
        self._measuring = Measuring(self.suite, form, dict(engine or {}), self._teller, self._report)
        self.model_follows = False
        """Whether the final model is still to be written when the trainer has ended: the training ends with that."""
        self.training_data: Mapping[str, Any] = {}
        """What the manifest says of the training data; empty where somebody else made the trainer."""
        self.fields: Mapping[str, Any] = {}
        """Fields beside the trainer's arguments that the weights depend on; a training goes on with the same ones."""
        self.report_follows = False
        """Whether the run is read as soon as training has ended: nobody needs to be told how."""

    # ------------------------------------------------------------------------------ what the trainer calls

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check what training was started with, then measure the base model, or the step that training goes on from.

        Raises:
            SftgenError: The model, the tokenizer or the run directory cannot be used.
        """
        step, first = state.global_step, state.is_world_process_zero
        measuring, together_with = self._measuring, shard()
        self._run = run = RunFolder(self._run_dir or continuing.output_of(args))
        self._failures = Failures(run, self.suite.tasks, first=first)

        def begin() -> dict[int, set[str]]:
            require_generator(kwargs["model"])
            require_template(kwargs.get("processing_class"), self.suite.chat_template)
            if self._form != "queue":
                require_whole_model(kwargs["model"])
            return self._begin_run(run, args, state, kwargs) if first else {}

        measuring.begin(run, together_with)
        measuring.known = together(together_with, begin)[0]
        self._aside("watching the training", step, self._teller.begin, run, args, state, kwargs["model"], together_with)
        if self._form == "colocated":
            measuring.start_engine(args, kwargs)
        last = step >= state.max_steps
        # On going on, the weights are those of the step: what was not measured before a kill is measured now.
        if step <= state.max_steps and (last or measuring.due(step)):
            measuring.measure_first(step, args, kwargs, last=last)
        self._aside("logging scores", step, self._teller.new_scores, args, state, control)

    @_never_ends_training
    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure a due step that the trainer did not save after all; its weights are still there."""
        if self._measuring.unsaved == state.global_step:
            self._measuring.measure(state.global_step, args, kwargs)

    @_never_ends_training
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """When the step is due: evaluate, or put its weights into the queue. The last step comes with `on_log`."""
        step = state.global_step
        self._aside("counting training tokens", step, self._teller.step, args, state, control)
        measuring = self._measuring
        if measuring.enqueuer and step <= state.max_steps:
            self._aside("telling the workers", step, measuring.enqueuer.progress, step, state.max_steps)
        if step >= state.max_steps:
            return
        if not measuring.due(step):
            if self._kept_every and measuring.candidate(step, self._kept_every) and not control.should_save:
                measuring.measure(step, args, kwargs, candidate=True)
            return
        if self._form == "queue" and control.should_save:  # the trainer saves, then calls `on_save`
            measuring.unsaved = step
        else:
            measuring.measure(step, args, kwargs)
            self._teller.new_scores(args, state, control)

    @_never_ends_training
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Lease and enqueue the checkpoint that was just written, when its step is due."""
        step = state.global_step
        last = step >= state.max_steps
        if self._form != "queue" or step > state.max_steps or step in self._measuring.measured:
            return
        due = last or self._measuring.due(step)
        if due or self._measuring.candidate(step):
            saved = continuing.output_of(args) / f"checkpoint-{step}"
            self._measuring.enqueue_saved(step, saved, args, kwargs, last=last, candidate=not due)

    @_never_ends_training
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Measure the last step, also when training was stopped early.

        The trainer logs its run time when training has ended, and puts back the best checkpoint only then
        (`load_best_model_at_end`).
        """
        if logs and "train_runtime" in logs:
            self._measuring.measure_last(args, state, kwargs)
        self._teller.new_scores(args, state, control)

    @_never_ends_training
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close what is open, and tell the workers that no more will come."""
        step = state.global_step
        measuring = self._measuring
        if step > state.max_steps or step in measuring.measured:
            measuring.measure_last(args, state, kwargs)
        elif args.load_best_model_at_end and state.best_model_checkpoint:
            lost = CallbackError("the trainer put back its best checkpoint before the step was measured")
            self._report("evaluation", step, lost)
        else:
            measuring.measure_last(args, state, kwargs)
        self._aside("stopping the engine", step, measuring.stop_engine)
        self._aside("counting training tokens", step, self._teller.end, args, state, control)
        if state.is_world_process_zero:
            self._aside("closing the run directory", step, self._end_run, step)
        if self._failures:
            self._failures.close()
        self._aside("logging scores", step, self._teller.new_scores, args, state, control)
        if not self.report_follows:
            self._teller.how_to_read(waiting=measuring.enqueuer.waiting() if measuring.enqueuer else 0)

    # ------------------------------------------------------------------------------ the run directory

    def _begin_run(
        self, run: RunFolder, args: TrainingArguments, state: TrainerState, given: Mapping[str, Any]
    ) -> dict[int, set[str]]:
        """Make the run directory this training's, in the first process only; returns the models of measured steps."""
        run.require_writable()
        enqueuer = Enqueuer(run.path, self.suite) if self._form == "queue" else None
        settings = continuing.Settings(
            settings_of(args, given, self.suite, self.fields), beside_of(args), defaults_of(args)
        )
        try:
            known = continuing.take(run, settings, state.global_step, continuing.output_of(args), enqueuer)
            run.update_manifest(
                model=getattr(given["model"].config, "_name_or_path", "") or type(given["model"]).__name__,
                tasks=self.suite.tasks,
                in_domain=self._in_domain,
                delta=self._deltas.to_dict(),
                schedule=[{"tasks": list(t.tasks), "when": t.when, "limit": t.limit} for t in self.suite.tiers],
                evaluation=self._form,
                seeds={"training": args.seed, "sampling": self.suite.seed},
                max_steps=state.max_steps,
                **({"training_data": self.training_data} if self.training_data else {}),
            )
        except OSError as error:
            raise RecordError(
                f"run directory {str(run.path)!r} cannot be written: {error.strerror or error}; "
                "make room, or choose another"
            ) from error
        self._measuring.enqueuer = enqueuer
        return known

    def _end_run(self, step: int) -> None:
        assert self._run
        try:
            if self._measuring.enqueuer:
                self._measuring.enqueuer.end(step)
            else:
                self._run.compact()
            if not self.model_follows:
                continuing.end(self._run, ended=step)
        finally:
            if not self.model_follows:
                continuing.release(self._run)

    # ------------------------------------------------------------------------------ failures

    def _try(self, doing: str, step: int, action: Callable[[], object], *, missing: bool = True) -> None:
        """Do something beside the training, which is worth more than one point of a curve."""
        try:
            action()
        except Exception as error:
            self._report(doing, step, error, missing=missing)

    def _aside(self, doing: str, step: int, action: Callable[..., object], *given: Any) -> None:
        """The same for what no score hangs on."""
        self._try(doing, step, partial(action, *given), missing=False)

    def _report(self, doing: str, step: int, error: Exception, *, missing: bool = True) -> None:
        if self._failures:
            self._failures.report(doing, step, error, missing=missing)
