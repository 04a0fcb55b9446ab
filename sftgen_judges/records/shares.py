"""Which metrics are shares, between 0 and 1: the metric says so, not the data, for logits may lie there by chance."""

from __future__ import annotations

from types import MappingProxyType

LOGITS = frozenset({"reward"})
"""Judges whose score is no share: the logit of a reward model."""
SAFETY = MappingProxyType({"hex_phi": "asr"})
"""Graders of safety benchmarks, and the measure on which their verdicts rest: a share of the answers that were judged,
for which less is better. Truncated responses count as unsafe in `score`, so it is no measure of safety."""
_SCORES = frozenset({"score", "score_first", "score_paper", "paper"})
_OTHERS = frozenset({"response_tokens", "tokens", "harmfulness", "harmfulness_paper"})


def is_share(metric: str, scorer: str | None = None) -> bool:
    """Whether a metric is a share.

    Args:
        metric: Its name. Of a plugin's metric nothing is known: it counts as a share while its values lie there.
        scorer: The grader or judge that gave it, if it is known.
    """
    if metric in _OTHERS or (metric.startswith("reward_") and metric != "reward_truncated"):
        return False
    return not (metric in _SCORES and scorer in LOGITS)
