"""Markers of thinking that are special tokens: decoding drops them, and with them the end of the thinking."""

from __future__ import annotations

import logging
from typing import Any

from sftgen_judges.records.markers import template_markers, think_markers

logger = logging.getLogger(__name__)


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
