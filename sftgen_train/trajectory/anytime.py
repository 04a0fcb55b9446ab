"""Intervals that may be looked at as often as one likes while documents come in."""

from __future__ import annotations

from math import inf, log, sqrt


def anytime_half_width(
    deviation: float, documents: int, *, planned: int, intervals: int = 1, confidence: float = 0.95
) -> float:
    """Half the width of an anytime-valid interval for a mean.

    The interval of every moment holds the truth, all moments together, with the confidence asked for: looking after
    every document and stopping when it pleases does no harm. The price is an interval about a half wider. Several
    intervals, for example one a planned step, share the error (Bonferroni), so steps may come in over time too.

    Robbins' normal mixture with an estimated deviation: Howard et al. 2021 (arXiv 1810.08240), Waudby-Smith et al.
    2024 (arXiv 2103.06476). It is asymptotic, so it is infinite below ten documents.

    Args:
        deviation: Standard deviation between documents (or of cluster means).
        documents: Documents (or clusters) so far.
        planned: Documents at the end; there the interval is about as narrow as it can be.
        intervals: How many are looked at over the whole run.
        confidence: Of all together.
    """
    if documents < 10:
        return inf
    alpha = (1 - confidence) / max(1, intervals)
    square = max(planned, documents) / (-2 * log(alpha) + log(1 - 2 * log(alpha)))
    return (
        deviation * sqrt(2 * (documents + square) * log(sqrt(documents + square) / (alpha * sqrt(square)))) / documents
    )
