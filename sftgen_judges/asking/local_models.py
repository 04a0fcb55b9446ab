"""Asks a model in this process, without a server: with transformers or with vLLM.

The model is loaded at its first use and kept. `SFTGEN_JUDGE_CONCURRENCY` requests are generated together. A hub id may
name its commit, `NAME@COMMIT`; the published judges of truth are pinned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.asking.clipping import fitting, text_of
from sftgen_judges.asking.completions import add_logprobs
from sftgen_judges.plugins.contracts import Failure, JudgeBackend, Reply, Request
from sftgen_judges.plugins.contracts.asking import Outcome
from sftgen_judges.plugins.judge_settings import JudgeSettings

PINNED = {
    "allenai/truthfulqa-truth-judge-llama2-7B": "8f718cb4e68bc30a488727a0e37190835a7c129e",
    "allenai/truthfulqa-info-judge-llama2-7B": "72601eff294cbf7e8d7188ae82397e19cb9bb9bd",
}
"""Commits of hub models that a judge was made for."""


def ask_transformers(settings: JudgeSettings, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
    """Ask a model that transformers runs; requests with the longest prompts come first."""
    import torch

    tokenizer, model = _transformers(str(settings.model))
    room = getattr(model.config, "max_position_embeddings", None) or float("inf")
    tokens: list[list[int]] = []
    clipped: list[int] = []
    for request in requests:
        shown, ids = _tokens(request, tokenizer, settings, room)
        tokens.append(ids)
        clipped.append(shown.clipped - request.clipped)
    order = sorted(range(len(requests)), key=lambda position: -len(tokens[position]))
    fitting = [position for position in order if len(tokens[position]) + requests[position].max_tokens <= room]
    for position in sorted(set(order) - set(fitting)):
        yield position, Failure(f"the prompt is too long: {len(tokens[position])} tokens, the model takes {room}")
    torch.manual_seed(settings.seed or 0)
    for start in range(0, len(fitting), settings.concurrency):
        batch = fitting[start : start + settings.concurrency]
        asked = [(requests[position], tokens[position]) for position in batch]
        for position, reply in zip(batch, _generate(model, tokenizer, settings, asked), strict=True):
            yield position, replace(reply, clipped=clipped[position])


def _generate(
    model: Any, tokenizer: Any, settings: JudgeSettings, asked: Sequence[tuple[Request, list[int]]]
) -> list[Reply]:
    import torch

    started = time.monotonic()
    padded = tokenizer.pad({"input_ids": [tokens for _, tokens in asked]}, return_tensors="pt")
    sampling = (
        {"do_sample": True, "temperature": settings.temperature} if settings.temperature else {"do_sample": False}
    )
    limit = max(request.max_tokens for request, _ in asked)
    with torch.inference_mode():
        made = model.generate(
            **padded.to(model.device),
            max_new_tokens=limit,
            pad_token_id=tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
            **sampling,
        )
    first = made.logits[0].float().log_softmax(-1)
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends, tokenizer.eos_token_id])
    replies = []
    for row, (request, tokens) in enumerate(asked):
        new = made.sequences[row, padded["input_ids"].shape[1] :].tolist()[: request.max_tokens]
        end = next((place for place, token in enumerate(new) if token in ends), None)
        text = tokenizer.decode(new[:end], skip_special_tokens=True)
        stop = min((text.find(stop) for stop in request.stop if stop in text), default=None)
        top = first[row].topk(min(_LIKELIEST, first.shape[-1])) if request.logprobs else None
        likeliest = zip(top.indices.tolist(), top.values.tolist(), strict=True) if top else ()
        replies.append(
            Reply(
                text=text[:stop],
                model=str(settings.model),
                finish_reason="length" if end is None and stop is None else "stop",
                logprobs=by_spelling((tokenizer.decode([token]), value) for token, value in likeliest),
                prompt_tokens=len(tokens),
                tokens=len(new[:end]),
                seconds=round(time.monotonic() - started, 3),
            )
        )
    return replies


_LIKELIEST = 100
"""First tokens that are looked at, whatever number was asked for: a word has several tokens, by case and blank."""


def by_spelling(tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Log-probabilities by what a token reads as.

    Two tokens may read alike, for example with and without the blank before a word; their probabilities are summed.
    """
    summed: dict[str, float] = {}
    for text, logprob in tokens:
        summed[text] = add_logprobs(summed.get(text, -math.inf), logprob)
    return summed


def ask_vllm(settings: JudgeSettings, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
    """Ask a model that vLLM runs; arguments of the engine come from `engine_args` of `extra_body`."""
    from vllm import SamplingParams

    engine = _vllm(str(settings.model), tuple(settings.extra_body.get("engine_args", {}).items()))
    tokenizer = engine.get_tokenizer()
    for start in range(0, len(requests), settings.concurrency):
        batch = requests[start : start + settings.concurrency]
        sampling = [
            SamplingParams(
                temperature=settings.temperature,
                seed=settings.seed,
                max_tokens=request.max_tokens,
                stop=list(request.stop),
                logprobs=request.logprobs or None,
            )
            for request in batch
        ]
        started = time.monotonic()
        room = engine.llm_engine.model_config.max_model_len
        asked = [_tokens(request, tokenizer, settings, room) for request in batch]
        made = engine.generate([{"prompt_token_ids": ids} for _, ids in asked], sampling, use_tqdm=False)
        seconds = round(time.monotonic() - started, 3)
        for position, output in enumerate(made, start):
            [completion] = output.outputs
            top = completion.logprobs[0].items() if completion.logprobs else ()
            yield (
                position,
                Reply(
                    text=completion.text,
                    model=str(settings.model),
                    finish_reason=completion.finish_reason,
                    logprobs=by_spelling(
                        (one.decoded_token or tokenizer.decode([id_]), one.logprob) for id_, one in top
                    ),
                    prompt_tokens=len(output.prompt_token_ids or ()),
                    tokens=len(completion.token_ids),
                    seconds=seconds,
                    clipped=asked[position - start][0].clipped - requests[position].clipped,
                ),
            )


TRANSFORMERS = JudgeBackend("transformers", ask_transformers)
VLLM = JudgeBackend("vllm", ask_vllm)


def _tokens(request: Request, tokenizer: Any, settings: JudgeSettings, room: float) -> tuple[Request, list[int]]:
    """The request as the model takes it, its response cut where it has no room, and its tokens."""

    def text(one: Request) -> str:
        return text_of(one, tokenizer, settings)

    if getattr(tokenizer, "is_fast", False):
        request = fitting(request, tokenizer, min(room, settings.max_context or room), text)
    # A chat template already contains the special tokens.
    return request, tokenizer(text(request), add_special_tokens=isinstance(request.prompt, str))["input_ids"]


@cache
def _transformers(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, revision = pinned(name)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype="auto")
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


@cache
def _vllm(name: str, arguments: tuple[tuple[str, Any], ...]) -> Any:
    from vllm import LLM

    name, revision = pinned(name)
    return LLM(name, **{"revision": revision, **dict(arguments)})


def pinned(name: str) -> tuple[str, str | None]:
    """A model's name and the commit to load: the one that is named, that of `PINNED`, or the newest."""
    if Path(name).exists():  # in a folder `@` may be part of its name
        return name, None
    name, _, revision = name.partition("@")
    return name, revision or PINNED.get(name)
