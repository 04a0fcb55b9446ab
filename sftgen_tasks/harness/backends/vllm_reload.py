"""Other weights for a vLLM engine that stands, and the probes that show whether they have arrived."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm import SamplingParams, TokensPrompt
from vllm.lora.request import LoRARequest

from sftgen_tasks.harness.backends.vllm_engine import StreamingVLLM, require_applicable

PROBES: Sequence[str] = (
    "A farmer has 17 sheep; all but 9 run away, and 4 come back. How many are left? Let x = 9 + 4, then x =",
    "def add(a, b):\n    return a +",
    "Question: which planet is the largest of the solar system?\nAnswer:",
    "0123456789 abc ABC äöü () [] {} <think>",
)
PROBE_TOKENS = 16
"""Tokens of the response to each probe."""
NOISE = {"load_format": "dummy"}
"""Arguments of an engine that begins with noise: a tensor that does not arrive later then shows."""


@dataclass(frozen=True)
class Probed:
    """What an engine answers to the probes.

    Attributes:
        tokens: The tokens of each response.
        logprobs: Log-probabilities of the tokens of each response, and of its prompt where they are known.
    """

    tokens: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]

    def unlike(self, other: Probed, dtype: torch.dtype) -> str:
        """How another engine's answers differ, which computes in this number format; empty where they are the same."""
        for place, (one, two) in enumerate(zip(self.tokens, other.tokens, strict=True), 1):
            if one != two:
                first = next(number for number, pair in enumerate(zip(one, two, strict=True), 1) if pair[0] != pair[1])
                return f"probe {place} of {len(PROBES)} is answered differently from token {first}"
        pairs = (zip(one, two, strict=True) for one, two in zip(self.logprobs, other.logprobs, strict=True))
        apart = [abs(one - two) for pair in pairs for one, two in pair]
        allowed = tolerance(dtype)
        if all(difference <= allowed for difference in apart):  # refuses nan too
            return ""
        return f"log-probabilities of the probes differ by up to {max(apart):.2g}, and {allowed:.2g} is allowed"


def probe(lm: StreamingVLLM, *, adapted: bool = True) -> Probed:
    """The greedy answers of an engine to the probes.

    Args:
        lm: The model.
        adapted: Whether its adapter is applied, where it has one.
    """
    room = max(1, lm.max_length - PROBE_TOKENS - 1)
    prompts = [TokensPrompt(prompt_token_ids=lm.tok_encode(text)[:room]) for text in PROBES]
    of_prompts = None if lm.lora_request else 0  # vLLM cannot tell them in an engine that takes adapters
    asked = SamplingParams(
        temperature=0.0, max_tokens=PROBE_TOKENS, ignore_eos=True, logprobs=0, prompt_logprobs=of_prompts,
        detokenize=False,
    )  # fmt: skip
    outputs = lm.model.generate(prompts, asked, use_tqdm=False, lora_request=lm.lora_request if adapted else None)
    tokens, logprobs = [], []
    for output in outputs:
        made = output.outputs[0]
        of_prompt = output.prompt_logprobs or []
        told: list[Any] = [*of_prompt[1:], *(made.logprobs or [])]
        names = [*(output.prompt_token_ids or [])[1 : len(of_prompt)], *made.token_ids]
        tokens.append(tuple(made.token_ids))
        logprobs.append(tuple(known[name].logprob for known, name in zip(told, names, strict=True)))
    return Probed(tuple(tokens), tuple(logprobs))


def leave_noise(lm: StreamingVLLM) -> None:
    """Let an engine that began with noise read weights from files."""
    lm.model.collective_rpc("update_config", kwargs={"overrides": {"load_config": {"load_format": "auto"}}})


def reload_weights(lm: StreamingVLLM, folder: Path) -> None:
    """Put the weights of another checkpoint of the same shapes into an engine. What it has cached is forgotten.

    Raises:
        RuntimeError: Its cache is in use.
        Exception: Whatever vLLM says.
    """
    lm.model.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
    _forget(lm)


def hand_adapter(lm: StreamingVLLM, folder: Path) -> None:
    """Apply another adapter to the base model of an engine.

    Raises:
        AdapterError: It cannot be applied.
        RuntimeError: The engine's cache is in use.
    """
    require_applicable(str(folder))
    last = lm.lora_request.lora_int_id
    lm.model.llm_engine.remove_lora(last)
    lm.lora_request = LoRARequest(f"adapter-{last + 1}", last + 1, str(folder))
    _forget(lm)


def _forget(lm: StreamingVLLM) -> None:
    if not lm.model.reset_prefix_cache():
        raise RuntimeError("vLLM does not forget its cache of prompts")


def close(lm: StreamingVLLM) -> None:
    """Stop an engine, so that its memory is free."""
    lm.model.llm_engine.engine_core.shutdown()
    del lm.model
    gc.collect()
    if torch.cuda.is_available():  # an engine in this process leaves its memory to torch
        torch.cuda.empty_cache()


def tolerance(dtype: torch.dtype) -> float:
    """How far apart the mean log-probability of two right computations may be, in nats.

    Logits reach 16 and more, where two neighbouring numbers are `16 * eps` apart (0.125 in bfloat16), and either
    side rounds. In float32 rounding is small; the difference comes from the order of sums, through all layers.
    """
    matmul = torch.backends.cuda.matmul
    rounded = dtype == torch.float32 and getattr(matmul, "fp32_precision", "ieee") == "tf32"
    return max(1e-3, 16 * (2.0**-10 if rounded else torch.finfo(dtype).eps))
