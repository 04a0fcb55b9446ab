"""The `length` diagnostic: how long responses are and how their thinking ended."""

from __future__ import annotations

from collections.abc import Iterator

from sftgen_judges.plugins.contracts import Batch, Diagnostic, Labels, Measure


def diagnose(batch: Batch) -> Iterator[Labels]:
    """Tokens of a response, whether it thinks, and whether its thinking never closed."""
    for answer in batch:
        response = answer.response
        values = {"thinking": float(response.think != "none"), "unclosed": float(response.think == "unclosed")}
        if response.tokens is not None:
            values["mean_tokens"] = response.tokens
        yield Labels(values)


LENGTH = Diagnostic(
    "length", version=2, level="sample", needs=(), diagnose=diagnose,
    measures=(
        Measure("mean_tokens", "tokens of a response", unit="tokens", exact=True),
        Measure("thinking", "share of responses that think", share=True, exact=True),
        Measure("unclosed", "share of responses whose thinking never closed", share=True, exact=True),
    ),
)  # fmt: skip
