"""What a study will make, and an estimate of what it costs: arithmetic only, nothing is loaded.

Training takes 6 operations a parameter and token, 8 where activations are made again (gradient checkpointing), at an
assumed share of the device's compute. Evaluations are estimated as by `sftgen plan`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sftgen_train.costs.inputs import read_device, read_model, read_work
from sftgen_train.costs.throughput import UTILISATION, Assumptions, CostError, Device, Estimate, estimate, throughput
from sftgen_train.costs.throughput import Model as Size
from sftgen_train.report.sections import Section
from sftgen_train.study.parts import Material, Parts, Run, kept_model, parts_of
from sftgen_train.study.reading import tasks_of
from sftgen_train.study.requirements import missing
from sftgen_train.study.running import stale
from sftgen_train.study.schema import ModelSource, Study
from sftgen_train.training import presets
from sftgen_train.training.config import ADAPTIVE, HarnessConfig

_RESPONSE = 512
"""TRL's own limit of a response that the model in training makes."""
_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Lengths:
    """What is assumed of lengths.

    Attributes:
        row: Mean length of a training row, in tokens.
        response: Mean length of a response.
        dip: The same at the dip.
    """

    row: float = 6_000
    response: float = 10_000
    dip: float = 28_000


@dataclass(frozen=True)
class RunCost:
    """What one training and its evaluations cost.

    Attributes:
        arm: The arm.
        seed: The seed.
        there: Whether it is there already.
        steps: Optimizer steps; None where the number of rows is not known.
        rows: Rows a step.
        checkpoints: Evaluated checkpoints, the base among them.
        training_hours: Device hours of training; None where the steps are not known.
        evaluation_hours: Device hours of generating.
        why: Why an estimate is missing.
    """

    arm: str
    seed: int
    there: bool
    steps: int | None
    rows: int
    checkpoints: int
    training_hours: float | None
    evaluation_hours: float | None
    why: str = ""


@dataclass(frozen=True)
class Planned:
    """A plan.

    Attributes:
        study: Its name.
        materials: Models and data sets that have to be made, and those that are there.
        runs: Every run.
        stale: Arms that a change has made stale.
        device: What the hours are of.
        lengths: What was assumed.
        generations: Responses of one checkpoint.
        own_responses: Arms that train on responses of the model in training.
        missing: What this machine lacks to run it, with file and line.
    """

    study: str
    materials: tuple[tuple[str, str], ...]
    runs: tuple[RunCost, ...]
    stale: tuple[str, ...]
    device: str
    lengths: Lengths
    generations: int
    own_responses: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def sections(self) -> list[Section]:
        """As tables."""
        made = tuple((label, state) for label, state in self.materials)
        rows = tuple(
            (
                run.arm, str(run.seed), "there" if run.there else "to do",
                "-" if run.steps is None else f"{run.steps:,} x {run.rows}", str(run.checkpoints),
                _hours(run.training_hours), _hours(run.evaluation_hours),
            )
            for run in self.runs
        )  # fmt: skip
        head = ("arm", "seed", "", "steps x rows", "checkpoints", f"{self.device} h training", "h evaluation")
        tables = [Section(f"Runs of {self.study}", head, rows)]
        return [Section("Models and data", ("part", ""), made), *tables] if made else tables

    def lines(self) -> Iterator[str]:
        """What stands below the tables."""
        yield from self.stale
        left = [run for run in self.runs if not run.there]
        training = sum(run.training_hours or 0 for run in left)
        evaluation = sum(run.evaluation_hours or 0 for run in left)
        yield (
            f"To do: {len(left)} of {len(self.runs)} runs, {_hours(training)} {self.device} hours of training and "
            f"{_hours(evaluation)} of evaluation; {self.generations:,} responses a checkpoint."
        )
        if self.own_responses:
            yield f"Training includes the responses that {', '.join(self.own_responses)} make while they train."
        for why in dict.fromkeys(run.why for run in left if run.why):
            yield f"Not estimated: {why}"
        yield (
            f"Assumed, not measured: rows of {self.lengths.row:,.0f} tokens, responses of "
            f"{self.lengths.response:,.0f}, at the dip {self.lengths.dip:,.0f} (a task's limit truncates them); "
            f"{UTILISATION:.0%} of the device's compute in training. Judges' time is not included."
        )
        if self.missing:
            yield "It cannot run here:"
            yield from self.missing

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def plan_study(study: Study, file: Path, folder: Path, *, device: str, lengths: Lengths = Lengths()) -> Planned:
    """Say what a study makes and costs.

    Args:
        study: The study.
        file: Its file.
        folder: Where its parts are.
        device: Name of a device.
        lengths: What is assumed of lengths.

    Raises:
        CostError: The device, or the number of a task's documents, is not known.
    """
    parts = parts_of(study, file, folder.absolute())
    on = read_device(device)
    tasks = [one for group in study.benchmarks.values() for task in group for one in tasks_of(task)]
    work = read_work(tasks, _counts(study, tasks), study.evaluation.limit)
    most = study.evaluation.gen_kwargs.get("max_gen_toks")
    given = Assumptions(
        tokens=min(lengths.response, float(most or lengths.response)),
        dip_tokens=min(lengths.dip, float(most or lengths.dip)),
    )
    runs = []
    for run in parts.runs:
        steps, rows = _steps(run)
        checkpoints = _checkpoints(run, steps)
        try:
            size = _size(study, run)
            found: Estimate | None = estimate(work, size, on, checkpoints, given)
            why = (
                ""
                if steps is not None
                else f"steps of {run.arm}: the number of its rows is not known before it is made"
            )
        except CostError as error:
            size, found, why = None, None, f"{run.arm}: {error}"
        hours = None
        if size and steps is not None:
            try:
                hours = steps * rows * _row_hours(study, run, size, on, lengths)
            except CostError as error:
                why = f"{run.arm}: {error}"
        evaluation = found.total("hours") if found else None
        runs.append(RunCost(run.arm, run.seed, run.done, steps, rows, checkpoints, hours, evaluation, why))
    return Planned(
        study.name, tuple(_materials(parts)), tuple(runs), tuple(stale(parts, folder)), device, lengths,
        sum(part.generations for part in work),
        tuple(name for name, arm in study.arms.items() if arm.method != "sft"), tuple(missing(study, file)),
    )  # fmt: skip


def _counts(study: Study, tasks: list[str]) -> Mapping[str, int]:
    """Tasks whose documents are made from a seed have as many as the study asks for."""
    limit = study.evaluation.limit
    made = {"sftgen_countdown", "sftgen_refusal", *tasks_of("sftgen_procedural")}
    return {task: limit or 500 for task in tasks if task in made}


def _materials(parts: Parts) -> Iterator[tuple[str, str]]:
    for material in (*parts.models, *parts.data):
        kept = material.missing and material.builder is not None and kept_model(material.path).is_dir()
        yield material.label, "made before, in the cache" if kept else "to make" if material.missing else "there"


def _size(study: Study, run: Run) -> Size:
    return _size_of(run.model, study.model_of(run.arm))


def _size_of(model: Material, source: ModelSource) -> Size:
    if model.builder:
        return Size(model.builder.parameters, 1024.0, "its builder")
    return read_model(model.path, source.parameters)


def _row_hours(study: Study, run: Run, size: Size, on: Device, lengths: Lengths) -> float:
    """Device hours of training on one row; of a response of the model's own, generating it is among them.

    Raises:
        CostError: The model cannot generate on the device, or a teacher's size is not known.
    """
    work = (8 if run.fields.get("gradient_checkpointing") else 6) * size.parameters
    method, arm = study.arms[run.arm].method, study.arms[run.arm]
    if method == "sft":
        length = min(lengths.row, float(run.fields.get("max_length") or lengths.row))
        return work * length / (UTILISATION * on.compute) / 3600
    given = Assumptions()
    length = min(lengths.response, float(run.fields.get("max_completion_length") or _RESPONSE))
    if isinstance(run.teacher, Run):
        work += 2 * _size(study, run.teacher).parameters
    elif run.teacher and arm.teacher:
        work += 2 * _size_of(run.teacher, arm.teacher).parameters
    if run.fields.get("beta") and method == "grpo":  # the reference model reads each response
        work += 2 * size.parameters
    generating = length / throughput(size, on, length, given)
    return (generating + work * (given.prompt + length) / (UTILISATION * on.compute)) / 3600


def _steps(run: Run) -> tuple[int | None, int]:
    """Optimizer steps and rows a step, as far as the fields tell."""
    fields = run.fields
    rows = int(
        fields.get("global_batch_size")
        or int(fields.get("per_device_train_batch_size") or _DEFAULT_BATCH)
        * int(fields.get("gradient_accumulation_steps") or 1)
    )
    most = int(fields.get("max_steps") or 0)
    if most > 0:
        return most, rows
    known = _known_rows(run.data)
    if known is None:
        return None, rows
    responses = known * int(fields.get("num_generations") or 8) if fields.get("method") == "grpo" else known
    return int(float(fields.get("num_train_epochs") or 3) * max(1, responses // rows)), rows


def _known_rows(data: Material) -> int | None:
    """The number of a data set's rows, where it is known before the data is read."""
    if data.facts.get("rows"):
        return int(data.facts["rows"])
    if data.builder:
        return int(data.options.get("rows") or 0) or None
    if data.facts.get("hub") in {of.hub for of in presets.DATA.values()}:
        return presets.ROWS
    path = Path(data.path)
    if path.is_file() and path.suffix == ".jsonl":
        with path.open("rb") as file:
            return sum(1 for line in file if line.strip())
    return None


def _checkpoints(run: Run, steps: int | None) -> int:
    """Evaluated checkpoints, the base and the last among them."""
    from sftgen_train.evaluation.schedule import Tier

    named = run.fields.get("harness_at_steps")
    if named == ADAPTIVE:
        return int(run.fields.get("harness_max_evaluations", HarnessConfig.harness_max_evaluations))
    if named is not None:
        due = {0, *(step for step in named if steps is None or step <= steps)}
    else:
        due = {step for step in range(min(steps or 0, 10_000)) if Tier(["any"]).due(step)} | {0}
    return len(due | ({steps} if steps else set()))


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:,.1f}" if hours >= 0.05 else "<0.1"
