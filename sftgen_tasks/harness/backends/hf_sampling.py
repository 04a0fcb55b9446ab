"""Sampling with transformers as vLLM does it, with a seed a row: a row does not depend on the others in its batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

# A model's generation_config.json may set any of these, and `generate` would apply them unasked. vLLM does not.
UNASKED: Mapping[str, Any] = {
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "bad_words_ids": None, "sequence_bias": None, "suppress_tokens": None,
    "begin_suppress_tokens": None, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None, "guidance_scale": None, "watermarking_config": None, "min_length": 0,
    "min_new_tokens": None, "max_new_tokens": None, "max_time": None, "stop_strings": None, "num_beams": 1,
    "num_return_sequences": 1, "renormalize_logits": False, "token_healing": False, "penalty_alpha": None,
    "prompt_lookup_num_tokens": None,
}  # fmt: skip


def without_unasked(generation_config: Any) -> dict[str, Any]:
    """Arguments of `generate` that take back what a model's own settings would change of its text."""
    return {
        name: value for name, value in UNASKED.items() if getattr(generation_config, name, None) not in (None, value)
    }


def processors(
    settings: dict[str, Any], seeds: Sequence[int], prompts: torch.Tensor, mask: torch.Tensor
) -> LogitsProcessorList:
    """Processors of logits for the settings in force.

    The order is vLLM's: penalties, temperature, min_p, top_k, top_p; then what only transformers has.

    Args:
        settings: Those in force; what is done here is taken out.
        seeds: A seed a row.
        prompts: The ids of the prompts, padded at the left.
        mask: 0 where `prompts` is padding.
    """
    found: list[Any] = []
    penalties = [settings.pop(name, off) for name, off in PENALTIES.items()]
    if penalties != list(PENALTIES.values()):
        found.append(_Penalties(*map(float, penalties), prompts=prompts, mask=mask))
    if size := settings.pop("no_repeat_ngram_size", 0):
        found.append(_WithoutPadding(NoRepeatNGramLogitsProcessor(int(size)), mask))
    sampled, temperature = settings.pop("do_sample", False), settings.pop("temperature", 0.0)
    warpers = LogitsProcessorList()
    if sampled and temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(float(temperature)))
    for name, make in _WARPERS.items():
        value = settings.pop(name, None)
        if sampled and value is not None:
            warpers.append(make(value, prompts.device))
    if sampled:
        found.append(_SeededNoise(warpers, seeds))
    return LogitsProcessorList(found)


def end_at(lengths: Sequence[int], ends: int | Sequence[int] | None) -> LogitsProcessorList:
    """What ends each row of a batch at a length of its own, if they differ and the model has an end token.

    Args:
        lengths: Tokens of each row, padding and prompt among them.
        ends: The model's end tokens.
    """
    if len(set(lengths)) == 1 or ends is None:
        return LogitsProcessorList()
    return LogitsProcessorList([_EndAt(lengths, ends if isinstance(ends, int) else ends[0])])


class _EndAt(LogitsProcessor):
    def __init__(self, lengths: Sequence[int], end: int) -> None:
        self.lengths, self.end = torch.tensor(list(lengths)), end

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        over = self.lengths <= input_ids.shape[1]
        if over.any():
            scores[over.to(scores.device)] = -torch.inf
            scores[over.to(scores.device), self.end] = 0.0
        return scores


PENALTIES = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def _top_h(value: Any, device: Any) -> Any:
    from transformers.generation.logits_process import TopHLogitsWarper

    return TopHLogitsWarper(top_h=float(value))


_WARPERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "min_p": lambda value, device: MinPLogitsWarper(min_p=float(value)),
    "top_h": _top_h,
    "top_k": lambda value, device: TopKLogitsWarper(int(value)),
    "top_p": lambda value, device: TopPLogitsWarper(float(value)),
    "typical_p": lambda value, device: TypicalLogitsWarper(mass=float(value)),
    "epsilon_cutoff": lambda value, device: EpsilonLogitsWarper(epsilon=float(value)),
    "eta_cutoff": lambda value, device: EtaLogitsWarper(epsilon=float(value), device=device),
}


class _Penalties(LogitsProcessor):
    """Penalties as in vLLM: repetition counts the prompt too, presence and frequency the response only.

    transformers' own would count padding as said, so that a row depended on the longest prompt of its batch.
    """

    def __init__(
        self, repetition: float, presence: float, frequency: float, *, prompts: torch.Tensor, mask: torch.Tensor
    ) -> None:
        self.repetition, self.presence, self.frequency = repetition, presence, frequency
        self.prompts, self.mask, self.counts = prompts, mask.bool(), torch.empty(0)
        self.in_prompt = torch.empty(0)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if not self.counts.numel():
            self.counts = torch.zeros_like(scores)
            self.in_prompt = torch.zeros_like(scores, dtype=torch.bool)
            for row, ids, real in zip(self.in_prompt, self.prompts, self.mask, strict=True):
                row[ids[real].to(scores.device)] = True
        if input_ids.shape[1] > self.prompts.shape[1]:
            last = input_ids[:, -1:].to(scores.device)
            self.counts.scatter_add_(1, last, torch.ones_like(last, dtype=self.counts.dtype))
        said = self.counts > 0
        punished = torch.where(scores > 0, scores / self.repetition, scores * self.repetition)
        scores = cast(torch.FloatTensor, torch.where(self.in_prompt | said, punished, scores))
        return cast(torch.FloatTensor, scores - self.frequency * self.counts - self.presence * said.to(scores.dtype))


class _WithoutPadding(LogitsProcessor):
    """A processor that sees each row without its padding."""

    def __init__(self, inner: LogitsProcessor, mask: torch.Tensor) -> None:
        self.inner, self.padding = inner, (mask == 0).sum(dim=1).tolist()

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        rows = [
            self.inner(cast(torch.LongTensor, ids[None, start:]), cast(torch.FloatTensor, row[None]))
            for ids, row, start in zip(input_ids, scores, self.padding, strict=True)
        ]
        return cast(torch.FloatTensor, torch.cat(rows))


class _SeededNoise(LogitsProcessor):
    """Turns greedy decoding into sampling with a generator a row.

    The largest of the scores plus Gumbel noise is an exact draw from their softmax.
    """

    def __init__(self, warpers: LogitsProcessorList, seeds: Sequence[int]) -> None:
        self.warpers, self.seeds = warpers, list(seeds)
        self.generators: list[torch.Generator] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if not self.generators:
            self.generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self.seeds]
        warped = self.warpers(input_ids, scores).float()
        noise = torch.empty_like(warped)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return cast(torch.FloatTensor, warped - noise.log_())
