"""lm_eval's transformers backend, keeping what it throws away: token counts, finish reasons, seeds."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from sftgen_tasks.harness.backends.hf_sampling import end_at, processors, without_unasked
from sftgen_tasks.harness.budgets import response_budget
from sftgen_tasks.harness.generation import GeneratedText, repeat_numbers, sample_seed
from sftgen_tasks.harness.patches import quiet
from sftgen_tasks.harness.sampling import in_force
from sftgen_tasks.harness.special_tokens import dropped_marker, read_tokens
from sftgen_tasks.harness.streaming import batches, stream_generations

logger = logging.getLogger(__name__)

MOST_ROWS = 64
"""Rows that a search for the batch size begins with; lm_eval's."""
ON_CPU = 16


@dataclass(frozen=True)
class Row:
    """One response that is asked for.

    Attributes:
        prompt: The prompt.
        prompt_tokens: Its length in tokens.
        budget: Tokens that the response may have.
        seed: What a sampled response is drawn from.
    """

    prompt: str
    prompt_tokens: int
    budget: int
    seed: int


class RecordingHFLM(HFLM):  # type: ignore[misc]
    """Generates with a transformers model and returns `GeneratedText`.

    Every sample has a seed of its own, made from the base seed, the prompt and the repeat: it is the
    same whatever else is in its batch, and a second sample of a prompt is another one.
    """

    takes_repeats = True
    sftgen_name = "sftgen-hf"

    def __init__(
        self, pretrained: Any, tokenizer: Any = None, *, batch_size: int | str = 16, seed: int = 0, **options: Any
    ) -> None:
        """Wrap a model.

        Args:
            pretrained: A causal language model in memory, which is put into eval mode, or the name of one.
            tokenizer: Its tokenizer; one in memory is copied, since lm_eval changes padding settings.
            batch_size: Prompts generated together; `auto` begins with `max_batch_size` (on a CPU with 16) and
                halves it when memory does not suffice.
            seed: Base seed of sampled responses.
            options: Further arguments of `HFLM`.
        """
        if tokenizer is not None and not isinstance(tokenizer, str):
            tokenizer = copy.deepcopy(tokenizer)
        with quiet():
            super().__init__(pretrained=pretrained, tokenizer=tokenizer, batch_size=batch_size, **options)
        self.seed = int(seed)
        self.searching = not str(self.batch_size).isdigit()
        most = int(self.max_batch_size or MOST_ROWS)
        self.rows = int(self.batch_size) if not self.searching else min(most, ON_CPU) if self._on_cpu() else most

    @torch.no_grad()
    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False, repeats: Sequence[int] | None = None
    ) -> list[str]:
        """Generate for every request.

        Args:
            requests: Prompts with their settings; one that comes several times is its own repeats.
            disable_tqdm: For lm_eval; there is no bar here.
            repeats: Which repeat each request is, if not by counting.
        """
        numbers = repeat_numbers(requests) if repeats is None else list(repeats)
        results: dict[int, GeneratedText] = {}
        for batch in batches(requests, self.rows):
            rows = [self._row(requests[index], numbers[index]) for index in batch]
            results |= zip(batch, self._fitting(rows, dict(requests[batch[0]].args[1])), strict=True)
        return [results[index] for index in range(len(requests))]

    def _on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"

    def _row(self, request: Instance, repeat: int) -> Row:
        prompt, settings = request.args
        length = len(self.tok_encode(prompt))
        limit = int(settings.get("max_gen_toks", self.max_gen_toks))
        budget = response_budget(limit, self.max_length, length, task=request.task_name or self.sftgen_name)
        return Row(prompt, length, budget, sample_seed(self.seed, prompt, repeat))

    def _fitting(self, rows: Sequence[Row], settings: dict[str, Any]) -> list[GeneratedText]:
        """Generate in as many rows as memory holds, where the batch size is searched for."""
        texts: list[GeneratedText] = []
        while len(texts) < len(rows):
            try:
                texts += self._generate(rows[len(texts) : len(texts) + self.rows], settings)
                continue
            except Exception as error:
                if not self.searching or self.rows == 1 or not should_reduce_batch_size(error):
                    raise
            # Outside the handler, whose error holds what the failed try has allocated.
            self.rows = max(1, min(self.rows, len(rows)) // 2)
            logger.warning("out of memory: sftgen-hf goes on with batches of %d", self.rows)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return texts

    def _generate(self, rows: Sequence[Row], settings: dict[str, Any]) -> list[GeneratedText]:
        budgets = {row.budget for row in rows}
        longest, most = max(row.prompt_tokens for row in rows), max(budgets)
        if longest + most > self.max_length and len(budgets) > 1 and not self._runs_past_its_context:
            return self._one_budget_at_a_time(rows, settings)
        kwargs = normalize_gen_kwargs(in_force(self.sftgen_name, settings), self.max_gen_toks)
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        until = [stop for stop in handle_stop_sequences(kwargs.pop("until", None), eos=eos) if stop != eos]
        del kwargs["max_gen_toks"]
        context, mask = self.tok_batch_encode([row.prompt for row in rows])
        start = context.shape[1]
        context, mask = context.to(self.device), mask.to(self.device)
        sampled = bool(kwargs.get("do_sample"))
        changes = processors(kwargs, [row.seed for row in rows], context, mask)
        changes += end_at([start + row.budget for row in rows], self.model.generation_config.eos_token_id)
        generated = self._model_generate(
            context=context,
            attention_mask=mask,
            max_length=start + most,
            stop=until,
            do_sample=False,
            **without_unasked(self.model.generation_config) | kwargs,
            **({"logits_processor": changes} if changes else {}),
        )
        return [
            self._read(row, tokens[start : start + row.budget], until, sampled=sampled)
            for row, tokens in zip(rows, generated.tolist(), strict=True)
        ]

    def _one_budget_at_a_time(self, rows: Sequence[Row], settings: dict[str, Any]) -> list[GeneratedText]:
        texts: dict[Row, GeneratedText] = {}
        for same in dict.fromkeys((row.prompt_tokens, row.budget) for row in rows):
            alike = [row for row in rows if (row.prompt_tokens, row.budget) == same]
            texts |= zip(alike, self._generate(alike, settings), strict=True)
        return [texts[row] for row in rows]

    @cached_property
    def _runs_past_its_context(self) -> bool:
        """Whether a row that has ended may stand in a batch beyond the context without changing or stopping others.

        With learned positions there is none for it, and some forms of rotary ones depend on the longest of the batch.
        """
        config = self.model.config.get_text_config()
        rope = getattr(config, "rope_parameters", None) or {}
        kinds = {rope.get("rope_type"), *(part.get("rope_type") for part in rope.values() if isinstance(part, dict))}
        return bool(kinds - {None}) and kinds <= {None, "default", "linear", "llama3", "yarn", "proportional"}

    def _read(self, row: Row, tokens: list[int], until: Sequence[str], *, sampled: bool) -> GeneratedText:
        ends = self._end_tokens()
        stop = next((place for place, token in enumerate(tokens) if token in ends), None)
        length = len(tokens) if stop is None else stop + 1
        read = read_tokens(self.tokenizer, tokens[:stop], until, keep=self._marked_by_special_tokens)
        finished = stop is not None or read.stopped or length < row.budget
        return GeneratedText(
            read.text,
            tokens=length,
            prompt_tokens=row.prompt_tokens,
            budget=row.budget,
            finish_reason="stop" if finished else "length",
            seed=row.seed if sampled else None,
            turn_end=read.turn_end,
        )

    @cached_property
    def _marked_by_special_tokens(self) -> bool:
        return dropped_marker(self.tokenizer) is not None

    def _end_tokens(self) -> set[int]:
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return {token for token in (*listed, self.eot_token_id) if token is not None}


class StreamingHFLM(RecordingHFLM):
    """`--model sftgen-hf`: as `hf`, with exact counts, seeds by sample, every batch on disk at once."""

    def __init__(self, pretrained: str, **options: Any) -> None:
        """Load a model by name; the arguments are those of `hf`, and `seed`."""
        super().__init__(pretrained, **options)
        stream_generations(self, {"pretrained": pretrained, **options}, self.seed)
