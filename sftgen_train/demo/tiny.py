"""The tiny model of the demo: its tokenizer, its chat template and its size.

Imports torch and transformers only inside the functions that need them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PAD, TURN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK, END_THINK, BOX = "<think>", "</think>", "\\boxed{"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_WORDING = re.compile(r"\D{2,}")


@dataclass(frozen=True)
class Size:
    """The size of the model; the default has 0.8 million parameters.

    Attributes:
        hidden: Width of the residual stream.
        inner: Width of the feed-forward layers.
        layers: Number of layers.
        heads: Number of query heads; there are half as many key and value heads.
        head: Width of one head.
    """

    hidden: int = 128
    inner: int = 384
    layers: int = 4
    heads: int = 4
    head: int = 32


def phrases(prompts: Iterable[str]) -> list[str]:
    """The wordings between the numbers of some prompts, each once, in alphabetical order.

    >>> phrases(["What is 1 + 2?"])
    [' + ', 'What is ']
    """
    return sorted({run for prompt in prompts for run in _WORDING.findall(prompt.replace(BOX, "0"))})


def build_tokenizer(wordings: Iterable[str]) -> PreTrainedTokenizerFast:
    """Build a tokenizer of single bytes, chat and thinking markers, and `wordings` as whole tokens.

    Digits and operators stay one token each, a prompt costs about twenty, and since every byte is in
    the vocabulary any text survives encoding and decoding unchanged.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([PAD, TURN, END])
    # Not special: thinking and answers must outlive skip_special_tokens.
    ordinary = [THINK, END_THINK, BOX, "user\n", "assistant\n", *wordings]
    core.add_tokens([AddedToken(text, normalized=False, special=False) for text in ordinary])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=40960,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, size: Size = Size()) -> Qwen3ForCausalLM:
    """Build an untrained Qwen3; the caller seeds torch."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads // 2,
        head_dim=size.head,
        max_position_embeddings=40960,
        tie_word_embeddings=True,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)
