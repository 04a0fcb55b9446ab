"""How many tokens a response may have: the task's limit, or what its prompt leaves of the model's context."""

from __future__ import annotations

from sftgen_judges.errors import SftgenError


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
