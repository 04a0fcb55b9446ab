"""Does a verdict survive another token limit? The trajectory read anew from responses truncated afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.query import open_records
from sftgen_judges.records.shares import is_share
from sftgen_train.report.trajectories import trajectory
from sftgen_train.results.budgets import rescore_at_budgets
from sftgen_train.trajectory import Verdict, align, read_curve, stack


@dataclass(frozen=True)
class AtLimit:
    """The verdict of one task at one token limit.

    Attributes:
        task: The task.
        limit: Tokens after which each response was truncated.
        verdict: The verdict at it.
        whole: The verdict of the whole responses.
    """

    task: str
    limit: int
    verdict: Verdict
    whole: Verdict

    @property
    def survives(self) -> bool:
        """Whether both verdicts make the same claims of dip and end."""
        return (bool(self.verdict.dips), self.verdict.end) == (bool(self.whole.dips), self.whole.end)

    def sentence(self) -> str:
        """In words."""
        if self.survives:
            return f"survives: {self.verdict.sentence()}"
        return f"does not survive: {self.verdict.sentence()} (whole responses: {self.whole.sentence()})"


def verdicts_at_limits(
    folder: Path, limits: Sequence[int], tasks: Sequence[str] = (), *, tokenizer: str | None = None, seed: int = 0
) -> list[AtLimit]:
    """Truncate each stored response of a run after so many tokens, score it again, and read the trajectory.

    The scores are added to the run's metrics, as `sftgen rescore --budgets` does.

    Args:
        folder: The run directory.
        limits: Numbers of tokens.
        tasks: Which of its tasks; by default those that no judge's model scores.
        tokenizer: As `rescore_at_budgets`.
        seed: Of the random flips.

    Raises:
        RecordError: As `rescore_at_budgets`.
        DataError: As `rescore_at_budgets`.
    """
    heard: dict[tuple[str, int], list[Sample]] = {}

    def hear(task: str, step: int | None, limit: int, samples: Sequence[Sample]) -> None:
        if step is not None:
            heard.setdefault((task, limit), []).extend(samples)

    rescore_at_budgets(folder, limits, tasks, tokenizer=tokenizer, hear=hear)
    with open_records(folder) as records:
        [found] = trajectory(records, tasks=tasks, seed=seed)
    whole = {verdict.name: verdict for verdict in found.tasks}
    return [
        AtLimit(task, limit, read_samples(task, samples, delta=whole[task].delta, seed=seed), whole[task])
        for (task, limit), samples in sorted(heard.items())
        if task in whole
    ]


def read_samples(task: str, samples: Sequence[Sample], *, delta: float, seed: int = 0) -> Verdict:
    """The verdict of a task's graded samples at several steps.

    Args:
        task: The task.
        samples: Of several evaluations of a step the last counts.
        delta: The loss that does not matter.
        seed: Of the random flips.
    """
    once = {(sample.doc_hash, sample.step or 0, sample.repeat): sample for sample in samples}
    keys = list(once)
    scores = [float("nan") if (score := sample.verdict.score) is None else score for sample in once.values()]
    values, steps, documents = stack(
        np.array([key[0] for key in keys]), [key[1] for key in keys], scores, [key[2] for key in keys]
    )
    labels = {sample.doc_hash: sample.cluster or sample.doc_hash for sample in once.values()}
    curves = align(values, steps, clusters=np.array([labels[name] for name in documents.tolist()]))
    share = all(is_share("score", sample.scorer) for sample in once.values())
    share = share and bool(((curves.values >= 0) & (curves.values <= 1)).all())
    return read_curve(task, curves, delta=delta, share=share, seed=seed)
