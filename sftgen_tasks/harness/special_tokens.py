"""Special tokens of a response: kept apart from its text, unless they mark thinking.

Our own models make the text of the same tokens in the same way, whatever the engine underneath does with them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.records.markers import template_markers, think_markers
from sftgen_judges.records.turns import begins_turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadTokens:
    """What the tokens of a response say.

    Attributes:
        text: The text, up to the first stop string.
        stopped: Whether there was a stop string.
        turn_end: Character of the text at which a special token ended the turn, while the model wrote on.
    """

    text: str
    stopped: bool = False
    turn_end: int | None = None


def read_tokens(tokenizer: Any, tokens: Sequence[int], until: Sequence[str] = (), *, keep: bool = False) -> ReadTokens:
    """Read the tokens of a response, without the one that ended it.

    Args:
        tokenizer: The model's.
        tokens: The tokens.
        until: Stop strings; the text ends before the first one. They may hold special tokens.
        keep: Whether special tokens mark thinking (`dropped_marker`): they are then all part of the text, since a
            family writes several of them around one marker.
    """
    listed = list(tokens)
    written = tokenizer.decode(listed, skip_special_tokens=False)
    stopped = any(stop in written for stop in until)
    text = written if keep else tokenizer.decode(listed, skip_special_tokens=True)
    if stopped:
        cut = min((place for stop in until if (place := text.find(stop)) >= 0), default=None)
        if cut is None:  # a special token is in it
            listed = listed[: _first_with(tokenizer, listed, until)]
            text = tokenizer.decode(listed, skip_special_tokens=True)
        else:
            text = text[:cut]
    return ReadTokens(text, stopped, None if keep else _turn_end(tokenizer, listed, text))


def dropped_marker(tokenizer: Any, template: str | None = None) -> str | None:
    """A marker of thinking that a tokenizer drops when it decodes without special tokens; None if it keeps all.

    Args:
        tokenizer: A tokenizer of transformers.
        template: The chat template whose markers are looked at, by default the tokenizer's own.
    """
    template = template or getattr(tokenizer, "chat_template", None)
    name = template_markers(template) if isinstance(template, str) else None
    for sign in think_markers(name).signs if name else ():
        tokens = tokenizer(sign, add_special_tokens=False)["input_ids"]
        if sign in tokenizer.decode(tokens) and sign not in tokenizer.decode(tokens, skip_special_tokens=True):
            return sign
    return None


def warn_of_dropped_markers(lm: Any, template: str) -> None:
    """Warn that lm_eval's own transformers model drops a model's markers of thinking."""
    if type(lm).__module__ != "lm_eval.models.huggingface":
        return  # ours keeps them, and vLLM and servers decode themselves
    sign = dropped_marker(lm.tokenizer, template)
    if sign:
        logger.warning(
            "--model hf drops special tokens, and %s is one that marks this model's thinking: thinking cannot be told "
            "from the answer. Use --model sftgen-hf, which keeps it",
            sign,
        )


def _turn_end(tokenizer: Any, tokens: Sequence[int], text: str) -> int | None:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {*tokenizer.all_special_ids, *(token for token, of in added.items() if of.special)}
    for place, token in enumerate(tokens):
        # The name of who speaks next belongs to the token.
        if token in special and begins_turn(tokenizer.decode(tokens[place : place + 4], skip_special_tokens=False)):
            before = tokenizer.decode(tokens[:place], skip_special_tokens=True)
            wrote_on = text.startswith(before) and text[len(before) :].strip()
            return len(before) if wrote_on else None
    return None


def _first_with(tokenizer: Any, tokens: Sequence[int], until: Sequence[str]) -> int:
    """How many tokens come before the one that completes the first stop string."""
    low, high = 0, len(tokens)
    while low + 1 < high:
        middle = (low + high) // 2
        written = tokenizer.decode(tokens[:middle], skip_special_tokens=False)
        low, high = (low, middle) if any(stop in written for stop in until) else (middle, high)
    return low
