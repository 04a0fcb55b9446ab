"""Makes a request fit into the context of a judge's model, by cutting the response that it asks about at its end.

The published code of arXiv 2604.06628 keeps 4,075 tokens of question and answer for judges of 4,096 tokens. With a
tokenizer the same is done here before a request is sent. Without one the server is asked, and what it says about the
length decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Request
from sftgen_judges.plugins.judge_settings import PREFIX, JudgeSettings, SettingsError

RESERVED = 21
"""Tokens of the context, at least, for what follows the answer and for the reply; 4,096 - 21 = 4,075."""
MOST_CUTS = 6
"""How often a request is made shorter because a server finds it too long."""
_TEMPLATE = 256
"""Bytes that stand for what a chat template adds, where the question is only whether a tokenizer is needed."""


def shortened(request: Request, kept: int) -> Request:
    """The request with the first `kept` characters of its response; as it is where the prompt does not hold it."""
    response = request.response
    if not response or kept >= len(response):
        return request
    beginning = response[:kept]

    def cut(text: str) -> str:
        before, found, after = text.rpartition(response)
        return before + beginning + after if found else text

    if isinstance(request.prompt, str):
        prompt: Any = cut(request.prompt)
    else:
        *others, last = request.prompt
        prompt = (*others, {**last, "content": cut(last["content"])})
    if prompt == request.prompt:
        return request
    return replace(request, prompt=prompt, response=beginning, clipped=request.clipped + len(response) - kept)


def fitting(request: Request, tokenizer: Any, context: float, text_of: Callable[[Request], str]) -> Request:
    """The request with as much of its response as the context holds.

    Args:
        request: What to ask.
        tokenizer: The judge's own, a fast one of transformers.
        context: Tokens that the model takes, prompt and reply together.
        text_of: The request as the one text that the model reads.
    """
    text = text_of(request)
    plain = isinstance(request.prompt, str)
    # No text has more tokens than bytes, so a short one needs no tokenizer.
    if len(text.encode("utf-8", "replace")) + max(RESERVED, request.max_tokens) + 8 <= context:
        return request
    start = text.rfind(request.response)
    if not request.response or start < 0:
        return request
    end = start + len(request.response)
    following = len(tokenizer(text[end:], add_special_tokens=False)["input_ids"])
    room = int(context) - max(RESERVED, request.max_tokens + following + 1)
    offsets = tokenizer(text[:end], add_special_tokens=plain, return_offsets_mapping=True)["offset_mapping"]
    if len(offsets) <= room:
        return request
    position = offsets[room - 1][1] if room > 0 else 0
    if room > 0 and offsets[room][0] < position:  # a letter of several tokens
        position = offsets[room][0]
    return shortened(request, max(0, position - start))


def fitting_settings(request: Request, settings: JudgeSettings) -> Request:
    """As `fitting`, where the settings know both the context and the tokenizer.

    Raises:
        SettingsError: The tokenizer cannot be used.
    """
    if not settings.max_context or not settings.tokenizer:
        return request
    size = len(_joined(request).encode("utf-8", "replace"))
    if size + _TEMPLATE + max(RESERVED, request.max_tokens) <= settings.max_context:
        return request
    tokenizer = tokenizer_of(settings.tokenizer)

    def text(one: Request) -> str:
        # What a server without a template makes of messages is not known.
        return text_of(one, tokenizer, settings) if tokenizer.chat_template else _joined(one)

    return fitting(request, tokenizer, settings.max_context, text)


def text_of(request: Request, tokenizer: Any, settings: JudgeSettings) -> str:
    """A request as the one text that the model reads: messages go through the tokenizer's chat template."""
    if isinstance(request.prompt, str):
        return request.prompt
    options = settings.extra_body.get("chat_template_kwargs", {})
    messages = [dict(message) for message in request.prompt]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options))


def _joined(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(message["content"] for message in request.prompt)


@cache
def tokenizer_of(name: str) -> Any:
    """A judge's tokenizer by folder or hub id.

    Raises:
        SettingsError: It cannot be loaded, or does not tell where its tokens stand.
    """
    from transformers import AutoTokenizer

    wanted = f"judge setting tokenizer ({PREFIX}TOKENIZER) {name!r}"
    folder = Path(name).exists()
    hub, _, revision = (name, "", "") if folder else name.partition("@")
    try:
        found = AutoTokenizer.from_pretrained(hub, revision=revision or None)
    except Exception as error:  # of files of any kind
        check = "the folder" if folder else "the name, and that the hub can be reached"
        raise SettingsError(f"{wanted}: cannot be loaded ({type(error).__name__}); check {check}") from error
    if not found.is_fast:
        raise SettingsError(f"{wanted}: expected a tokenizer with tokenizer.json, which tells where its tokens stand")
    return found


# ------------------------------------------------------------------------------ what a server says about the length

_TOO_LONG = re.compile(
    r"context[ _-]{0,2}(?:length|size|window|limit)|max(?:imum)?[ _]{0,2}(?:model|sequence|input|total)[ _]{0,2}len"
    r"|max_model_len|max_seq_len|session_len|max_new_tokens` must be <=",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])[0-9][0-9,]{0,9}(?![\w.]*[0-9])")
_LONGEST_MESSAGE = 2_000


def too_long(message: str) -> bool:
    """Whether a server refuses a request because the model's context does not hold it."""
    return bool(_TOO_LONG.search(message[:_LONGEST_MESSAGE]))


def shorter(request: Request, message: str) -> Request | None:
    """The request that is tried next after a server found it too long; None where nothing is left to cut.

    If the message has the model's limit and the length of the prompt, so much is cut as their ratio says; else a
    quarter of the prompt.

    Args:
        request: What was refused.
        message: What the server said.
    """
    if not request.response:
        return None
    size = len(_joined(request))
    excess = max(1, size - int(size * _share(message[:_LONGEST_MESSAGE], request.max_tokens)))
    found = shortened(request, max(0, len(request.response) - excess))
    return None if found is request else found


def _share(message: str, reply: int) -> float:
    """Share of a prompt that a model takes, by the numbers that the server names."""
    keyword = _TOO_LONG.search(message)
    numbers = [(match.start(), int(match[0].replace(",", ""))) for match in _NUMBER.finditer(message)]
    after = (number for place, number in numbers if keyword and place > keyword.start())
    limit = next(after, numbers[0][1] if numbers else 0)
    lengths = {number for _, number in numbers if number > reply} - {limit}
    if not lengths or limit <= reply:
        return 0.75
    # Some servers tell the length of prompt and reply together, too.
    alone = {number for number in lengths if number + reply in lengths}
    # A beginning may have more tokens for its length than the whole.
    return min(0.95, max(0.05, 0.98 * (limit - max(RESERVED, reply)) / max(alone or lengths)))
