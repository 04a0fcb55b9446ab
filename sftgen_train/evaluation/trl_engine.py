"""Making TRL's vLLM engine in a trainer's process, and giving it the weights in training."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from accelerate import Accelerator


def colocated_generation(model: Any, tokenizer: Any, *, sleep: bool, **options: Any) -> Any:
    """TRL's vLLM engine in this process.

    Args:
        model: The model in training; the engine's configuration is read from its `name_or_path`.
        tokenizer: Its tokenizer.
        sleep: Whether the engine sleeps between uses, and gives its memory back.
        options: Arguments of vLLM's engine.
    """
    from trl.generation import vllm_generation
    from vllm import LLM

    # TRL passes on only some arguments; without `dtype` the engine would compute in another number format.
    with patch.object(vllm_generation, "LLM", lambda **given: LLM(**{**given, **options})):
        return vllm_generation.VLLMGeneration(model, Accelerator(), tokenizer, enable_sleep_mode=sleep)


def push_weights(generation: Any) -> None:
    """Copy the weights of the model in training into TRL's engine; this wakes up the engine's weights."""
    if generation.accelerator.device.type == "cpu":
        # On a CPU vLLM packs the weights that it loads. Its own reloading packs again, TRL's copying does not.
        generation.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": generation._iter_named_params()})
        generation.llm.reset_prefix_cache()
    else:
        generation.sync_weights()
