"""The `length` diagnostic: how long responses are and how their thinking ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from sftgen_judges.plugins.contracts import Diagnostic, Sample


def diagnose(samples: Sequence[Sample]) -> Mapping[str, float]:
    """Mean and median tokens of a response, share of responses that think, share whose thinking never closed."""
    tokens = [sample.response.tokens for sample in samples if sample.response.tokens is not None]
    thinks = [sample.response.think for sample in samples]
    found = {
        "thinking": sum(think != "none" for think in thinks) / len(thinks),
        "unclosed": thinks.count("unclosed") / len(thinks),
    }
    if tokens:
        found |= {"mean_tokens": fmean(tokens), "median_tokens": median(tokens)}
    return found


LENGTH = Diagnostic("length", version=1, diagnose=diagnose, texts=False)
