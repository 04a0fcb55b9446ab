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

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.query import Records, open_records
from sftgen_judges.records.schema import printable
from sftgen_train.report.trajectories import apart, groups_of, last_step, mapping, members_of, trained_on
from sftgen_train.trajectory.alignment import align
from sftgen_train.trajectory.arms import ArmDifference, adjust_over_comparisons, compare_arms
from sftgen_train.trajectory.iso_id import EqualInDomain, equal_in_domain
from sftgen_train.trajectory.landmarks import Landmark, landmarks
from sftgen_train.trajectory.loading import OUTSIDE, TaskSamples, load_curves, load_samples
from sftgen_train.trajectory.pairing import Pair, pair, truncated_shares
from sftgen_train.trajectory.tradeoff import Tradeoff, tradeoff

OPTIONS: Mapping[str, int] = MappingProxyType(
    {"sftgen_gpqa_diamond": 4, "sftgen_mmlu_pro": 10, "sftgen_mmlu_pro_full": 10, "sftgen_halueval": 2,
     "sftgen_halueval_full": 2}
)  # fmt: skip
"""Among how many options an answer of a benchmark can be guessed."""
REASONING, SAFETY, ATTACKS = "sftgen_reasoning", "sftgen_safety", "asr"
_SHOWN = 40
"""Characters of a sampling setting that a caution shows."""


class CompareError(SftgenError, ValueError):
    """Arms that cannot be compared."""


@dataclass(frozen=True)
class Arm:
    """A run, or one checkpoint of it.

    Attributes:
        folder: The run directory.
        step: The checkpoint; None for all of them.
    """

    folder: Path
    step: int | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Arm:
        """Read RUN or RUN@STEP.

        Raises:
            CompareError: The step is no number.
        """
        name, at, step = str(text).rpartition("@")
        if not at or Path(text).is_dir():
            return cls(Path(text))
        if not step.isdecimal():
            raise CompareError(f"{str(text)!r}: {step!r} is no step; expected RUN or RUN@STEP, for example {name}@40")
        return cls(Path(name), int(step))


@dataclass(frozen=True)
class AgainstFirst:
    """One arm against the first.

    Attributes:
        arm: Its label.
        tasks: A difference for each task.
        groups: For each group of at least two tasks.
        equal_in_domain: The comparison at equal in-domain score; None without in-domain tasks or others.
    """

    arm: str
    tasks: tuple[ArmDifference, ...]
    groups: tuple[ArmDifference, ...]
    equal_in_domain: EqualInDomain | None


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
class Comparison:
    """Arms compared with the first.

    Attributes:
        arms: Their labels.
        cautions: What a reader has to know first.
        others: Every arm but the first.
        alone: Every arm by itself.
    """

    arms: tuple[str, ...]
    cautions: tuple[str, ...]
    others: tuple[AgainstFirst, ...]
    alone: tuple[ArmAlone, ...]


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
    runs = {Path(row["folder"]).resolve(): row for row in records.runs.rows()}
    rows = [runs[of.folder.resolve()] for of in given]
    labels = _labels(given, [row["run"] for row in rows])
    loaded = _load(records, asked)
    arms_of = [_of_arm(of, label, row, loaded) for of, label, row in zip(given, labels, rows, strict=True)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise CompareError(f"{twice[0]} is named twice; expected different runs or steps")
    cautions = [line for of, row in zip(arms_of, rows, strict=True) for line in _goes_on(of, mapping(row["manifest"]))]
    others = []
    for other in arms_of[1:]:
        found, said = _against(records, arms_of[0], other, mapping(rows[0]["manifest"]), asked)
        others.append(found)
        cautions += said
    cautions += [
        f"{of.label}, {task.task}: {line}" for of in arms_of for task in of.tasks.values()
        for line in (*task.cautions, *task.failed)
    ]  # fmt: skip
    alone = [_alone(records, of, asked, with_landmarks=len(arms_of) == 1) for of in arms_of]
    return Comparison(tuple(labels), tuple(dict.fromkeys(cautions)), _adjusted(others), tuple(alone))


# ------------------------------------------------------------------------------ one arm


@dataclass(frozen=True)
class _Loaded:
    """An arm with its answers, by task."""

    arm: Arm
    label: str
    tasks: Mapping[str, TaskSamples]


@dataclass(frozen=True)
class _Named:
    """A pair of one task with its documents."""

    task: str
    pair: Pair
    documents: NDArray[Any]


def _labels(arms: Sequence[Arm], runs: Sequence[str]) -> list[str]:
    """The runs' folders by their last part where it tells them apart, else by their ids."""
    names = [of.folder.resolve().name for of in arms]
    apart_by_name = len(set(names)) == len({of.folder.resolve() for of in arms})
    chosen = names if apart_by_name else runs
    return [name + (f"@{of.step}" if of.step is not None else "") for name, of in zip(chosen, arms, strict=True)]


def _load(records: Records, asked: Asked) -> dict[tuple[str, str], TaskSamples]:
    truncated = {(of.folder, of.task): of.samples for of in _read(records, "truncated", asked)}
    found = {}
    for of in _read(records, asked.measure, asked):
        cut = truncated.get((of.folder, of.task))
        shares = truncated_shares(of.samples, cut) if cut else None
        found[of.folder, of.task] = replace(of, samples=replace(of.samples, truncated=shares))
    return found


def _read(records: Records, measure: str, asked: Asked) -> Iterable[TaskSamples]:
    """The checkpoints of a training; of a task that has none its evaluation outside of one."""
    for of in load_samples(records, measure=measure, tasks=asked.tasks, outside=True):
        yield of.part(outside=False) or of


def _of_arm(arm: Arm, label: str, row: Mapping[str, Any], loaded: Mapping[tuple[str, str], TaskSamples]) -> _Loaded:
    tasks = {task: of for (folder, task), of in loaded.items() if folder == row["folder"]}
    if arm.step is not None:
        steps = sorted({step for of in tasks.values() for step in of.samples.steps})
        tasks = {
            task: replace(of, samples=of.samples.only(arm.step))
            for task, of in tasks.items()
            if arm.step in of.samples.steps
        }
        if not tasks:
            known = ", ".join(map(str, steps)) or "none"
            raise CompareError(f"{label}: nothing was evaluated at step {arm.step}; expected one of {known}")
    if not tasks:
        raise CompareError(f"{label}: no evaluation of the tasks and the measure that are asked for")
    return _Loaded(arm, label, tasks)


def _goes_on(of: _Loaded, manifest: Mapping[str, Any]) -> list[str]:
    """That a run is not at its end: who looks often finds differences by chance."""
    planned = last_step(manifest, of.arm.folder)
    last = min(task.samples.steps[-1] for task in of.tasks.values())
    if of.arm.step is not None or planned is None or last == OUTSIDE or last >= planned:
        return []
    return [f"{of.label}: so far, step {last} of {planned}; intervals and p-values are for one look at the end"]


def _alone(records: Records, of: _Loaded, asked: Asked, *, with_landmarks: bool) -> ArmAlone:
    made: dict[str, tuple[Landmark, ...]] = {}
    for task, samples in of.tasks.items() if with_landmarks else ():
        curves = align(
            samples.samples.values, samples.samples.steps, clusters=samples.samples.clusters, complete=asked.complete
        )
        cut = samples.samples.truncated
        if len(curves.values):
            places = [samples.samples.steps.index(step) for step in curves.steps]
            shares = None if cut is None else cut[curves.kept][:, places, 0]
            shares = shares if shares is not None and np.isfinite(shares).all() else None
            made[task] = landmarks(curves, asked.base, truncated=shares, seed=asked.seed)
    reasoning, safety = members_of(REASONING) & set(of.tasks), members_of(SAFETY) & set(of.tasks)
    if of.arm.step is not None or not reasoning or not safety:
        return ArmAlone(of.label, made, None)
    folder = next(iter(of.tasks.values())).folder
    gains = [c for c in load_curves(records, measure=asked.measure, tasks=reasoning) if c.folder == folder and c.share]
    attacks = [c for c in load_curves(records, measure=ATTACKS, tasks=safety) if c.folder == folder]
    try:
        if not attacks or not gains:
            raise ValueError(f"no {ATTACKS} of {', '.join(safety)}" if gains else "no reasoning score that is a share")
        found = tradeoff([curve.curves for curve in gains], attacks[0].curves, asked.base, seed=asked.seed)
    except ValueError as error:
        return ArmAlone(of.label, made, None, str(error))
    return ArmAlone(of.label, made, found)


# ------------------------------------------------------------------------------ an arm against the first


def _against(
    records: Records, first: _Loaded, other: _Loaded, manifest: Mapping[str, Any], asked: Asked
) -> tuple[AgainstFirst, list[str]]:
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
        wrong = _graders_differ(a, b, made)
        if wrong:
            refused.append(f"{task}: {wrong}")
            continue
        said += [f"{who}, {task}: {line}" for line in _settings_differ(records, a, b, made)]
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
    trained = {*asked.in_domain} or trained_on(manifest)
    groups = []
    for name, members in groups_of({of.task for of in whole}, {"in_domain": sorted(trained)}).items():
        chosen, doubled = apart([of for of in whole if of.task in members])
        said += [f"{who}, {name}: {line}" for line in doubled]
        if len(chosen) > 1:
            groups.append(compare_arms(name, [of.pair for of in chosen], base=asked.base, seed=asked.seed))
    inside = [of.pair for of in whole if of.task in trained]
    outside = [of.pair for of in apart([of for of in whole if of.task not in trained])[0]]
    equal = None
    if inside and outside and other.arm.step is None and first.arm.step is None:
        equal = equal_in_domain(inside, outside, levels=asked.levels, seed=asked.seed)
    return AgainstFirst(other.label, tuple(tasks), tuple(groups), equal), said


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


def _list(of: _Loaded) -> str:
    return ", ".join(sorted(of.tasks))


def _nothing(of: Pair) -> str:
    return "; ".join(f"{entry.count} {entry.what}: {entry.why}" for entry in of.left_out) or "no documents"


def _ways(a: TaskSamples, b: TaskSamples, of: Pair, name: str) -> list[tuple[Any, Any]]:
    """How each compared step was evaluated in both arms, where it differs."""
    steps = zip(of.steps, of.other_steps, strict=True)
    found = [(getattr(a.ways.get(one), name, None), getattr(b.ways.get(two), name, None)) for one, two in steps]
    return list(dict.fromkeys((one, two) for one, two in found if one != two))


def _graders_differ(a: TaskSamples, b: TaskSamples, of: Pair) -> str:
    for name, word in (("grader", "grader"), ("version", "evaluation version")):
        for one, two in _ways(a, b, of, name):
            return f"{word} {printable(str(one))} and {printable(str(two))}; grade both alike first (sftgen rescore)"
    return ""


def _settings_differ(records: Records, a: TaskSamples, b: TaskSamples, of: Pair) -> list[str]:
    """Sampling settings and token limits that differ, by name where the run's texts tell."""
    found = []
    for ids in _ways(a, b, of, "sampling"):
        known = [_settings(records, arm, identity) for arm, identity in zip((a, b), ids, strict=True)]
        if not all(known):
            found.append("other sampling settings or another token limit")
            continue
        one, two = known
        # Another seed is another answer of the same model, as it should be.
        names = sorted(name for name in {*one, *two} - {"seed"} if one.get(name) != two.get(name))
        found += [
            f"other sampling settings: {printable(name)} {_short(one.get(name))} and {_short(two.get(name))}"
            for name in names
        ]
    return list(dict.fromkeys(found))


def _settings(records: Records, of: TaskSamples, identity: str | None) -> dict[str, Any]:
    query = "SELECT any_value(sampling) AS sampling FROM texts WHERE folder = ? AND task = ? AND sampling_id = ?"
    [row] = records.sql(query, (of.folder, of.task, identity)).rows()
    return mapping(row["sampling"])


def _short(value: Any) -> str:
    return printable(str(value))[:_SHOWN]
