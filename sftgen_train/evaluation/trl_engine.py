"""TRL's vLLM engine in a trainer's process: made, and given the weights in training."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from accelerate import Accelerator


def colocated_generation(model: Any, tokenizer: Any, *, sleep: bool, **options: Any) -> Any:
    """TRL's vLLM engine in this process.

    Args:
        model: The model in training; the engine's configuration is read from its `name_or_path`.
        tokenizer: Its tokenizer.
        sleep: Whether the engine gives its memory back between uses; it is asleep then.
        options: Arguments of vLLM's engine.
    """
    from trl.generation import vllm_generation
    from vllm import LLM

    # TRL hands on some arguments only; without `dtype` the engine computes in another than the training.
    with patch.object(vllm_generation, "LLM", lambda **given: LLM(**{**given, **options})):
        return vllm_generation.VLLMGeneration(model, Accelerator(), tokenizer, enable_sleep_mode=sleep)


def push_weights(generation: Any) -> None:
    """Put the weights of the model in training into TRL's engine, whose weights wake up for it."""
    if generation.accelerator.device.type == "cpu":
        # vLLM packs weights there as they are loaded; only its own reloading, which TRL does not use, packs again.
        generation.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": generation._iter_named_params()})
        generation.llm.reset_prefix_cache()
    else:
        generation.sync_weights()
