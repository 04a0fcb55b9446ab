"""What a trainer and its packages must have so that it trains and its checkpoints can be evaluated."""

from __future__ import annotations

import importlib.util
from typing import Any

from accelerate.utils import extract_model_from_parallel

from sftgen_judges.errors import SftgenError
from sftgen_train.training.config import TrainingConfigError
from sftgen_train.training.distributed import sharding


class CallbackError(SftgenError, ValueError):
    """The callback was given something that it cannot use."""


def require_generator(model: Any) -> None:
    """Check that the model generates text.

    Raises:
        CallbackError: It does not.
    """
    whole = extract_model_from_parallel(model)
    whole = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    can = getattr(whole, "can_generate", None)
    if can is None or not can():
        raise CallbackError(
            f"{type(whole).__name__} does not generate text (a reward model or classifier?), so no checkpoint of it "
            "can answer a benchmark: train without HarnessCallback, and judge with the finished model (docs/judges.md)"
        )


def require_template(tokenizer: Any, chat_template: bool) -> None:
    """Check that there is a tokenizer, and a chat template where prompts go through one.

    Raises:
        CallbackError: There is none.
    """
    if tokenizer is None:
        raise CallbackError("the trainer has no tokenizer: pass `processing_class` to it")
    if chat_template and not getattr(tokenizer, "chat_template", None):
        raise CallbackError(
            f"tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no chat template: set "
            "`tokenizer.chat_template`, or pass chat_template=False to evaluate with plain prompts"
        )


def require_whole_model(model: Any) -> None:
    """Check that each process has all weights.

    Raises:
        CallbackError: Training shards them.
    """
    sharded = sharding(model)
    if sharded:
        raise CallbackError(
            f"{sharded} shards the weights, so that no process has the whole model: "
            "use form='queue', which evaluates the saved checkpoints in a process of its own (`sftgen worker RUN`)"
        )


def require_installed(config: Any, model: Any) -> None:
    """Check that the packages are there which fields of TRL's SFTConfig and ModelConfig ask for.

    Raises:
        TrainingConfigError: One is not installed.
    """
    wanted = {
        "use_liger_kernel": (config.use_liger_kernel, "liger_kernel", "liger-kernel"),
        "use_peft": (model.use_peft, "peft", "peft"),
        "load_in_4bit or load_in_8bit": (model.load_in_4bit or model.load_in_8bit, "bitsandbytes", "bitsandbytes"),
        "deepspeed": (config.deepspeed, "deepspeed", "deepspeed"),
        "attn_implementation": (model.attn_implementation == "flash_attention_2", "flash_attn", "flash-attn"),
    }
    for option, (asked, module, package) in wanted.items():
        if asked and importlib.util.find_spec(module) is None:
            raise TrainingConfigError(f"{option}: the package {package} is not installed. pip install {package}")
