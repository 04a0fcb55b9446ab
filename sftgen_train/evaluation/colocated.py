"""Evaluation by a vLLM engine in the trainer's own process. Its weights are checked before each use.

Imported only where vLLM is installed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel, is_peft_model
from accelerate.utils.other import get_free_port
from vllm import SamplingParams
from vllm.distributed.parallel_state import destroy_distributed_environment, destroy_model_parallel

from sftgen_judges.errors import SftgenError
from sftgen_tasks.harness.backends.vllm_engine import EngineVLLM
from sftgen_tasks.harness.backends.vllm_reload import tolerance
from sftgen_tasks.harness.shards import Shard, together
from sftgen_train.evaluation.trl_engine import colocated_generation, push_weights

# A full training with Adam takes about 16 bytes a parameter. The engine takes two, at most an eighth of a device; the
# rest of its share is for the cache. `dummy`: the engine begins with noise. With the checkpoint's weights, the first
# proof could not show whether any weights arrive.
DEFAULTS: Mapping[str, Any] = {"gpu_memory_utilization": 0.3, "load_format": "dummy"}
FIXED = ("model", "tensor_parallel_size", "enable_sleep_mode", "distributed_executor_backend")
PROBE = (
    "A farmer has 17 sheep; all but 9 run away, and 4 come back. How many are left? Let x = 9 + 4, then x = 13.\n"
    "def add(a, b):\n    return a + b\n"
)
PROBE_TOKENS = 64
INSTEAD = "use form='queue', which evaluates in a process of its own (`sftgen worker RUN`)"


class EngineError(SftgenError, ValueError):
    """A vLLM engine that cannot hold the model in training, or does not hold its weights."""


class ColocatedEngine:
    """TRL's vLLM engine beside a model in training. It sleeps between the evaluations.

    Its proof puts the model into eval mode: make and use it inside `evaluator.undisturbed`, which restores the mode.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        precision: torch.dtype | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        shard: Shard | None = None,
    ) -> None:
        """Make the engine, and prove that it can hold the model's weights.

        Args:
            model: The model in training, whole in this process.
            tokenizer: Its tokenizer.
            precision: Number format of training and engine, None for the model's own dtype.
            options: Arguments of vLLM's engine over `DEFAULTS`.
            seed: Base seed of sampled responses.
            shard: This process's part, when several evaluate together, each with an engine of its own.

        Raises:
            EngineError: vLLM cannot hold this model here.
            ShardError: One of several processes failed in this way.
        """
        self._model, self._tokenizer = extract_model_from_parallel(model), tokenizer
        self._precision, self._seed, self._shard = precision, seed, shard
        _require_loadable(self._model, options or {})
        self._dtype = precision or self._model.dtype
        self._sleeps = self._model.device.type == "cuda"
        self._alone = not torch.distributed.is_initialized()
        self._llm: Any = None
        try:
            together(shard, lambda: self._start({"dtype": self._dtype, **DEFAULTS, **(options or {})}))
            with self.serving():
                pass
        except BaseException:
            self.close()
            raise

    def _start(self, settings: Mapping[str, Any]) -> None:
        try:
            with _process_as_it_was():
                if self._alone:
                    os.environ["MASTER_PORT"] = str(get_free_port())  # not 29500, which any launcher takes
                self._generation = colocated_generation(self._model, self._tokenizer, sleep=self._sleeps, **settings)
        except Exception as error:
            raise EngineError(
                f"vLLM cannot hold {self._model.name_or_path!r} beside the training: {type(error).__name__}: {error}. "
                f"Its engine was given {dict(settings)}; change that with engine={{...}}, or {INSTEAD}"
            ) from error
        self._llm = self._generation.llm
        self._require_same_tokens()

    @contextlib.contextmanager
    def serving(self) -> Iterator[EngineVLLM]:
        """The model in training as an lm_eval model, with its current weights. Afterwards the engine sleeps again.

        Of several processes, either all serve or all fail.

        Raises:
            EngineError: The engine's weights are not the model's.
            ShardError: One of several processes failed in this way.
        """
        try:
            together(self._shard, self._wake)
            ends = self._model.generation_config.eos_token_id or []
            listed = ends if isinstance(ends, list) else [ends]
            yield EngineVLLM(self._llm, self._tokenizer, seed=self._seed, end_tokens=listed)
        finally:
            if self._sleeps:
                self._llm.sleep(level=2)

    def close(self) -> None:
        """Stop the engine and destroy the process groups that it made."""
        if self._llm:
            self._llm.llm_engine.engine_core.shutdown()
        destroy_model_parallel()
        if self._alone:  # otherwise they are the trainer's
            destroy_distributed_environment()

    def _wake(self) -> None:
        with _process_as_it_was():
            push_weights(self._generation)
            if self._sleeps:
                self._llm.wake_up(tags=["kv_cache"])
            self._prove()

    def _require_same_tokens(self) -> None:
        if self._llm.get_tokenizer().get_vocab() != self._tokenizer.get_vocab():
            raise EngineError(
                f"the tokenizer in training has other tokens than that of {self._model.name_or_path!r}, which vLLM "
                f"decodes with: save model and tokenizer into one folder and train from there, or {INSTEAD}"
            )

    @torch.no_grad()
    def _prove(self) -> None:
        """Both have to give the tokens of a text the same probabilities."""
        tokens = self._tokenizer(PROBE)["input_ids"][:PROBE_TOKENS]
        self._model.eval()
        device = self._model.device
        with torch.autocast(device.type, self._precision, enabled=self._precision is not None):
            logits = self._model(input_ids=torch.tensor([tokens], device=device), use_cache=False).logits[0]
        expected = logits[:-1].float().log_softmax(-1).cpu()[range(len(tokens) - 1), tokens[1:]]
        asked = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        [output] = self._llm.generate([{"prompt_token_ids": tokens}], asked, use_tqdm=False)
        found = [given[token].logprob for given, token in zip(output.prompt_logprobs[1:], tokens[1:], strict=True)]
        difference = (expected - torch.tensor(found)).abs().mean().item()
        allowed = tolerance(self._dtype)
        if not difference <= allowed:  # refuses nan too
            raise EngineError(
                f"vLLM does not hold the weights in training: over {len(found)} tokens of a probe, log-probabilities "
                f"differ by {difference:.2g} on average, and by at most {allowed:.2g} in {self._dtype} when they are "
                f"the same weights; {INSTEAD}"
            )


@contextlib.contextmanager
def _process_as_it_was() -> Iterator[None]:
    """At the end, restore what vLLM changes in the process: environment, threads, precision of products."""
    environment, set_threads = dict(os.environ), torch.set_num_threads
    matmuls = [part.matmul for part in (torch.backends.cuda, torch.backends.mkldnn)]
    precisions = [matmul.fp32_precision for matmul in matmuls]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads = set_threads
        for matmul, precision in zip(matmuls, precisions, strict=True):
            matmul.fp32_precision = precision


def _require_loadable(model: Any, options: Mapping[str, Any]) -> None:
    fixed: Sequence[str] = [name for name in FIXED if name in options]
    if fixed:
        raise EngineError(f"engine: {fixed[0]} cannot be set: each process holds one whole model")
    if is_peft_model(model) or getattr(model, "is_quantized", False):
        raise EngineError(
            "form='colocated' takes neither adapters nor quantised models: use form='in_process', or form='queue'"
        )
    if not getattr(model, "name_or_path", ""):
        raise EngineError(
            "the model was made in memory, and vLLM needs the folder or the hub id of its configuration: save it "
            f"with its tokenizer and train from that folder, or {INSTEAD}"
        )
