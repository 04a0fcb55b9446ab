"""lm_eval's vLLM backend, keeping what it throws away: token counts, finish reasons, seeds by sample."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.vllm_causallms import VLLM
from vllm import LLM, SamplingParams

from sftgen_tasks.harness.budgets import response_budget
from sftgen_tasks.harness.generation import (
    DEFAULT_MAX_GEN_TOKS,
    GENERIC_CHUNK,
    GeneratedText,
    repeat_numbers,
    sample_seed,
    stream_generations,
)
from sftgen_tasks.harness.sampling import in_force
from sftgen_tasks.harness.special_tokens import ReadTokens, dropped_marker, read_tokens


class StreamingVLLM(VLLM):  # type: ignore[misc]
    """`--model sftgen-vllm`: as `vllm`, with exact counts and a seed by sample, each chunk on disk at once."""

    takes_repeats = True
    sftgen_name = "sftgen-vllm"
    end_tokens: Sequence[int] = ()
    """Ids to stop at besides those of the model's folder."""

    def __init__(self, pretrained: str, *, seed: int = 1234, **options: Any) -> None:
        """Load a model by name; the arguments are those of `vllm`, `seed` is also the samples' base seed."""
        super().__init__(pretrained, seed=seed, **options)
        self.seed = int(seed)
        stream_generations(self, {"pretrained": pretrained, **options}, self.seed)

    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False, repeats: Sequence[int] | None = None
    ) -> list[str]:
        """Generate for every request in one call, which vLLM schedules best.

        Args:
            requests: Prompts with their settings; one that comes several times is its own repeats.
            disable_tqdm: For lm_eval; vLLM has its own bar.
            repeats: Which repeat each request is, if not by counting.
        """
        prompts = [request.args[0] for request in requests]
        encoded = self.tok_encode(prompts, add_special_tokens=self.add_bos_token)
        eos = self.tokenizer.decode(self.eot_token_id)
        numbers = repeat_numbers(requests) if repeats is None else repeats
        sampling = []
        for request, tokens, repeat in zip(requests, encoded, numbers, strict=True):
            settings, until, limit = self.modify_gen_kwargs(
                in_force(self.sftgen_name, request.args[1]), eos=eos, default_max_gen_toks=self.max_gen_toks
            )
            budget = response_budget(limit, self.max_length, len(tokens), task=request.task_name or self.sftgen_name)
            if settings.get("temperature", 0) > 0:
                settings["seed"] = sample_seed(self.seed, request.args[0], repeat)
            settings["stop_token_ids"] = [*settings.get("stop_token_ids", ()), *self.end_tokens]
            sampling.append(SamplingParams(max_tokens=budget, stop=until, **settings))
        outputs = self._model_generate(requests=encoded, generate=True, sampling_params=sampling)
        return [
            self._text(output.outputs[0], len(tokens), request, parameters)
            for output, tokens, request, parameters in zip(outputs, encoded, requests, sampling, strict=True)
        ]

    def _text(
        self, completion: Any, prompt_tokens: int, request: Instance, parameters: SamplingParams
    ) -> GeneratedText:
        """What the engine made of a prompt; the text is that of its tokens, as `sftgen-hf` reads them."""
        tokens = list(completion.token_ids)
        if request.args[1].keys() & {
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "include_stop_str_in_output",
        }:
            read = ReadTokens(completion.text)
        else:
            eos = self.tokenizer.decode(self.eot_token_id)  # a stop string too, by lm_eval
            why = completion.stop_reason
            ended = completion.finish_reason == "stop" and (not isinstance(why, str) or why == eos)
            until = [stop for stop in parameters.stop or () if stop != eos]
            written = tokens[:-1] if ended else tokens
            read = read_tokens(self.tokenizer, written, until, keep=self._marked_by_special_tokens)
        return GeneratedText(
            read.text,
            tokens=len(tokens),
            prompt_tokens=prompt_tokens,
            budget=parameters.max_tokens,
            finish_reason="length" if completion.finish_reason == "length" else "stop",
            seed=parameters.seed,
            turn_end=read.turn_end,
        )

    @cached_property
    def _marked_by_special_tokens(self) -> bool:
        return dropped_marker(self.tokenizer) is not None


class EngineVLLM(StreamingVLLM):
    """The same on an engine and a tokenizer that stand already."""

    def __init__(self, engine: LLM, tokenizer: Any, *, seed: int, end_tokens: Sequence[int] = ()) -> None:
        """Stand on them.

        Args:
            engine: A vLLM engine in this process.
            tokenizer: Encodes the prompts, and has their chat template.
            seed: The samples' base seed.
            end_tokens: Ids to stop at besides those of the engine's model.
        """
        TemplateLM.__init__(self)  # VLLM's own would make a second engine; what it sets beside that:
        self.model, self.tokenizer, self.hf_chat_template = engine, tokenizer, tokenizer.chat_template
        # With "auto" vLLM would draw a bar for every chunk, into the trainer's own.
        self.batch_size, self.data_parallel_size, self.tensor_parallel_size = GENERIC_CHUNK, 1, 1
        self.add_bos_token = self.custom_prefix_token_id = self.lora_request = self.think_end_token = None
        self.enable_thinking, self.chat_template_args = None, dict[str, Any]()
        self.truncation_side, self._max_length, self._max_gen_toks = "left", None, DEFAULT_MAX_GEN_TOKS
        self.seed, self.end_tokens = seed, end_tokens
