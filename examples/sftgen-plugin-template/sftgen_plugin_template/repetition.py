"""`template_repetition`, a diagnostic of level `sample`: does the model go round in circles?

It labels single responses. Means over documents, intervals and the figure are made of the labels by sftgen.
"""

from __future__ import annotations

from collections.abc import Iterator

from sftgen_judges import Batch, Diagnostic, Labels, Measure

N = 4


def repeated(text: str) -> float | None:
    """Share of the n-grams of words that stood in the text before; None where it has no n-gram."""
    words = text.split()
    ngrams = [tuple(words[start : start + N]) for start in range(len(words) - N + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else None


def diagnose(batch: Batch) -> Iterator[Labels]:
    """The share of repeated 4-grams of each response, thinking included; a short one has none."""
    for answer in batch:
        share = repeated(answer.response.text)
        yield Labels({} if share is None else {"repeated_4grams": share})


REPETITION = Diagnostic(
    "template_repetition", version=2, level="sample", needs=("text",), diagnose=diagnose,
    measures=(Measure("repeated_4grams", "share of repeated 4-grams", share=True, exact=True),),
)  # fmt: skip
