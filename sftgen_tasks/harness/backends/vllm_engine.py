"""lm_eval's vLLM backend, keeping what it throws away: token counts, finish reasons, seeds by sample."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import cached_property
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.vllm_causallms import VLLM
from vllm import LLM, RequestOutput, SamplingParams, TokensPrompt
from vllm.config.lora import LoRAConfig
from vllm.lora.peft_helper import PEFTHelper
from vllm.outputs import CompletionOutput
from vllm.platforms import current_platform

from sftgen_judges.errors import SftgenError
from sftgen_tasks.harness.budgets import response_budget
from sftgen_tasks.harness.generation import DEFAULT_MAX_GEN_TOKS, GeneratedText, sample_seed
from sftgen_tasks.harness.sampling import in_force
from sftgen_tasks.harness.special_tokens import ReadTokens, dropped_marker, read_tokens
from sftgen_tasks.harness.streaming import GENERIC_CHUNK, all_at_once, stream_generations
from sftgen_tasks.harness.token_probabilities import mean, mean_entropy

ENCODED_AT_ONCE = 512
"""Prompts that are encoded before the engine is given them: it begins with the first while the others are encoded."""
BATCH_INVARIANT = "VLLM_BATCH_INVARIANT"
"""The variable that vLLM reads."""
FAILED = ("abort", "error")
"""Why vLLM ends a request that has no answer."""


class EngineStoppedError(SftgenError):
    """vLLM gave up a request."""


class AdapterError(SftgenError, ValueError):
    """An adapter that vLLM cannot apply."""


class BatchInvarianceError(SftgenError, ValueError):
    """Kernels that this device has not."""


class StreamingVLLM(VLLM):  # type: ignore[misc]
    """`--model sftgen-vllm`: as `vllm`, with exact counts and a seed by sample, each response on disk when it ends."""

    takes_repeats = True
    sftgen_name = "sftgen-vllm"
    end_tokens: Sequence[int] = ()
    """Ids to stop at besides those of the model's folder."""

    def __init__(
        self, pretrained: str, *, seed: int = 1234, batch_invariant: bool | None = None, **options: Any
    ) -> None:
        """Load a model by name; the arguments are those of `vllm`, and two more.

        Args:
            pretrained: The model.
            seed: Also the samples' base seed.
            batch_invariant: Whether vLLM computes a response by kernels whose result does not depend on what else is
                computed at the same time; None leaves that to `VLLM_BATCH_INVARIANT`.
            options: Arguments of `vllm`.

        Raises:
            AdapterError: An adapter that vLLM cannot apply.
            BatchInvarianceError: This device has no such kernels.
        """
        if batch_invariant and current_platform.is_cpu():
            raise BatchInvarianceError(
                "batch_invariant=True: vLLM has such kernels for GPUs alone, and this machine shows none; leave it out"
            )
        if batch_invariant is not None:
            os.environ[BATCH_INVARIANT] = str(int(batch_invariant))
        if options.get("lora_local_path"):
            require_applicable(str(options["lora_local_path"]))
        super().__init__(pretrained, seed=seed, **{"use_tqdm_on_load": False, **options})
        self.seed = int(seed)
        stream_generations(self, {"pretrained": pretrained, **options}, self.seed)

    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False, repeats: Sequence[int] | None = None
    ) -> list[str]:
        """Generate for every request; the arguments are those of `sftgen-hf`."""
        return all_at_once(self, requests, repeats)

    def generate_each(
        self, requests: Sequence[Instance], repeats: Sequence[int]
    ) -> Generator[Sequence[tuple[int, GeneratedText]], None, None]:
        """Hand out responses as they end, each with its place among the requests, which are begun in their order.

        All of them are in vLLM's queue at once. Where the caller stops early, what is under way is given up and the
        engine is free again. With `data_parallel_size` above 1 lm_eval starts other processes for each call, which
        hand out nothing before they end: there the requests go in chunks, and each is handed out as a whole.

        Raises:
            PromptTooLongError: A prompt leaves no room for its response.
            EngineStoppedError: vLLM gave up a request.
        """
        size = ENCODED_AT_ONCE if self.data_parallel_size <= 1 else GENERIC_CHUNK
        pieces = [range(start, min(start + size, len(requests))) for start in range(0, len(requests), size)]
        if self.data_parallel_size > 1:
            for piece in pieces:
                encoded, sampling = self._prepared(requests, repeats, piece)
                outputs = self._model_generate(requests=encoded, generate=True, sampling_params=sampling)
                if failed := [output for output in outputs if output.outputs[0].finish_reason in FAILED]:
                    raise _given_up(failed[0])
                yield [
                    (place, self._read(output, requests[place], parameters))
                    for place, output, parameters in zip(piece, outputs, sampling, strict=True)
                ]
            return
        engine, waiting = self.model.llm_engine, dict[str, tuple[int, SamplingParams]]()
        names: list[str] = []
        try:
            for piece in pieces:
                encoded, sampling = self._prepared(requests, repeats, piece)
                prompts = [TokensPrompt(prompt_token_ids=tokens) for tokens in encoded]
                added = self.model.enqueue(prompts, sampling, lora_request=self.lora_request, use_tqdm=False)
                names += added
                waiting |= zip(map(_outer_name, added), zip(piece, sampling, strict=True), strict=True)
            while waiting and engine.has_unfinished_requests():
                ended = [output for output in engine.step() if output.finished and output.request_id in waiting]
                failed = [output for output in ended if output.outputs[0].finish_reason in FAILED]
                made = [(output, *waiting.pop(output.request_id)) for output in ended if output not in failed]
                if made:
                    yield [(place, self._read(output, requests[place], asked)) for output, place, asked in made]
                if failed:
                    raise _given_up(failed[0])
            if waiting:
                raise EngineStoppedError(f"vLLM ended without {len(waiting)} of {len(requests)} responses")
        finally:
            if waiting or len(names) < len(requests):
                engine.abort_request(names, internal=True)

    def _prepared(
        self, requests: Sequence[Instance], repeats: Sequence[int], places: Sequence[int]
    ) -> tuple[list[list[int]], list[SamplingParams]]:
        """Prompts as tokens, and how each is to be answered."""
        encoded = self.tok_encode([requests[place].args[0] for place in places], add_special_tokens=self.add_bos_token)
        eos = self.tokenizer.decode(self.eot_token_id)
        sampling = []
        for place, tokens in zip(places, encoded, strict=True):
            request = requests[place]
            settings, until, limit = self.modify_gen_kwargs(
                in_force(self.sftgen_name, request.args[1]), eos=eos, default_max_gen_toks=self.max_gen_toks
            )
            budget = response_budget(limit, self.max_length, len(tokens), task=request.task_name or self.sftgen_name)
            if settings.get("temperature", 0) > 0:
                settings["seed"] = sample_seed(self.seed, request.args[0], repeats[place])
            settings["stop_token_ids"] = [*settings.get("stop_token_ids", ()), *self.end_tokens]
            sampling.append(SamplingParams(max_tokens=budget, stop=until, **settings))
        return encoded, sampling

    def _read(self, output: RequestOutput, request: Instance, parameters: SamplingParams) -> GeneratedText:
        return self._text(output.outputs[0], len(output.prompt_token_ids or ()), request, parameters)

    def _text(
        self, completion: CompletionOutput, prompt_tokens: int, request: Instance, parameters: SamplingParams
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
        told = list(completion.logprobs or ())
        return GeneratedText(
            read.text,
            tokens=len(tokens),
            prompt_tokens=prompt_tokens,
            budget=parameters.max_tokens,
            finish_reason="length" if completion.finish_reason == "length" else "stop",
            seed=parameters.seed,
            turn_end=read.turn_end,
            logprob=mean(known[token].logprob for token, known in zip(tokens, told, strict=False)) if told else None,
            entropy=mean_entropy([[one.logprob for one in known.values()] for known in told]) if told else None,
        )

    @cached_property
    def _marked_by_special_tokens(self) -> bool:
        return dropped_marker(self.tokenizer) is not None


def require_applicable(adapter: str) -> None:
    """Look at an adapter as vLLM does with the first request only, when the base's weights are loaded.

    Raises:
        AdapterError: VLLM cannot apply it.
    """
    try:
        found = PEFTHelper.from_local_dir(adapter, max_position_embeddings=None)
        found.validate_legal(LoRAConfig(max_lora_rank=512))  # room for the rank is another argument
    except (OSError, ValueError, TypeError) as error:
        raise AdapterError(
            f"adapter {adapter!r}: vLLM cannot apply it: {error} Evaluate it with --model sftgen-hf, or merge it into "
            "its base model"
        ) from error


def _given_up(output: RequestOutput) -> EngineStoppedError:
    return EngineStoppedError(
        f"vLLM gave up a request ({output.outputs[0].finish_reason}). Every response that came before is recorded; "
        "with `sftgen eval --run DIR` the same command makes the others"
    )


def _outer_name(name: str) -> str:
    """The name of a request in vLLM's outputs: inside, random letters are added to it."""
    return name.rpartition("-")[0] or name


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
        # With "auto" vLLM would draw a bar of its own, into the trainer's.
        self.batch_size, self.data_parallel_size, self.tensor_parallel_size = GENERIC_CHUNK, 1, 1
        self.add_bos_token = self.custom_prefix_token_id = self.lora_request = self.think_end_token = None
        self.enable_thinking, self.chat_template_args = None, dict[str, Any]()
        self.truncation_side, self._max_length, self._max_gen_toks = "left", None, DEFAULT_MAX_GEN_TOKS
        self.seed, self.end_tokens = seed, end_tokens
