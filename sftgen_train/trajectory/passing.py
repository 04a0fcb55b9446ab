"""What several answers of a document say together: unbiased pass@k curves, and Bayes@N."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sftgen_judges.errors import SftgenError
from sftgen_tasks.harness.votes import pass_at
from sftgen_train.trajectory.alignment import Floats


class IncompleteError(SftgenError, ValueError):
    """Documents lack answers that a number needs."""


@dataclass(frozen=True)
class Bayes:
    """Bayes@N (arXiv 2510.04265): the mean of what each document's rate is believed to be, after a flat prior.

    Documents are taken as they are: the deviation is that of more answers, not of other documents.

    Attributes:
        mean: Mean over documents of (right + 1) / (answers + 2). The order of models is that of their mean score.
        deviation: Standard deviation of the belief about it.
        answers: Answers to each document.
    """

    mean: float
    deviation: float
    answers: int


def pass_at_k(scores: ArrayLike, drawn: int) -> Floats:
    """For each document the chance that one of `drawn` answers is right, drawn without replacement from those given.

    Args:
        scores: Documents x repeats, each 0 or 1; NaN where an answer is missing.
        drawn: How many are drawn.

    Returns:
        One number a document; NaN where it has fewer answers than are drawn.

    Raises:
        ValueError: A score is neither 0 nor 1, or fewer than one is drawn.
    """
    right, answers = _counts(scores)
    if drawn < 1:
        raise ValueError(f"pass@{drawn}: expected 1 or more")
    kinds, which = np.unique(np.stack([answers, right], axis=1), axis=0, return_inverse=True)
    found = [pass_at(drawn, int(n), int(c)) if n >= drawn else np.nan for n, c in kinds]
    return np.asarray(found, dtype=np.float64)[which.reshape(-1)]


def curve_of(answers: int) -> tuple[int, ...]:
    """For which k a curve is shown: 1, 2, 4, ... and the number of answers."""
    return (*(2**power for power in range(max(0, answers).bit_length()) if 2**power < answers), max(1, answers))


def bayes(scores: ArrayLike) -> Bayes:
    """Bayes@N of documents that have all their answers.

    Args:
        scores: Documents x repeats, each 0 or 1.

    Raises:
        IncompleteError: Some documents lack answers.
        ValueError: A score is neither 0 nor 1, or there are no documents.
    """
    right, answers = _counts(scores)
    if not len(answers):
        raise ValueError("no documents: expected at least one")
    lacking = int((answers < np.asarray(scores).shape[1]).sum())
    if lacking:
        raise IncompleteError(
            f"Bayes@{np.asarray(scores).shape[1]}: {lacking} of {len(answers)} documents lack answers; grade them "
            "first (sftgen rescore), or compare without it"
        )
    count = int(answers[0])
    belief = (right + 1) / (count + 2)
    variance = (belief * (1 - belief) / (count + 3)).sum() / len(belief) ** 2
    return Bayes(float(belief.mean()), float(np.sqrt(variance)), count)


def is_right_or_wrong(scores: ArrayLike) -> bool:
    """Whether every score that is there is 0 or 1."""
    given = np.asarray(scores, dtype=np.float64)
    return bool(((given == 0) | (given == 1) | np.isnan(given)).all())


def _counts(scores: ArrayLike) -> tuple[Floats, Floats]:
    given = np.asarray(scores, dtype=np.float64)
    if given.ndim != 2:
        raise ValueError(f"scores of shape {given.shape}: expected documents x repeats")
    if not is_right_or_wrong(given):
        raise ValueError("a score is neither 0 nor 1: expected answers that are right or wrong")
    return np.nansum(given, axis=1), np.isfinite(given).sum(axis=1).astype(np.float64)
