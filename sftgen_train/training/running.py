"""A training from its command to its end: what is checked first, who evaluates, and what a second start does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import Trainer, TrainingArguments

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.limits import parse_limits
from sftgen_tasks.harness.preflight import check_local_model
from sftgen_train.diagnosing.running import diagnose_run
from sftgen_train.evaluation.schedule import Tier
from sftgen_train.queue.keeping import parse_keep
from sftgen_train.queue.policy import Policy
from sftgen_train.queue.worker import work
from sftgen_train.training import fields, on_policy
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.config import HarnessConfig, TrainingConfigError, json_list, keep_text, mapping, steps_of
from sftgen_train.training.continuing import last_checkpoint, output_of
from sftgen_train.training.data_facts import data_facts
from sftgen_train.training.diagnostics import diagnostics_of, tell_outcome
from sftgen_train.training.distributed import start_worker, wait_for_all
from sftgen_train.training.ending import command_of, ended_step, train_to_end, write_ended
from sftgen_train.training.paper import require_own_steps
from sftgen_train.training.requirements import require_installed
from sftgen_train.training.settings import defaults_of
from sftgen_train.training.trl import build_trainer, check_rows, parse, trl_fields

_NO_WEIGHTS = (
    "harness_", "train_", "eval_", "model_name_or_path", "global_batch_size", "attn_implementation",
    "trust_remote_code",
)  # fmt: skip
"""Fields beside the trainer's arguments that change no weights, or that are known by what they lead to."""


def train(arguments: Sequence[str], preset: Mapping[str, Any] | None = None) -> RunFolder | None:
    """Train by a configuration.

    Under `accelerate launch` every process calls this.

    Args:
        arguments: `--config FILE` and `--field value` pairs over the fields of `HarnessConfig`, of TRL's configuration
            of the method, and of its ModelConfig.
        preset: Values of fields; those of the file and the arguments replace them.

    Returns:
        The run directory of the evaluations. None without evaluations, and in all processes but the first.

    Raises:
        SftgenError: The configuration, the data, the model folder or a task cannot be used. Nothing has been
            loaded or written then.
    """
    harness, config, model, callback = _checked(arguments, preset)
    probes, at_end = diagnostics_of(harness)
    keep = keep_text(harness)
    if fields.known_fields() is None:
        fields.keep(trl_fields())
    output = RunFolder(output_of(config))
    run = RunFolder(Path(harness.harness_run_dir)) if callback and harness.harness_run_dir else output
    for folder in (output, run):
        folder.require_writable()
    queued = callback is not None and harness.harness_form == "queue"
    first = config.process_index == 0
    fields_given = {**asdict(model), **asdict(harness)}
    defaults = _defaults(harness, model)
    defaults_of_all = {**defaults_of(config), **defaults}
    command = command_of(config, fields_given, defaults_of_all)
    ended = ended_step(config, run, command, defaults_of_all)
    beside = queued and harness.harness_worker == "beside"
    if ended is None:
        trainer = build_trainer(harness, config, model, [callback] if callback else [])
        if callback:
            callback.model_follows = True
            callback.training_data = data_facts(harness.train_data, harness.train_rows)
            callback.fields = {
                name: value
                for name, value in fields_given.items()
                if value != defaults.get(name) and not name.startswith(_NO_WEIGHTS)
            }
            callback.report_follows = harness.harness_worker != "none"
        worker = start_worker(run.path, probes, keep) if first and beside else None
        _train(trainer, config, run, command, worker)
    elif first:
        said = f"This training has ended at step {ended}; its model is in {output.path}. Nothing is trained. "
        said += "To train again, remove that folder or choose another output_dir."
        Console().print(said, markup=False, highlight=False, soft_wrap=True)
    if not first:
        return None
    if queued and (harness.harness_worker == "after" or (beside and ended is not None)):
        # For lm_eval too this process is one of several; and under ZeRO-3 it would load a model in parts.
        if config.world_size > 1 or config.deepspeed_plugin:
            start_worker(run.path, probes, keep).wait()
        else:
            work(run.path, policy=Policy(probes=probes, keep=parse_keep(keep)))
    if at_end:
        tell_outcome(diagnose_run(run.path, at_end))
    return run if callback and harness.harness_worker != "none" else None


def check(arguments: Sequence[str]) -> None:
    """Check a training without loading its model: fields, tasks, tokenizer, template, end token and the first rows.

    Args:
        arguments: As `train`.

    Raises:
        SftgenError: It cannot be trained.
    """
    harness, config, model, _ = _checked(arguments, None)
    check_rows(harness, config, model)


def _checked(
    arguments: Sequence[str], preset: Mapping[str, Any] | None
) -> tuple[HarnessConfig, Any, Any, HarnessCallback | None]:
    """A configuration, and its callback where it evaluates.

    Raises:
        SftgenError: It, the model folder or a task cannot be used.
    """
    harness, config, model = parse(arguments, preset)
    if not model.model_name_or_path:
        raise TrainingConfigError("model_name_or_path is missing: name a local folder or a hub id")
    own_template = getattr(config, "chat_template_path", None) is not None  # a field of SFT
    check_local_model(model.model_name_or_path, chat_template=not own_template)
    require_installed(config, model)
    if harness.reward and harness.method != "grpo":
        raise TrainingConfigError(f"reward {harness.reward!r}: of method grpo only; here method is {harness.method!r}")
    if harness.method in on_policy.CONFIGS:
        on_policy.require_fields(harness, config)
    if harness.paper_training:
        require_own_steps(config)
    return harness, config, model, _callback(harness)


def _train(
    trainer: Trainer,
    config: TrainingArguments,
    run: RunFolder,
    command: Mapping[str, Any],
    beside: subprocess.Popen[bytes] | None,
) -> None:
    """Train, or go on, and save the model; a worker beside it is waited for."""
    checkpoint = _resume_from(config)
    try:
        try:
            train_to_end(trainer, checkpoint)
        except ValueError as error:
            if not checkpoint or "parameter group" not in str(error):
                raise
            raise TrainingConfigError(
                f"checkpoint {checkpoint}: its optimizer has other groups of parameters; set paper_training as it was "
                "then, or train into another output_dir"
            ) from error
        trainer.save_model(config.output_dir)
        if trainer.is_world_process_zero():
            write_ended(run, trainer.state.global_step, command)
        wait_for_all()
        if beside:
            beside.wait()
    finally:
        if beside:
            beside.terminate()


def _resume_from(config: TrainingArguments) -> str | bool | None:
    """The checkpoint to resume from. `last` is the last one that was completely written, or None."""
    named = config.resume_from_checkpoint
    if named != "last":
        return named
    found = last_checkpoint(output_of(config))
    return str(found) if found else None


def _callback(harness: HarnessConfig) -> HarnessCallback | None:
    tiers = [Tier(**tier) for tier in json_list("harness_tiers", harness.harness_tiers)]
    if not (harness.harness_tasks or tiers):
        return None
    return HarnessCallback(
        tasks=harness.harness_tasks,
        in_domain=harness.harness_in_domain,
        delta=harness.harness_delta,
        at_steps=steps_of(harness.harness_at_steps),
        max_evaluations=harness.harness_max_evaluations,
        every=harness.harness_every,
        schedule=harness.harness_schedule,
        limit=harness.harness_limit,
        tiers=tiers,
        run_dir=harness.harness_run_dir,
        seed=harness.harness_seed,
        chat_template=harness.harness_chat_template,
        form=harness.harness_form,  # type: ignore[arg-type]  # the callback checks it
        batch_size=harness.harness_batch_size,
        metadata=mapping("harness_metadata", harness.harness_metadata) | _limits(harness.harness_max_gen_toks),
        gen_kwargs=mapping("harness_gen_kwargs", harness.harness_gen_kwargs),
        engine=mapping("harness_engine", harness.harness_engine),
        stop_at_token_accuracy=harness.harness_stop_at_token_accuracy,
    )


def _defaults(*given: Any) -> dict[str, Any]:
    """The defaults of all fields of dataclasses."""
    return {name: value for each in given for name, value in defaults_of(each).items()}


def _limits(text: str | None) -> dict[str, Any]:
    return {"max_gen_toks": parse_limits(text)} if text else {}
