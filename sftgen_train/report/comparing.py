"""Runs, or checkpoints of them, compared: what is read of each, what they share, and every number of the comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.records.display import InNotebook
from sftgen_judges.records.query import Records, open_records
from sftgen_tasks.harness.categories import SAFETY
from sftgen_train.report.arms import Arm, CompareError, LoadedArm, load_arms
from sftgen_train.report.categories import category_in, groups_of, trained_on
from sftgen_train.report.explaining import aligned, task_landmarks
from sftgen_train.report.safety_cost import tradeoff_of, tradeoffs_of
from sftgen_train.report.trajectories import apart
from sftgen_train.report.ways import graders_differ, settings_differ
from sftgen_train.trajectory.arms import ArmDifference, adjust_over_comparisons, compare_arms
from sftgen_train.trajectory.iso_id import EqualInDomain, equal_in_domain
from sftgen_train.trajectory.landmarks import Landmark
from sftgen_train.trajectory.pairing import Pair, pair
from sftgen_train.trajectory.tradeoff import Tradeoff
from sftgen_train.trajectory.tradeoff_arms import TradeoffPair

OPTIONS: Mapping[str, int] = MappingProxyType(
    {"sftgen_gpqa_diamond": 4, "sftgen_mmlu_pro": 10, "sftgen_mmlu_pro_full": 10, "sftgen_halueval": 2,
     "sftgen_halueval_full": 2}
)  # fmt: skip
"""Among how many options an answer of a benchmark can be guessed."""


@dataclass(frozen=True)
class AgainstFirst:
    """One arm against the first.

    Attributes:
        arm: Its label.
        tasks: A difference for each task.
        groups: For each group of at least two tasks.
        equal_in_domain: The comparison at equal in-domain score; None without in-domain tasks or others.
        tradeoff: What reasoning cost in safety in both arms; None without tasks of both, or of one checkpoint.
        no_tradeoff: Why there is none, if tasks of both are there.
    """

    arm: str
    tasks: tuple[ArmDifference, ...]
    groups: tuple[ArmDifference, ...]
    equal_in_domain: EqualInDomain | None
    tradeoff: TradeoffPair | None = None
    no_tradeoff: str = ""


@dataclass(frozen=True)
class ArmAlone:
    """What is told of one arm by itself.

    Attributes:
        arm: Its label.
        landmarks: Of every task; filled where there is nothing to compare it with.
        tradeoff: Safety against reasoning; None without tasks of both, or of one checkpoint.
        why: Why there is none, if tasks of both are there.
    """

    arm: str
    landmarks: Mapping[str, tuple[Landmark, ...]]
    tradeoff: Tradeoff | None
    why: str = ""


@dataclass(frozen=True)
class Comparison(InNotebook):
    """Arms compared with the first.

    Attributes:
        arms: Their labels.
        cautions: What a reader has to know first.
        others: Every arm but the first.
        alone: Every arm by itself.
        in_domain: The tasks that the first arm was trained on.
        categories: Where each task stands, see `category_in`.
    """

    shown_by = "sftgen_train.report.notebook:of_comparison"

    arms: tuple[str, ...]
    cautions: tuple[str, ...]
    others: tuple[AgainstFirst, ...]
    alone: tuple[ArmAlone, ...]
    in_domain: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What is asked of a comparison.

    Attributes:
        tasks: Only these tasks; all by default.
        measure: What is better when it is higher.
        in_domain: The in-domain tasks; by default what the first run's manifest names.
        levels: In-domain scores for the comparison at equal ones.
        options: Among how many options an answer can be guessed, by task; for others `OPTIONS` counts.
        base: The step before training.
        complete: Whether documents that lack a repeat somewhere are left out.
        bayes: Whether to compute Bayes@N.
        seed: Of the random numbers.
    """

    tasks: Collection[str] = ()
    measure: str = "score"
    in_domain: Collection[str] = ()
    levels: Sequence[float] | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    base: int = 0
    complete: bool = False
    bayes: bool = False
    seed: int = 0


def compare(arms: Iterable[str | Path | Arm], *, asked: Asked | None = None, **settings: Any) -> Comparison:
    """Compare runs, or checkpoints, with the first of them on the documents that they share.

    Args:
        arms: RUN, or RUN@STEP for one checkpoint; of checkpoints all arms are ones, or a run of one step. One run
            alone has its landmarks and its trade-off told.
        asked: What is asked.
        settings: The same by name, for example `measure="paper"`.

    Raises:
        CompareError: The arms share no task, document or step, or were graded by different rules.
        RecordError: A run cannot be read.
        IncompleteError: Bayes@N is asked for and documents lack answers.
    """
    asked = replace(asked or Asked(), **settings)
    given = [of if isinstance(of, Arm) else Arm.parse(of) for of in arms]
    if not given:
        raise CompareError("no run is given; expected RUN or RUN@STEP, and those to compare it with")
    records = open_records([of.folder for of in given])
    arms_of = load_arms(records, given, measure=asked.measure, tasks=asked.tasks)
    cautions = [line for of in arms_of for line in of.goes_on()]
    others = []
    for other in arms_of[1:]:
        found, said = _against(records, arms_of[0], other, asked)
        others.append(found)
        cautions += said
    cautions += [
        f"{of.label}, {task.task}: {line}" for of in arms_of for task in of.tasks.values()
        for line in (*task.cautions, *task.failed)
    ]  # fmt: skip
    alone = [_alone(of, asked, with_landmarks=len(arms_of) == 1) for of in arms_of]
    facts = _facts(arms_of[0], asked)
    return Comparison(
        tuple(of.label for of in arms_of), tuple(dict.fromkeys(cautions)), _adjusted(others), tuple(alone),
        tuple(sorted(trained_on(facts))), {task: category_in(task, facts) for task in arms_of[0].tasks},
    )  # fmt: skip


def _facts(first: LoadedArm, asked: Asked) -> Mapping[str, Any]:
    """The first arm's manifest, with the in-domain tasks that are asked for."""
    return {**first.manifest, "in_domain": sorted({*asked.in_domain} or trained_on(first.manifest))}


@dataclass(frozen=True)
class _Named:
    """A pair of one task with its documents."""

    task: str
    pair: Pair
    documents: NDArray[Any]


def _alone(of: LoadedArm, asked: Asked, *, with_landmarks: bool) -> ArmAlone:
    made: dict[str, tuple[Landmark, ...]] = {}
    for task, found in of.tasks.items() if with_landmarks else ():
        curves = aligned(found.samples, complete=asked.complete)
        if len(curves.values):
            made[task] = task_landmarks(
                found.samples, curves, found.samples.truncated, asked.base, share=found.share, seed=asked.seed
            )
    if of.arm.step is not None:
        return ArmAlone(of.label, made, None)
    cost = tradeoff_of(of.tasks, of.attacks, base=asked.base, complete=asked.complete, seed=asked.seed)
    return ArmAlone(of.label, made, *cost)


# ------------------------------------------------------------------------------ an arm against the first


def _against(records: Records, first: LoadedArm, other: LoadedArm, asked: Asked) -> tuple[AgainstFirst, list[str]]:
    who = f"{other.label} against {first.label}"
    shared = [task for task in first.tasks if task in other.tasks]
    said = [
        f"{who}: {', '.join(sorted(missing))} not compared: of one arm only"
        for missing in [set(first.tasks) ^ set(other.tasks)]
        if missing
    ]
    if not shared:
        raise CompareError(f"{who}: no task in common; {first.label} has {_list(first)}, {other.label} {_list(other)}")
    pairs: dict[str, _Named] = {}
    refused = []
    for task in shared:
        a, b = first.tasks[task], other.tasks[task]
        made = pair(task, a.samples, b.samples, complete=asked.complete)
        wrong = graders_differ(a, b, made)
        if wrong:
            refused.append(f"{task}: {wrong}")
            continue
        said += [f"{who}, {task}: {line}" for line in settings_differ(records, a, b, made)]
        pairs[task] = _Named(task, made, np.asarray(sorted({*a.samples.documents} & {*b.samples.documents})))
    if not any(len(of.pair.values) for of in pairs.values()):
        reasons = [*refused, *starmap("{}: {}".format, ((task, _nothing(of.pair)) for task, of in pairs.items()))]
        raise CompareError(f"{who}: nothing can be compared: {'; '.join(reasons)}")
    said += [f"{who}: not compared: {line}" for line in refused]
    share = {task: first.tasks[task].share and other.tasks[task].share for task in pairs}
    tasks = [
        compare_arms(
            task, [of.pair], base=asked.base, share=share[task], options=_options(task, asked),
            with_bayes=asked.bayes, seed=asked.seed,
        )
        for task, of in pairs.items()
    ]  # fmt: skip
    whole = [of for task, of in pairs.items() if share[task] and len(of.pair.values)]
    facts = _facts(first, asked)
    trained, groups = trained_on(facts), []
    for name, members in groups_of({of.task for of in whole}, facts).items():
        chosen, doubled = apart([of for of in whole if of.task in members])
        said += [f"{who}, {name}: {line}" for line in doubled]
        if len(chosen) > 1:
            groups.append(compare_arms(name, [of.pair for of in chosen], base=asked.base, seed=asked.seed))
    inside = [of.pair for of in whole if of.task in trained]
    others = [of for of in whole if of.task not in trained and category_in(of.task, facts) != SAFETY]
    outside = [of.pair for of in apart(others)[0]]
    equal = None
    if inside and outside and other.arm.step is None and first.arm.step is None:
        equal = equal_in_domain(inside, outside, levels=asked.levels, seed=asked.seed)
    cost: tuple[TradeoffPair | None, str] = None, ""
    if other.arm.step is None and first.arm.step is None:
        attacks = {
            task: pair(task, of.samples, other.attacks[task].samples, complete=asked.complete)
            for task, of in first.attacks.items()
            if task in other.attacks and task in pairs
        }
        scores = {task: of.pair for task, of in pairs.items()}
        cost = tradeoffs_of(scores, share, attacks, base=asked.base, seed=asked.seed)
    return AgainstFirst(other.label, tuple(tasks), tuple(groups), equal, *cost), said


def _adjusted(others: Sequence[AgainstFirst]) -> tuple[AgainstFirst, ...]:
    """Holm over all tasks of all arms, and over all groups of all arms."""
    tasks = iter(adjust_over_comparisons([task for of in others for task in of.tasks]))
    groups = iter(adjust_over_comparisons([group for of in others for group in of.groups]))
    return tuple(
        replace(of, tasks=tuple(next(tasks) for _ in of.tasks), groups=tuple(next(groups) for _ in of.groups))
        for of in others
    )


def _options(task: str, asked: Asked) -> int | None:
    given = {f"sftgen_{name.removeprefix('sftgen_')}": number for name, number in asked.options.items()}
    return {**OPTIONS, **asked.options, **given}.get(task)


def _list(of: LoadedArm) -> str:
    return ", ".join(sorted(of.tasks))


def _nothing(of: Pair) -> str:
    return "; ".join(f"{entry.count} {entry.what}: {entry.why}" for entry in of.left_out) or "no documents"
