"""The tokens of a text by a vLLM engine: log-probability and rank, as `forcing` has them.

An engine gives no whole distributions, so there is no divergence and no entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.token_shift.forcing import ForcingError


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

    room = int(engine.llm_engine.model_config.max_model_len) - 1
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
