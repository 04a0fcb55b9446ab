"""What a server replied, with every field checked: nothing that a server sends is believed to have a shape."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sftgen_judges.asking.connection import LARGEST_REPLY
from sftgen_judges.asking.retrying import CallError
from sftgen_judges.plugins.contracts import Reply, Request
from sftgen_judges.records.schema import finish_word

MOST_TOKENS = 10_000_000
"""Tokens of a prompt or of a reply; a server that counts more does not count."""
CHARACTERS_A_TOKEN = 64
"""Characters that a token stands for at most; a server that counts fewer tokens does not count."""
HIDDEN = ""
"""In place of a token: all the probability of first tokens that a server may hide."""
LONGEST_NAME = 200
"""Characters of a model's name, of a finish reason and of a note that are kept."""


def read_body(data: str | bytes, request: Request) -> Reply:
    """The reply in the body that a server sent.

    Raises:
        CallError: The body is no JSON object with a reply, in whatever way.
    """
    if len(data) > LARGEST_REPLY:
        raise CallError(f"unreadable reply: more than {LARGEST_REPLY:,} bytes")
    try:
        return read_completion(json.loads(data), request)
    except (ValueError, RecursionError):
        raise CallError("unreadable reply: no JSON") from None


def read_completion(body: Any, request: Request) -> Reply:
    """The reply in the JSON that a server sent.

    Counts of tokens that make no sense are left out and noted: what is not counted is estimated where it matters.

    Raises:
        CallError: The JSON holds no reply.
    """
    if not isinstance(body, Mapping):
        raise CallError("unreadable reply: no JSON object")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise CallError("no choices in the reply")
    choice = choices[0]
    message: Mapping[str, Any] = choice if isinstance(request.prompt, str) else _object(choice, "message")
    text = _text(message, "text" if isinstance(request.prompt, str) else "content")
    refusal = _text(message, "refusal")
    notes: list[str] = []
    usage = body.get("usage")
    if usage is not None and not isinstance(usage, Mapping):
        notes.append(f"usage is {_kind(usage)}: tokens are estimated")
        usage = None
    prompt_tokens = _count(usage, "prompt_tokens", len(str(request.prompt)), notes)
    tokens = _count(usage, "completion_tokens", len(text or ""), notes)
    return Reply(
        text=text or "",
        model=_name(body.get("model")),
        finish_reason=finish_word(_name(choice.get("finish_reason")) or None),
        refusal=refusal[:LONGEST_NAME] if refusal else None,
        logprobs=_first_token(choice.get("logprobs"), request.logprobs) if request.logprobs else {},
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        notes=tuple(notes),
    )


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise CallError(f"unreadable reply: {name} is {_kind(value)}, expected an object")
    return value


def _text(parent: Mapping[str, Any], name: str) -> str | None:
    value = parent.get(name)
    if isinstance(value, list) and name == "content":
        value = "".join(map(_part, value))
    if value is not None and not isinstance(value, str):
        raise CallError(f"unreadable reply: {name} is {_kind(value)}, expected a text")
    return value


def _part(part: Any) -> str:
    """The text of a part of a message; a part of another type, for example thinking, has none."""
    if not isinstance(part, Mapping) or (part.get("type") == "text" and not isinstance(part.get("text"), str)):
        raise CallError("unreadable reply: content is a list of other things than parts")
    return str(part["text"]) if part.get("type") == "text" else ""


def _name(value: Any) -> str:
    """A short text that decides nothing alone; of any other kind it is left out."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        return str(value)[:LONGEST_NAME]
    except ValueError:  # a number of thousands of digits
        return ""


def _count(usage: Mapping[str, Any] | None, name: str, characters: int, notes: list[str]) -> int | None:
    """A count of tokens, None where the server gives none or one that makes no sense, which is noted."""
    value = None if usage is None else usage.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if characters / CHARACTERS_A_TOKEN <= value <= MOST_TOKENS:
            return value
        shown = str(value) if abs(value) < 10**12 else "huge"
        notes.append(f"{name} {shown} makes no sense: estimated")
    else:
        notes.append(f"{name} is {_kind(value)}: estimated")
    return None


def _kind(value: Any) -> str:
    """The kind of a JSON value, in words."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no finite number"
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "a text", int: "a number", float: "no whole number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")


def _first_token(logprobs: Any, asked: int) -> dict[str, float]:
    """The likeliest first tokens: of a completion a mapping, of a chat a list; tokens that look alike are summed.

    In a mapping a server can name one of two tokens that look alike only, perhaps the less likely one. Where that
    happened, the probability of all that is not named is that of the empty text.

    Raises:
        CallError: The log-probabilities have another shape.
    """
    if logprobs is None:
        return {}
    summed: dict[str, float] = {}
    try:
        for token, logprob in _pairs(logprobs):
            if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
                raise TypeError
            if math.isnan(logprob) or logprob > 1e-3:
                raise CallError("unreadable reply: a log-probability that is none")
            summed[token] = add_logprobs(summed.get(token, -math.inf), min(float(logprob), 0.0))
        if summed and not logprobs.get("content"):
            _add_hidden(summed, logprobs, asked)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError):
        raise CallError("unreadable reply: log-probabilities of another shape") from None
    return summed


def _add_hidden(summed: dict[str, float], logprobs: Mapping[str, Any], asked: int) -> None:
    """Add what the names of the tokens hide: the written token where it is likelier than its name, and the rest."""
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    fewer = len(summed) < asked
    if isinstance(tokens, list) and isinstance(values, list) and tokens and values and tokens[0] in summed:
        named, value = summed[tokens[0]], values[0]
        if isinstance(value, int | float) and named + 1e-6 < value <= 0:
            summed[tokens[0]] = add_logprobs(named, float(value))
            fewer = True
    rest = 1.0 - sum(map(math.exp, summed.values()))
    if fewer and rest > 1e-6:
        summed[HIDDEN] = math.log(rest)


def _pairs(logprobs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    content = logprobs.get("content")
    if content:
        yield from ((entry["token"], entry["logprob"]) for entry in content[0]["top_logprobs"])
        return
    top = logprobs.get("top_logprobs")
    if top and top[0]:
        yield from top[0].items()


def add_logprobs(one: float, other: float) -> float:
    """The logarithm of the sum of two probabilities."""
    low, high = sorted((one, other))
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
