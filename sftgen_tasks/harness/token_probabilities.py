"""The mean log-probability and entropy of a generation, of what an engine or a server tells of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def mean(values: Iterable[float]) -> float | None:
    """The mean of finite numbers; None where there are none, or one is not finite."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed and all(map(math.isfinite, listed)) else None


def mean_entropy(likeliest: Sequence[Sequence[float]]) -> float | None:
    """The mean entropy of a token, at least: what is not among the likeliest counts as one token more.

    Args:
        likeliest: Of each token, the log-probabilities of the likeliest there, in nats.

    Returns:
        None where of a token fewer than two are known.
    """
    if any(len(known) < 2 for known in likeliest):
        return None
    return mean(_entropy([math.exp(min(0.0, value)) for value in known]) for known in likeliest)


def _entropy(shares: Sequence[float]) -> float:
    rest = max(0.0, 1.0 - math.fsum(shares))
    return -math.fsum(share * math.log(share) for share in (*shares, rest) if share > 0)


def of_reply(choice: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Mean log-probability and entropy of a choice of a chat completion; None for what it does not tell."""
    held = choice.get("logprobs")
    tokens = held.get("content") if isinstance(held, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        return None, None
    try:
        top = [[float(other["logprob"]) for other in token.get("top_logprobs") or ()] for token in tokens]
        return mean(float(token["logprob"]) for token in tokens), mean_entropy(top)
    except (KeyError, TypeError, ValueError):
        return None, None
