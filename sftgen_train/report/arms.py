"""The arms of a comparison: runs, or checkpoints of them, with their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.query import Records
from sftgen_train.report.categories import safety_tasks
from sftgen_train.report.safety_cost import ATTACKS
from sftgen_train.report.trajectories import end_unknown, last_step, mapping
from sftgen_train.trajectory.loading import OUTSIDE, TaskSamples, load_measures
from sftgen_train.trajectory.pairing import truncated_shares


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
class LoadedArm:
    """An arm with its answers.

    Attributes:
        arm: Which it is.
        label: What it is called in tables.
        folder: The run directory, as the records name it.
        manifest: The run's manifest.
        tasks: The answers by task.
        attacks: Of each safety benchmark the success of attacks, where it was judged.
    """

    arm: Arm
    label: str
    folder: str
    manifest: Mapping[str, Any]
    tasks: Mapping[str, TaskSamples]
    attacks: Mapping[str, TaskSamples] = field(default_factory=dict)

    def goes_on(self) -> list[str]:
        """That the run is not at its end: who looks often finds differences by chance."""
        planned = last_step(self.manifest, self.arm.folder)
        last = min(task.samples.steps[-1] for task in self.tasks.values())
        if self.arm.step is not None or last == OUTSIDE:
            return []
        if planned is None:
            unknown = end_unknown(self.manifest, self.arm.folder, last)
            return [f"{self.label}: {unknown}"] if unknown else []
        if last >= planned:
            return []
        return [f"{self.label}: so far, step {last} of {planned}; intervals and p-values are for one look at the end"]


def load_arms(records: Records, arms: Sequence[Arm], *, measure: str, tasks: Collection[str] = ()) -> list[LoadedArm]:
    """Read the answers of arms.

    Args:
        records: All their runs.
        arms: The arms.
        measure: What of an answer, see `load_curves`.
        tasks: Only these; all by default.

    Raises:
        CompareError: An arm is named twice, or has no evaluation.
        RecordError: The records cannot be read.
    """
    runs = {Path(row["folder"]).resolve(): row for row in records.runs.rows()}
    rows = [runs[of.folder.resolve()] for of in arms]
    labels = _labels(arms, [row["run"] for row in rows])
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise CompareError(f"{twice[0]} is named twice; expected different runs or steps")
    answers, attacks = _answers(records, measure, tasks)
    return [
        LoadedArm(
            of, label, row["folder"], mapping(row["manifest"]), _of_arm(of, label, row["folder"], answers),
            {task: found for (folder, task), found in attacks.items() if folder == row["folder"]},
        )
        for of, label, row in zip(arms, labels, rows, strict=True)
    ]  # fmt: skip


def _labels(arms: Sequence[Arm], runs: Sequence[str]) -> list[str]:
    """The runs' folders by their last part where it tells them apart, else by their ids."""
    names = [of.folder.resolve().name for of in arms]
    apart_by_name = len(set(names)) == len({of.folder.resolve() for of in arms})
    chosen = names if apart_by_name else runs
    return [name + (f"@{of.step}" if of.step is not None else "") for name, of in zip(chosen, arms, strict=True)]


_Found = dict[tuple[str, str], TaskSamples]


def _answers(records: Records, measure: str, tasks: Collection[str]) -> tuple[_Found, _Found]:
    """Every arm's answers and successful attacks by folder and task, in one read.

    They are of the checkpoints of a training; of a task that has none, of its evaluation outside of one.
    """
    found: _Found = {}
    attacks: _Found = {}
    for read in load_measures(
        records, tuple(dict.fromkeys((measure, "truncated", ATTACKS))), tasks=tasks, outside=True
    ):
        parts = {name: of.part(outside=False) or of for name, of in read.items()}
        if ATTACKS in parts and parts[ATTACKS].task in safety_tasks():
            attacks[parts[ATTACKS].folder, parts[ATTACKS].task] = parts[ATTACKS]
        if measure in parts:
            of, cut = parts[measure], parts.get("truncated")
            shares = truncated_shares(of.samples, cut.samples) if cut else None
            found[of.folder, of.task] = replace(of, samples=replace(of.samples, truncated=shares))
    return found, attacks


def _of_arm(
    arm: Arm, label: str, folder: str, loaded: Mapping[tuple[str, str], TaskSamples]
) -> Mapping[str, TaskSamples]:
    tasks = {task: of for (where, task), of in loaded.items() if where == folder}
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
    return tasks
