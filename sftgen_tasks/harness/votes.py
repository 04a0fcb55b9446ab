"""What several samples of a document say together: `maj@k`, `pass@k` and `score_first`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import comb

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.schema import ANSWERED, Measure

logger = logging.getLogger(__name__)

Canonical = Callable[[str], str]
_RIGHT = 0
"""Stands for all right answers of a document: they are one answer, however they are written."""


def vote_measures(samples: Sequence[Sample], canonical: Canonical | None = None) -> dict[str, list[Measure]]:
    """Measures of the documents that have a graded sample of every repeat; the others are left out, with a warning.

    Args:
        samples: The samples of a task, of one evaluation.
        canonical: One way to write answers that are the same; without it there is no vote.

    Returns:
        Measure to one value a document. Empty for one sample a document. Only `score_first` where a score is
        neither 0 nor 1.
    """
    documents: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        documents.setdefault(sample.doc_hash, {})[sample.repeat] = sample
    size = 1 + max((sample.repeat for sample in samples), default=0)
    if size < 2:
        return {}
    groups = [
        [found[repeat] for repeat in range(size)]
        for found in documents.values()
        if len(found) == size and all(sample.verdict.score is not None for sample in found.values())
    ]
    if len(groups) < len(documents):
        logger.warning(
            "%s: %d of %d documents lack a graded sample of some repeat; score_first, pass@k and maj@k leave them out",
            samples[0].task, len(documents) - len(groups), len(documents),
        )  # fmt: skip
    if not groups:
        return {}
    scores = [[float(sample.verdict.score or 0) for sample in group] for group in groups]
    found: dict[str, list[Measure]] = {"score_first": [of_doc[0] for of_doc in scores]}
    if any(score not in (0.0, 1.0) for of_doc in scores for score in of_doc):
        return found
    for drawn in _drawn(size):
        found[f"pass@{drawn}"] = [pass_at(drawn, size, int(sum(of_doc))) for of_doc in scores]
    if canonical:
        found[f"maj@{size}"] = [majority(group, canonical) for group in groups]
    return found


def pass_at(drawn: int, samples: int, right: int) -> float:
    """The chance that one of `drawn` samples is right, drawn without replacement from those that there are.

    >>> pass_at(1, 4, 1), pass_at(2, 4, 1), pass_at(4, 4, 1), pass_at(2, 4, 0)
    (0.25, 0.5, 1.0, 0.0)
    """
    return 1 - comb(samples - right, drawn) / comb(samples, drawn)


def majority(samples: Sequence[Sample], canonical: Canonical) -> float:
    """Whether the answer that most samples give is right; of several such answers the one that came first counts.

    So does the paper's code. A sample without an answer does not vote; without any vote the document is wrong.

    Args:
        samples: The samples of a document, in the order of repeats, each right or wrong.
        canonical: One way to write answers that are the same.
    """
    votes: dict[str | int, int] = {}
    for sample in samples:
        verdict = sample.verdict
        if verdict.status in ANSWERED and verdict.answer is not None:
            answer = _RIGHT if verdict.score == 1 else _written(verdict.answer, canonical)
            votes[answer] = votes.get(answer, 0) + 1
    return float(bool(votes) and max(votes, key=votes.__getitem__) == _RIGHT)


def _written(answer: str, canonical: Canonical) -> str:
    try:
        return canonical(answer)
    except Exception:  # from a plugin: an answer that it cannot read is one of its own
        return answer


def _drawn(size: int) -> list[int]:
    """2, 4, 8, ... and the number of samples."""
    powers = [2**power for power in range(1, size.bit_length()) if 2**power < size]
    return [*powers, size]
