"""TRL's trainer: reads the fields of a training, and builds the trainer of its method."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
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
from sftgen_train.training import fields, on_policy
from sftgen_train.training.config import HarnessConfig, TrainingConfigError, accumulation_steps, mapping
from sftgen_train.training.encoding import (
    Encoding,
    chats,
    encode,
    encode_texts,
    print_example,
    require_fitting,
    told,
)
from sftgen_train.training.paper import PaperGradients, PaperSteps
from sftgen_train.training.progress import in_one_line
from sftgen_train.training.rows import read_rows
from sftgen_train.training.templates import require_markers

_CHECKED = 8
"""Rows that `check_rows` tokenises."""


class _PaperGradientsTrainer(PaperGradients, SFTTrainer):
    """TRL's trainer with the paper's gradients."""


class _PaperTrainer(PaperSteps, SFTTrainer):
    """TRL's trainer with the paper's steps."""


class _Parser(TrlParser):
    def error(self, message: str) -> Any:
        # argparse would print the usage of three hundred fields.
        raise ValueError(message)


def check_rows(harness: HarnessConfig, config: SFTConfig, model: ModelConfig) -> None:
    """Check tokenizer, template, end token and the first rows of a training, without loading its model.

    Raises:
        SftgenError: It cannot be trained.
    """
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


def _tokenizer(model: ModelConfig, config: SFTConfig) -> Any:
    return AutoTokenizer.from_pretrained(
        model.model_name_or_path, revision=model.model_revision, trust_remote_code=config.trust_remote_code
    )


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
