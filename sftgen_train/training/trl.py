"""TRL's trainer: reads a training configuration, builds the trainer and runs it."""

from __future__ import annotations

import copy
import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from rich.console import Console
from transformers import AutoTokenizer, Trainer
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config, get_quantization_config
from trl.chat_template_utils import get_training_chat_template

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.limits import parse_limits
from sftgen_tasks.harness.preflight import check_local_model
from sftgen_train.diagnosing.running import diagnose_run
from sftgen_train.evaluation.schedule import Tier
from sftgen_train.queue.worker import Policy, work
from sftgen_train.training import fields, on_policy
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.config import (
    HarnessConfig,
    TrainingConfigError,
    accumulation_steps,
    json_list,
    mapping,
    steps_of,
)
from sftgen_train.training.continuing import last_checkpoint
from sftgen_train.training.data_facts import data_facts
from sftgen_train.training.diagnostics import diagnostics_of, tell_outcome
from sftgen_train.training.distributed import start_worker, wait_for_all
from sftgen_train.training.encoding import (
    Encoding,
    chats,
    encode,
    encode_texts,
    print_example,
    require_fitting,
    told,
)
from sftgen_train.training.ending import command_of, ended_step, train_to_end, write_ended
from sftgen_train.training.paper import PaperGradients, PaperSteps, require_own_steps
from sftgen_train.training.progress import in_one_line
from sftgen_train.training.requirements import require_installed
from sftgen_train.training.rows import read_rows
from sftgen_train.training.settings import defaults_of
from sftgen_train.training.templates import require_markers

logger = logging.getLogger(__name__)
_NO_WEIGHTS = (
    "harness_", "train_", "eval_", "model_name_or_path", "global_batch_size", "attn_implementation",
    "trust_remote_code",
)  # fmt: skip
"""Fields beside the trainer's arguments that change no weights, or that are known by what they lead to."""
_CHECKED = 8
"""Rows that `check` tokenises."""


class _PaperGradientsTrainer(PaperGradients, SFTTrainer):
    """TRL's trainer with the paper's gradients."""


class _PaperTrainer(PaperSteps, SFTTrainer):
    """TRL's trainer with the paper's steps."""


class _Parser(TrlParser):
    def error(self, message: str) -> Any:
        # argparse would print the usage of three hundred fields.
        raise ValueError(message)


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
    if fields.known_fields() is None:
        fields.keep(trl_fields())
    output = RunFolder(Path(config.output_dir or "trainer_output"))
    run = RunFolder(Path(harness.harness_run_dir)) if callback and harness.harness_run_dir else output
    for folder in (output, run):
        folder.require_writable()
    queued = callback is not None and harness.harness_form == "queue"
    first = config.process_index == 0
    fields_given = {**asdict(model), **asdict(harness)}
    defaults = _defaults(harness, model)
    command = command_of(config, fields_given, {**defaults_of(config), **defaults})
    ended = ended_step(config, run, command)
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
        _train(trainer, config, run, command, start_worker(run.path, probes) if first and beside else None)
    elif first:
        said = f"This training has ended at step {ended}; its model is in {output.path}. Nothing is trained. "
        said += "To train again, remove that folder or choose another output_dir."
        Console().print(said, markup=False, highlight=False, soft_wrap=True)
    if not first:
        return None
    if queued and (harness.harness_worker == "after" or (beside and ended is not None)):
        # For lm_eval too this process is one of several; and under ZeRO-3 it would load a model in parts.
        if config.world_size > 1 or config.deepspeed_plugin:
            start_worker(run.path, probes).wait()
        else:
            work(run.path, policy=Policy(probes=probes))
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
    if harness.method in on_policy.CONFIGS:
        tokenizer = _ending(_tokenizer(model, config), harness)
        if harness.method == "distillation":
            on_policy.require_same_vocabulary(config, model, tokenizer)
        on_policy.prompts(harness, _CHECKED)
        return
    encoding = _encoding(_tokenizer(model, config), harness, config)
    rows = read_rows(harness.train_data, harness.train_split, harness.train_rows)[:_CHECKED]
    column = config.dataset_text_field if config.completion_only_loss is False else None
    if column and column in rows[0]:
        encode_texts(rows, harness.train_data, column, encoding)
    elif config.assistant_only_loss:
        chats(rows, harness.train_data, encoding)
    else:
        encode(rows, harness.train_data, encoding, None)


def _checked(
    arguments: Sequence[str], preset: Mapping[str, Any] | None
) -> tuple[HarnessConfig, SFTConfig, ModelConfig, HarnessCallback | None]:
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


def _tokenizer(model: ModelConfig, config: SFTConfig) -> Any:
    return AutoTokenizer.from_pretrained(
        model.model_name_or_path, revision=model.model_revision, trust_remote_code=config.trust_remote_code
    )


def _train(
    trainer: Trainer,
    config: SFTConfig,
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


def build_trainer(
    harness: HarnessConfig, config: SFTConfig, model: ModelConfig, callbacks: Sequence[Any] = ()
) -> Trainer:
    """Read and tokenise the data, print its first row, and make the trainer of the method.

    Raises:
        SftgenError: The data or the configuration cannot be used.
    """
    if harness.global_batch_size:
        config.gradient_accumulation_steps = accumulation_steps(
            harness.global_batch_size, config.per_device_train_batch_size, config.world_size
        )
    config.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **mapping("model_init_kwargs", config.model_init_kwargs),
    }
    tokenizer = _tokenizer(model, config)
    if isinstance(model.lora_target_modules, str) and model.lora_target_modules.isidentifier():
        # TRL makes a string of a list of one; PEFT would take it for a pattern of whole paths.
        model.lora_target_modules = [model.lora_target_modules]
    if harness.method in on_policy.CONFIGS:
        _ending(tokenizer, harness)
        trainer = on_policy.build_trainer(harness, config, model, tokenizer, callbacks)
        _stop_at(trainer.model, tokenizer.eos_token_id)
        in_one_line(trainer)
        return trainer
    encoding = _encoding(tokenizer, harness, config)
    data = _prepare(harness.train_data, harness.train_split, harness.train_rows, encoding, config)
    evaluated = _prepare(harness.eval_data, harness.eval_split, None, encoding, config) if harness.eval_data else None
    try:
        trainer = _kind(harness)(
            model=str(model.model_name_or_path),
            args=config,
            train_dataset=data,
            eval_dataset=evaluated,
            processing_class=tokenizer,
            quantization_config=get_quantization_config(model),
            peft_config=get_peft_config(model),
            callbacks=list(callbacks),
        )
    except SftgenError:
        raise
    except (ValueError, ImportError) as error:  # fields that do not go together
        raise TrainingConfigError(f"training configuration: {error}") from error
    _stop_at(trainer.model, encoding.end_id)
    in_one_line(trainer)
    if trainer.is_world_process_zero():
        print_example(Console(), trainer.train_dataset, encoding)
    return trainer


def _kind(harness: HarnessConfig) -> type[SFTTrainer]:
    if harness.paper_training:
        return _PaperTrainer
    return _PaperGradientsTrainer if harness.paper_gradients else SFTTrainer


def _encoding(tokenizer: Any, harness: HarnessConfig, config: SFTConfig) -> Encoding:
    """How rows are tokenised: with the template and the tokens that TRL gives the tokenizer a moment later."""
    tokenizer = copy.deepcopy(tokenizer)
    named = config.chat_template_path
    if named and Path(named).is_file():
        tokenizer.chat_template = Path(named).read_text(encoding="utf-8")
    elif named:
        source = AutoTokenizer.from_pretrained(named)
        tokenizer.chat_template, tokenizer.eos_token = source.get_chat_template(), source.eos_token
        known = tokenizer.get_vocab()
        tokenizer.add_tokens([token for token in source.added_tokens_decoder.values() if token.content not in known])
    if config.assistant_only_loss:
        require_markers(tokenizer, get_training_chat_template)
    return Encoding.of(tokenizer, harness.end_token or config.eos_token, whole=config.completion_only_loss is False)


def _ending(tokenizer: Any, harness: HarnessConfig) -> Any:
    """The tokenizer with the end token that the configuration names as its eos: the model's own responses end there."""
    tokenizer.eos_token = Encoding.of(tokenizer, harness.end_token).end_token
    return tokenizer


def _prepare(name: str, split: str, limit: int | None, encoding: Encoding, config: SFTConfig) -> Dataset:
    rows = read_rows(name, split, limit)
    if config.assistant_only_loss:  # TRL tokenises: every turn of the assistant, with the template's ends
        return Dataset.from_list(chats(rows, name, encoding))
    column = config.dataset_text_field if config.completion_only_loss is False else None
    if column and column in rows[0]:  # texts without a response
        data = encode_texts(rows, name, column, encoding)
    else:
        data, column = encode(rows, name, encoding, config.dataset_num_proc), None
    line = require_fitting(data, config.max_length, name)
    if config.process_index == 0:
        for told_line in (line, *told(rows, data, column)):
            Console().print(told_line, markup=False, highlight=False, soft_wrap=True)
    return data.remove_columns(["prompt_tokens", "notes"])


def _stop_at(model: Any, token: int) -> None:
    """Make generation stop at the trained end token, also where the tokenizer's eos is another."""
    generation = model.generation_config
    known = generation.eos_token_id
    listed = known if isinstance(known, list) else [] if known is None else [known]
    if token not in listed:
        generation.eos_token_id = [token, *listed]


def _resume_from(config: SFTConfig) -> str | bool | None:
    """The checkpoint to resume from. `last` is the last one that was completely written, or None."""
    named = config.resume_from_checkpoint
    if named != "last":
        return named
    found = last_checkpoint(Path(config.output_dir or "trainer_output"))
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


def parse(
    arguments: Sequence[str], preset: Mapping[str, Any] | None = None
) -> tuple[HarnessConfig, SFTConfig, ModelConfig]:
    """Read `--config FILE` and `--field value` pairs over a preset's values.

    Raises:
        TrainingConfigError: An unknown field, or a value of another type.
    """
    try:
        of_method = on_policy.CONFIGS.get(fields.method_in(arguments, preset), SFTConfig)
        parser = _Parser((HarnessConfig, of_method, ModelConfig), allow_abbrev=False)  # type: ignore[arg-type]
        unknown = parser.set_defaults_with_config(**{**_without_an_accelerator(), **(preset or {})})
        if unknown:
            raise TrainingConfigError(f"training configuration: no field {unknown[0].removeprefix('--')!r}")
        harness, config, model = parser.parse_args_and_config(list(arguments))
    except SftgenError:
        raise
    except (ValueError, TypeError, IndexError, OSError, yaml.YAMLError) as error:
        raise TrainingConfigError(f"training configuration: {error}") from error
    return harness, config, model


def _without_an_accelerator() -> dict[str, Any]:
    """Values of a machine that has a CPU only: TRL's own ask for bfloat16, and then for `use_cpu`."""
    return {} if torch.accelerator.is_available() else {"use_cpu": True, "bf16": False}


def trl_fields() -> dict[str, dict[str, dict[str, Any]]]:
    """TRL's fields by method, for the check that is made before TRL is imported.

    `fields.TABLE.write_text(fields.as_text(trl_fields()))` writes the table of the installed versions.
    """
    configs: dict[str, type[Any]] = {"sft": SFTConfig, **on_policy.CONFIGS}
    return {method: fields.table_of(each, ModelConfig) for method, each in configs.items()}
