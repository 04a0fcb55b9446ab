"""Evaluation beside a trainer: `HarnessCallback` for any `transformers.Trainer`."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from accelerate.utils import extract_model_from_parallel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.sampling import check_settings
from sftgen_tasks.harness.shards import Shard
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.evaluation.evaluator import Evaluator, evaluate_in_memory, require_tasks, undisturbed
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.results.run import in_one_line
from sftgen_train.training.distributed import first_says, gathered_weights, shard, sharding

if TYPE_CHECKING:
    from sftgen_train.evaluation.colocated import ColocatedEngine

logger = logging.getLogger(__name__)

Form = Literal["queue", "in_process", "colocated"]


class CallbackError(SftgenError, ValueError):
    """The callback was given something that it cannot use."""


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
        at_steps: Sequence[int] | None = None,
        every: int | None = None,
        schedule: str | None = None,
        limit: int | None = None,
        tiers: Sequence[Tier] = (),
        form: Form = "queue",
        engine: Mapping[str, Any] | None = None,
        batch_size: int = 16,
        metadata: Mapping[str, Any] | None = None,
        gen_kwargs: Mapping[str, Any] | None = None,
        in_domain: Sequence[str] = (),
        chat_template: bool = True,
        run_dir: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        """Check the tasks before training, and load them once if this process evaluates.

        In the form `queue` the worker loads the documents, and reports missing ones.

        Args:
            tasks: Task and group names.
            at_steps: Steps to evaluate at.
            every: Or the number of steps between two evaluations.
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
            chat_template: Whether prompts go through the tokenizer's chat template.
            run_dir: Where results go; the trainer's `output_dir` by default.
            seed: Seed of sampled responses.

        Raises:
            CallbackError: An unknown form, or `colocated` without vLLM.
            ScheduleError: An impossible schedule.
            UnknownTaskError: A task that does not exist.
            RepeatedTaskError: A task that one tier names twice, for example by a group too.
            DataError: An option that a task does not have, or documents that cannot be read, in a form that evaluates
                in this process.
        """
        if form not in get_args(Form):
            raise CallbackError(f"form {form!r}: expected one of {', '.join(get_args(Form))}")
        if form == "colocated" and importlib.util.find_spec("vllm") is None:
            raise CallbackError("form='colocated' needs vLLM, which is not installed: pip install 'sftgen[vllm]'")
        if engine and form != "colocated":
            raise CallbackError(f"engine={dict(engine)} is for form='colocated' only, and the form is {form!r}")
        first = [Tier(list(tasks), at_steps, every, limit, schedule)] if tasks or not tiers else []
        self.suite = Suite(
            [*first, *tiers], dict(metadata or {}), dict(gen_kwargs or {}), chat_template, batch_size, seed
        )
        check_settings({"in_process": "sftgen-hf", "colocated": "sftgen-vllm"}.get(form, ""), self.suite.gen_kwargs)
        self._evaluator: Evaluator | None = None
        if form == "queue":  # the worker loads the documents
            require_tasks(self.suite)
        else:
            self._evaluator = Evaluator(self.suite)
        self._form, self._in_domain = form, list(in_domain)
        self._engine_options = dict(engine or {})
        self._engine: ColocatedEngine | None = None
        self._run_dir = Path(run_dir) if run_dir else None
        self._run: RunFolder | None = None
        self._enqueuer: Enqueuer | None = None
        self._done: set[int] = set()
        self._shard: Shard | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check what training was started with, then evaluate or enqueue the base model."""
        fresh, first = state.global_step == 0, state.is_world_process_zero
        # All processes gather together, also those that do not enqueue.
        weights = gathered_weights(kwargs["model"]) if fresh and self._form == "queue" else None
        run = RunFolder(self._run_dir or Path(args.output_dir or "trainer_output"))
        _require_generator(kwargs["model"])
        _require_template(kwargs.get("processing_class"), self.suite.chat_template)
        if first:
            run.require_writable()
        if self._form != "queue":
            self._begin_evaluating(run, args, state, kwargs)
        elif first:
            self._begin_queue(run, args, state)
        if first:
            run.update_manifest(
                model=getattr(kwargs["model"].config, "_name_or_path", "") or type(kwargs["model"]).__name__,
                tasks=self.suite.tasks,
                in_domain=self._in_domain,
                schedule=[{"tasks": list(t.tasks), "when": t.when, "limit": t.limit} for t in self.suite.tiers],
                evaluation=self._form,
                seeds={"training": args.seed, "sampling": self.suite.seed},
                max_steps=state.max_steps,
            )
        if fresh and self._enqueuer:
            self._enqueuer.add_from_memory(0, kwargs["model"], kwargs["processing_class"], weights=weights)
        elif fresh:
            self._evaluate(0, args, kwargs)

    def _begin_queue(self, run: RunFolder, args: TrainingArguments, state: TrainerState) -> None:
        """Open the queue, in the first process only."""
        enqueuer = Enqueuer(run.path, self.suite)
        if state.global_step == 0 and enqueuer.known_steps():
            raise RecordError(_not_empty(run, f"queued checkpoints of steps {enqueuer.known_steps()}"))
        enqueuer.begin(Path(args.output_dir or "trainer_output"), state.global_step)
        self._enqueuer = enqueuer

    def _begin_evaluating(
        self, run: RunFolder, args: TrainingArguments, state: TrainerState, given: Mapping[str, Any]
    ) -> None:
        """Prepare the evaluations of this process; all processes call it together."""
        _require_whole_model(given["model"])
        self._run, self._done, self._shard = run, run.evaluated_steps(), shard()
        if self._done and state.global_step == 0:
            raise RecordError(_not_empty(run, f"evaluations of steps {sorted(self._done)}"))
        if self._form == "colocated":
            self._start_engine(args, given)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """When the step is due: evaluate, or put its weights into the queue."""
        step = state.global_step
        last = step >= state.max_steps
        if self._enqueuer:
            self._enqueuer.progress(step, state.max_steps)
        if not (last or self.suite.due(step)):
            return
        if self._form != "queue":
            if not last:
                self._evaluate(step, args, kwargs)
        elif control.should_save:  # the trainer saves, then calls `on_save`
            return
        else:
            weights = gathered_weights(kwargs["model"])
            if self._enqueuer:
                self._enqueuer.add_from_memory(
                    step, kwargs["model"], kwargs["processing_class"], last=last, weights=weights
                )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Lease and enqueue the checkpoint that was just written, when its step is due."""
        step = state.global_step
        last = step >= state.max_steps
        if self._form != "queue" or not (last or self.suite.due(step)):
            return
        checkpoint = Path(args.output_dir or "trainer_output") / f"checkpoint-{step}"
        if sharding(kwargs["model"]) and not first_says(lambda: is_complete(checkpoint)):  # shards only
            weights = gathered_weights(kwargs["model"])
            if self._enqueuer:
                self._enqueuer.add_from_memory(
                    step, kwargs["model"], kwargs["processing_class"], last=last, weights=weights
                )
        elif self._enqueuer:
            self._enqueuer.add(step, checkpoint, last=last)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Evaluate or enqueue the last step, also when training was stopped early."""
        if self._form != "queue":
            self._evaluate(state.global_step, args, kwargs, last=True)
            if self._engine:
                self._engine.close()
                self._engine = None
            if state.is_world_process_zero:
                _compact(RunFolder(self._run_dir or Path(args.output_dir or "trainer_output")))
            return
        weights = gathered_weights(kwargs["model"])
        if self._enqueuer:
            self._enqueuer.end(state.global_step, kwargs["model"], kwargs["processing_class"], weights=weights)

    def _start_engine(self, args: TrainingArguments, given: Mapping[str, Any]) -> None:
        from sftgen_train.evaluation.colocated import ColocatedEngine

        with undisturbed(given["model"]):
            self._engine = ColocatedEngine(
                given["model"],
                given["processing_class"],
                precision=_precision(args),
                options=self._engine_options,
                seed=self.suite.seed,
                shard=self._shard,
            )

    def _evaluate(self, step: int, args: TrainingArguments, given: Mapping[str, Any], *, last: bool = False) -> None:
        if self._run is None or self._evaluator is None or step in self._done:
            return
        self._done.add(step)
        started = time.perf_counter()
        try:
            rows = evaluate_in_memory(
                self._evaluator,
                self._run,
                step,
                model=given["model"],
                tokenizer=given["processing_class"],
                precision=_precision(args),
                last=last,
                shard=self._shard,
                engine=self._engine,
            )
        except Exception as error:  # training is worth more than one point of a curve
            reason = f"{type(error).__name__}: {error}"[:500]
            if self._shard and self._shard.index:
                return  # the first process reports it
            logger.warning("evaluation at step %d failed, training goes on. %s", step, reason)
            self._run.try_add_failure(step, self.suite.tasks, reason)
            return
        if rows:
            logger.info("step %d: %s (%.1f s)", step, in_one_line(rows), time.perf_counter() - started)


def _precision(args: TrainingArguments) -> torch.dtype | None:
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None


def _compact(run: RunFolder) -> None:
    """Compact the records. Training does not fail if this fails, since nothing is lost."""
    try:
        run.compact()
    except OSError as error:
        logger.warning("the records of %s were not compacted: %s", run.path, error.strerror)


def _not_empty(run: RunFolder, what: str) -> str:
    return (
        f"run directory {str(run.path)!r} already holds {what}; "
        "choose another, remove it, or resume training from a checkpoint"
    )


def _require_generator(model: Any) -> None:
    whole = extract_model_from_parallel(model)
    whole = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    can = getattr(whole, "can_generate", None)
    if can is None or not can():
        raise CallbackError(
            f"{type(whole).__name__} does not generate text (a reward model or classifier?), so no checkpoint of it "
            "can answer a benchmark: train without HarnessCallback, and judge with the finished model (docs/judges.md)"
        )


def _require_template(tokenizer: Any, chat_template: bool) -> None:
    if tokenizer is None:
        raise CallbackError("the trainer has no tokenizer: pass `processing_class` to it")
    if chat_template and not getattr(tokenizer, "chat_template", None):
        raise CallbackError(
            f"tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no chat template: set "
            "`tokenizer.chat_template`, or pass chat_template=False to evaluate with plain prompts"
        )


def _require_whole_model(model: Any) -> None:
    sharded = sharding(model)
    if sharded:
        raise CallbackError(
            f"{sharded} shards the weights, so that no process has the whole model: "
            "use form='queue', which evaluates the saved checkpoints in a process of its own (`sftgen worker RUN`)"
        )
