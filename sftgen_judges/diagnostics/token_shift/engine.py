"""The tokens of a text by a vLLM engine: log-probability and rank, as `forcing` has them.

An engine gives no whole distributions, so there is no divergence and no entropy.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.token_shift.forcing import ForcingError


@contextmanager
def engine_of(model: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """A vLLM engine over a model, for as long as it is needed: the next one may need all of the memory.

    Args:
        model: The folder of the model, or its name on the hub.
        options: Arguments of `vllm.LLM`, for example `dtype` and `max_model_len`.

    Raises:
        ForcingError: vLLM is not installed, or cannot load the model.
    """
    try:
        from vllm import LLM
        from vllm.distributed import cleanup_dist_env_and_memory
    except ImportError as error:
        raise ForcingError(f"vLLM cannot be imported: {error}; install it, or read with transformers") from error
    try:
        engine = LLM(model, **options)
    except (ValueError, RuntimeError, OSError, TypeError, AssertionError) as error:
        raise ForcingError(f"vLLM cannot load {model!r}: {type(error).__name__}: {error}") from error
    try:
        yield engine
    finally:
        with suppress(AttributeError):  # an engine in this process has no other to end
            engine.llm_engine.engine_core.shutdown()
        del engine
        gc.collect()
        cleanup_dist_env_and_memory()


def room_of(engine: Any) -> int:
    """The most tokens of a text that an engine can read: it makes one more."""
    return int(engine.llm_engine.model_config.max_model_len) - 1


def prompt_logprobs(
    engine: Any, texts: Sequence[Sequence[int]], starts: Sequence[int]
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Log-probability and rank of the tokens of texts.

    vLLM counts the tokens that are at least as probable: tokens with equal logits have a higher rank than in `forcing`.

    Args:
        engine: A `vllm.LLM`.
        texts: The tokens of each text, prompt included.
        starts: Place of the first token of each text that is scored, at least 1.

    Raises:
        ForcingError: A text is longer than the engine's context, which it reads with one token more, or nothing of it
            is left to score.
    """
    from vllm import SamplingParams, TokensPrompt

    room = room_of(engine)
    for ids, start in zip(texts, starts, strict=True):
        if not 1 <= start < len(ids) <= room:
            raise ForcingError(
                f"a text of {len(ids)} tokens that is scored from place {start}: expected at most {room} tokens, and a "
                "place from 1 to the last"
            )
    asked = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    outputs = engine.generate([TokensPrompt(prompt_token_ids=list(ids)) for ids in texts], asked, use_tqdm=False)
    return [
        _of_tokens(output.prompt_logprobs, ids, start)
        for output, ids, start in zip(outputs, texts, starts, strict=True)
    ]


def _of_tokens(given: Sequence[Any], ids: Sequence[int], start: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    found = [given[place][ids[place]] for place in range(start, len(ids))]
    return np.array([each.logprob for each in found]), np.array([each.rank for each in found])
