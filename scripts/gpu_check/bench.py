"""Where the checks run: device, model, tokenizer, clock and memory meter; and how a check fails."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GB = 1e9


class CheckFailedError(Exception):
    """What a check found is not as it must be."""


@dataclass(frozen=True)
class Bench:
    """Where the checks run, and on a model of which size.

    Attributes:
        device: `cuda` or `cpu`.
        tiny: Whether the model has a few thousand parameters, and the texts are short.
    """

    device: str
    tiny: bool

    @property
    def cuda(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"

    def tokenizer(self) -> Any:
        """The demo's tokenizer of bytes; every other token of the vocabulary is decoded to a number."""
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        from sftgen_train.demo.tiny import build_tokenizer

        small = build_tokenizer([" odd or even?", "odd", "even"])
        data = json.loads(small.backend_tokenizer.to_str())
        words = data["model"]["vocab"]
        # Tokens that stand beside the words get the last ids.
        numbers = range(len(words), self.vocabulary - len(data["added_tokens"]))
        words |= {f"{number},": number for number in numbers}
        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(data)), pad_token=small.pad_token, eos_token=small.eos_token,
            chat_template=small.chat_template, clean_up_tokenization_spaces=False, padding_side="left",
            model_max_length=40960,
        )  # fmt: skip

    @property
    def vocabulary(self) -> int:
        """Qwen3's, or a small one."""
        return 2_000 if self.tiny else 151_936

    def model(self, dtype: Any, *, seed: int = 0, tied: bool = True) -> Any:
        """A Qwen3 of random weights: 0.6 billion, or a few thousand."""
        import torch
        from transformers import Qwen3Config, Qwen3ForCausalLM

        size: dict[str, Any] = {
            "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128,
        }  # fmt: skip
        if self.tiny:
            size = {
                "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                "num_key_value_heads": 1, "head_dim": 32,
            }  # fmt: skip
        config = Qwen3Config(
            vocab_size=self.vocabulary, max_position_embeddings=40960, tie_word_embeddings=tied, bos_token_id=None,
            eos_token_id=self.tokenizer().eos_token_id, **size,
        )  # fmt: skip
        torch.manual_seed(seed)
        with torch.device(self.device):
            return Qwen3ForCausalLM(config).to(dtype).eval()

    def wait(self) -> None:
        """Until the GPU has done everything."""
        if self.cuda:
            import torch

            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds that a piece of work takes, and what it gives."""
        self.wait()
        started = time.perf_counter()
        made = work()
        self.wait()
        return time.perf_counter() - started, made

    @contextlib.contextmanager
    def peak(self, found: dict[str, Any], name: str) -> Iterator[None]:
        """Note how much more than now is allocated at most, in GB."""
        if not self.cuda:
            yield
            return
        import torch

        free()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        found[name] = round((torch.cuda.max_memory_allocated() - before) / GB, 3)


def free() -> None:
    """Give back what nobody holds."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def require(holds: bool, what: str) -> None:
    """Fail the check unless something holds."""
    if not holds:
        raise CheckFailedError(what)
