"""What a chat server says of its model: the longest sequence it takes, and whether settings can be overridden.

Read from `/v1/models`, where vLLM and SGLang tell, and from the refusal of a request that asks for too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

OVERRIDABLE: Mapping[str, Any] = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Settings that these servers take from the model's folder or have a default for, with what says: none."""
OWNERS = ("vllm", "sglang", "llamacpp")
"""Servers, by `owned_by` of their models, that take all of `OVERRIDABLE`; others may refuse an unknown field."""
_LARGEST_REPLY = 1_000_000
_SECONDS = 10.0

_NUMBER = r"(\d{1,9})"
_CONTEXT = re.compile(
    rf"context (?:length|window|size)(?: (?:is|of))? \(?{_NUMBER}|max_model_len={_NUMBER}|must be <= {_NUMBER}"
    rf'|"n_ctx": ?{_NUMBER}',
    re.IGNORECASE,
)
_PROMPT = re.compile(
    rf"{_NUMBER} (?:tokens )?(?:in|from) (?:the|your) (?:messages|prompt|input)|{_NUMBER} input tokens"
    rf"|given: {_NUMBER} `inputs` tokens|(?:input|request) \({_NUMBER} tokens\)"
    rf'|"n_prompt_tokens": ?{_NUMBER}',
    re.IGNORECASE,
)
_MOST = re.compile(rf"at most {_NUMBER} (?:completion|output) tokens", re.IGNORECASE)


@dataclass(frozen=True)
class Served:
    """What is known of a served model.

    Attributes:
        context: The longest sequence that it takes, in tokens.
        overridable: Whether it takes all settings of `OVERRIDABLE`.
    """

    context: int | None = None
    overridable: bool = False


def served(base_url: str, model: str, *, header: Mapping[str, str], verify: Any, timeout: float) -> Served:
    """What a server's list of models says of one; nothing where it has no list or does not name the model.

    Args:
        base_url: Address of the endpoint for chats; the list lies beside it.
        model: The name it is served under.
        header: Headers of every request.
        verify: How its certificate is checked.
        timeout: Seconds that a request may take.
    """
    root, found, _ = base_url.rstrip("/").rpartition("/chat/completions")
    if not found:
        return Served()
    try:
        with requests.get(
            f"{root}/models",
            headers=dict(header),
            verify=verify,
            timeout=min(timeout, _SECONDS),
            allow_redirects=False,
            stream=True,
        ) as reply:
            if reply.status_code != 200:
                return Served()
            listed = json.loads(reply.raw.read(_LARGEST_REPLY, decode_content=True))["data"]
        card = next(card for card in listed if card["id"] == model)
        context = card.get("max_model_len")
        known = isinstance(context, int) and not isinstance(context, bool) and context > 0
        return Served(context if known else None, card.get("owned_by") in OWNERS)
    except (requests.RequestException, OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return Served()


@dataclass(frozen=True)
class Refusal:
    """What the refusal of a request tells of lengths, in tokens; None where it does not.

    Attributes:
        context: The longest sequence that the model takes.
        prompt: Length of the prompt.
        most: Most tokens of a response.
    """

    context: int | None
    prompt: int | None
    most: int | None

    @classmethod
    def read(cls, text: str) -> Refusal:
        """Read what a server writes.

        >>> Refusal.read("maximum context length is 100 tokens, (30 in the messages, 80 in the completion)")
        Refusal(context=100, prompt=30, most=None)
        """
        return cls(*(_first(pattern, text[:4000]) for pattern in (_CONTEXT, _PROMPT, _MOST)))


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return int(next(group for group in match.groups() if group)) if match else None
