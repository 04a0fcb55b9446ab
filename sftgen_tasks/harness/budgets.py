"""How many tokens a response may have: the task's limit, or what its prompt leaves of the model's context.

Our own models apply this prompt by prompt. lm_eval's own would cut the prompt instead, without a word: they are given
the budget as each request's limit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from sftgen_judges.errors import SftgenError
from sftgen_tasks.harness.generation import Count, counter_of, counter_of_model, prompt_text
from sftgen_tasks.harness.preflight import max_model_len

STEPS = 64
"""Budgets of stock models are rounded down to this part of the context: they batch equal settings only."""
HF, VLLM, API = "lm_eval.models.huggingface", "lm_eval.models.vllm_causallms", "lm_eval.models.api_models"
logger = logging.getLogger(__name__)


class PromptTooLongError(SftgenError, ValueError):
    """A prompt that leaves no token for its response."""


def response_budget(limit: int, context: int | None, prompt_tokens: int, *, task: str) -> int:
    """The tokens that one response may have.

    Args:
        limit: What the task asks for.
        context: The longest sequence, prompt and response together, that the model takes; None where nobody knows.
        prompt_tokens: Length of the prompt.
        task: Name of the task, for the error.

    Raises:
        PromptTooLongError: Not one token is left.
    """
    if context is None:
        return limit
    budget = min(limit, context - prompt_tokens)
    if budget < 1:
        raise PromptTooLongError(
            f"{task}: a prompt of {prompt_tokens} tokens leaves no token for its response: the model takes {context}. "
            "Evaluate a model with a longer context (for vLLM, max_model_len=N in --model_args), or leave the task out"
        )
    return budget


def fit_responses(task: str, instances: Sequence[Instance], limit: int, lm: Any, metadata: Mapping[str, Any]) -> None:
    """Check that every prompt of a task leaves room for its response, and keep the responses of a stock model in it.

    Args:
        task: The task.
        instances: Its requests; those of a stock model get a budget of their own where the limit does not fit.
        limit: What the task asks for.
        lm: The lm_eval model, None where it is not known.
        metadata: The task's metadata, with the arguments of the model among it.

    Raises:
        PromptTooLongError: A prompt leaves no token.
    """
    context = _context(lm, metadata)
    if context.length is None or context.count is None:
        if context.doubt:
            name, why = metadata.get("pretrained"), context.doubt
            _say_once(f"{name}: whether prompts leave room for their responses is not checked, since {why}")
        return
    lengths = [context.count(prompt_text(instance)) for instance in instances]
    budgets = [
        response_budget(limit, context.length, length, task=f"{task}, document {instance.doc_id}")
        for instance, length in zip(instances, lengths, strict=True)
    ]
    if hasattr(lm, "sftgen_name"):  # it does so itself, and counts as it generates
        return
    step = 1 if _is(lm, VLLM) else max(context.length // STEPS, 1)
    for instance, budget in zip(instances, budgets, strict=True):
        instance.budget = budget if budget == limit or budget < step else budget - budget % step
        if budget < limit:
            _cap(instance, instance.budget)
    if smaller := sum(budget < limit for budget in budgets):
        logger.warning(
            "%s: max_gen_toks %d and the prompt are longer than the %d tokens that the model takes (%s), for %d of %d "
            "prompts. Their responses may have what is left, at least %d tokens",
            task, limit, context.length, context.source, smaller, len(instances),
            min(instance.budget for instance in instances),
        )  # fmt: skip


def _cap(instance: Instance, budget: int) -> None:
    """Let a request ask for fewer tokens than its task does; what the task asks for stays known (`asked`)."""
    prompt, settings = instance.arguments
    instance.limit = settings.get("max_gen_toks")
    instance.arguments = (prompt, {**settings, "max_gen_toks": budget})


@dataclass(frozen=True)
class _Context:
    """What is known of a model's longest sequence.

    Attributes:
        length: Its length in tokens, None where nobody knows.
        count: Counts the tokens of a prompt as the model does.
        source: Where the length comes from, for a message.
        doubt: Why something is not known, where that is worth a word.
    """

    length: int | None = None
    count: Count | None = None
    source: str = ""
    doubt: str = ""


def _context(lm: Any, metadata: Mapping[str, Any]) -> _Context:
    if _is(lm, HF) or _is(lm, VLLM):
        return _Context(int(lm.max_length), lambda prompt: len(lm.tok_encode(prompt)), "its own settings")
    if _is(lm, API):
        # A server refuses what is too long; only prompts that are sent as tokens are cut, by lm_eval itself.
        if not getattr(lm, "tokenized_requests", False) or not callable(lm.tokenizer):
            return _Context()
        source = "max_length" if metadata.get("max_length") else "lm_eval's default: pass max_length=N in --model_args"
        return _Context(int(lm.max_length), lambda prompt: len(lm.tok_encode(prompt)), source)
    name = str(metadata.get("pretrained") or "")
    named = metadata.get("max_model_len") or metadata.get("max_length")
    length = int(named) if named else max_model_len(Path(name)) or (getattr(lm, "max_length", None) if name else None)
    count = counter_of(metadata) or (counter_of_model(lm) if name else None)
    if name and (length is None or count is None):
        why = "its tokenizer cannot be loaded" if count is None else "its longest input is not known"
        return _Context(doubt=why)
    return _Context(length, count, "max_model_len" if named else "its folder")


def _is(lm: Any, module: str) -> bool:
    return any(kind.__module__ == module for kind in type(lm).__mro__)


@cache
def _say_once(message: str) -> None:
    logger.warning(message)
