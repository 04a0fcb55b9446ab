"""What reasoning cost in safety: which tasks of a run, or of two arms, it is read from, and why it is not told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sftgen_train.report.categories import members_of, safety_tasks
from sftgen_train.trajectory.alignment import align
from sftgen_train.trajectory.loading import OUTSIDE, TaskSamples
from sftgen_train.trajectory.pairing import Pair
from sftgen_train.trajectory.tradeoff import Tradeoff, tradeoff
from sftgen_train.trajectory.tradeoff_arms import TradeoffPair, compare_tradeoffs

REASONING, ATTACKS = "sftgen_reasoning", "asr"


def tradeoff_of(
    scores: Mapping[str, TaskSamples],
    attacks: Mapping[str, TaskSamples],
    *,
    base: int = 0,
    complete: bool = False,
    seed: int = 0,
) -> tuple[Tradeoff | None, str]:
    """The trade-off of one run.

    Args:
        scores: The answers to its tasks.
        attacks: Of its safety benchmarks: the success of attacks.
        base: The step before training.
        complete: Whether documents that lack repeats are left out, see `align`.
        seed: Of the random numbers.

    Returns:
        The trade-off, None where there is none; then why not, empty where the run has not both kinds of tasks.
    """
    reasoning, safety = _chosen(scores), _chosen_attacks(attacks)
    if not _both_kinds(scores):
        return None, ""
    if why := _missing(scores, reasoning, safety):
        return None, why
    curves = [
        align(of.samples.values, of.samples.steps, clusters=of.samples.clusters, complete=complete)
        for of in (*reasoning, safety[0])
    ]
    try:
        return tradeoff(curves[:-1], curves[-1], base, seed=seed), ""
    except ValueError as error:
        return None, str(error)


def tradeoffs_of(
    pairs: Mapping[str, Pair],
    shares: Mapping[str, bool],
    attacks: Mapping[str, Pair],
    *,
    base: int = 0,
    seed: int = 0,
) -> tuple[TradeoffPair | None, str]:
    """The trade-offs of two arms compared.

    Args:
        pairs: Both arms' answers to the tasks that they share.
        shares: Whether the values of a task are shares.
        attacks: Of their safety benchmarks: the success of attacks.
        base: The step before training.
        seed: Of the random numbers.

    Returns:
        As `tradeoff_of`.
    """
    if not _both_kinds(pairs):
        return None, ""
    reasoning = [pair for task, pair in pairs.items() if task in members_of(REASONING) and shares[task]]
    safety = [pair for task, pair in sorted(attacks.items()) if len(pair.values)]
    reasoning = [pair for pair in reasoning if len(pair.values)]
    if not reasoning or not safety:
        return None, f"no {ATTACKS} in both arms" if reasoning else "no reasoning score that is a share in both arms"
    try:
        return compare_tradeoffs(reasoning, safety[0], base, seed=seed), ""
    except ValueError as error:
        return None, str(error)


def _both_kinds(tasks: Mapping[str, object]) -> bool:
    return bool(members_of(REASONING) & set(tasks)) and bool(safety_tasks() & set(tasks))


def _chosen(scores: Mapping[str, TaskSamples]) -> list[TaskSamples]:
    return [of for task, of in scores.items() if task in members_of(REASONING) and of.share and _trained(of)]


def _chosen_attacks(attacks: Mapping[str, TaskSamples]) -> list[TaskSamples]:
    return [of for _, of in sorted(attacks.items()) if _trained(of)]


def _trained(of: TaskSamples) -> bool:
    return of.samples.steps != (OUTSIDE,)


def _missing(scores: Mapping[str, TaskSamples], reasoning: Sequence[TaskSamples], safety: Sequence[TaskSamples]) -> str:
    if not reasoning:
        return "no reasoning score that is a share"
    return "" if safety else f"no {ATTACKS} of {', '.join(sorted(safety_tasks() & set(scores)))}"
