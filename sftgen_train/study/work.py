"""What the jobs of a study do, each in its own process: make a model, check, measure the base, train, diagnose."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.store import RunFolder
from sftgen_train.study.builders import model_builders
from sftgen_train.study.parts import DONE, kept_model

CHECKED = "checked.json"
"""Beside the records of the sanity gate: that the base has passed it."""
DIAGNOSED = "study-diagnostics.json"
"""In a run directory: which diagnostics of the study are done."""


class SanityError(SftgenError):
    """A base that does not score what the study asks of it."""


def make_model(builder: str, path: str, options: Mapping[str, Any], start: str | None) -> None:
    """Make a base model. One that an earlier study has made is in sftgen's cache, by what it is made of."""
    target, kept = Path(path), kept_model(path)
    if kept.is_dir():
        _copy(kept, target)
        print(f"made before: {kept}", flush=True)
        return
    made = model_builders()[builder]

    def progress(step: int, of: int, loss: float) -> None:
        if step % max(1, of // 10) == 0:
            print(f"step {step} of {of}, loss {loss:.3f}", flush=True)

    made.make(target, progress, **({"start": Path(start)} if start else {}), **options)
    with suppress(OSError):  # it is made again next time
        _copy(target, kept)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; the copy appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        shutil.copytree(source, Path(beside) / "copy")
        (Path(beside) / "copy").rename(target)


def measure_base(
    base: str, folder: str, bounds: Mapping[str, Mapping[str, float]], limit: int | None, evaluation: Mapping[str, Any]
) -> None:
    """Evaluate the base on the tasks of the sanity gate, and compare.

    Raises:
        SanityError: It does not score what was asked.
    """
    from sftgen_train.evaluation.evaluator import evaluate_checkpoint
    from sftgen_train.evaluation.schedule import Suite, Tier
    from sftgen_train.trajectory.statistics import estimate

    suite = Suite(
        [Tier(list(bounds), every=1, limit=limit)], evaluation["metadata"], evaluation["gen_kwargs"],
        batch_size=evaluation["batch_size"],
    )  # fmt: skip
    results = evaluate_checkpoint(
        base, run_dir=folder, suite=suite, model=evaluation["model"], model_args=evaluation["model_args"]
    )
    said, wrong = [], list[str]()
    for result in results:
        means = {name: estimate(result.values[name]).mean for name in ("score", "answered") if result.values.get(name)}
        told = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()) or "was not measured"
        said.append(f"{result.task} {told}")
        wrong += _beyond(result.task, result.documents, means, bounds.get(result.task) or {})
    print("; ".join(said), flush=True)
    if wrong:
        raise SanityError(
            f"the base fails its sanity gate: {'; '.join(wrong)}. Nothing was trained. Look at its answers with "
            f"`sftgen view {folder}`, change base, template or bounds, or go on with --despite-sanity"
        )
    write_atomic(Path(folder) / CHECKED, json.dumps({"said": said}) + "\n")


def _beyond(task: str, documents: int, means: Mapping[str, float], bound: Mapping[str, float]) -> Iterator[str]:
    """What a base does not score that was asked of it. What was not measured meets no bound."""
    least, most = bound.get("at_least", 0.0), bound.get("at_most", 1.0)
    answered = bound.get("answered", 0.0)
    if "score" not in means:
        yield f"{task} has no score: expected {least:g} to {most:g}"
    elif not least <= means["score"] <= most:
        yield f"{task} scores {means['score']:.3f} on {documents} documents: expected {least:g} to {most:g}"
    if "answered" not in means and answered:
        yield f"{task}: the share of responses with an answer is not measured: take `answered` out of its bounds"
    elif means.get("answered", 1.0) < answered:
        yield f"{task}: {means['answered']:.2f} of the responses have an answer: expected at least {answered:g}"


def check_trainings(
    files: Sequence[str], teachers: Mapping[str, str], tasks: Sequence[str], evaluation: Mapping[str, Any]
) -> None:
    """Check every training before the first begins: fields, tokenizer, template, end token, rows, questions in them.

    Args:
        files: The training files.
        teachers: By file, the model to check in place of a teacher that is not trained yet.
        tasks: Tasks and groups that every checkpoint is evaluated on: their data are there.
        evaluation: How they are evaluated.

    Raises:
        SftgenError: One cannot be used; the message names all that cannot.
    """
    from sftgen_tasks import load_tasks
    from sftgen_tasks.harness.loading import OwnTaskManager
    from sftgen_tasks.harness.registry import require_model
    from sftgen_tasks.harness.sampling import check_settings
    from sftgen_train.training.running import check

    wrong = []
    for file in files:
        try:
            print(f"{Path(file).parent.name}:", flush=True)
            instead = ["--teacher_model_name_or_path", teachers[file]] if file in teachers else []
            check([*_looked_at(file), *instead])
        except SftgenError as error:
            wrong.append(f"{Path(file).parent.name}: {error}")
    try:
        require_model(evaluation["model"])
        check_settings(evaluation["model"], evaluation["gen_kwargs"])
    except SftgenError as error:
        wrong.append(str(error))
    manager = OwnTaskManager(dict(evaluation["metadata"]))
    for task in tasks:
        try:
            load_tasks([task], manager=manager)
        except SftgenError as error:
            wrong.append(str(error))
    if wrong:
        raise SftgenError("; ".join(wrong))


def train_and_evaluate(
    file: str,
    run: str,
    *,
    model: str,
    model_args: Mapping[str, Any],
    launch: str | None,
    diagnostics: Sequence[str] = (),
    keep: str | Sequence[int] = (),
    engine: str = "",
) -> None:
    """Train an arm with one seed and evaluate every checkpoint; goes on where it was killed.

    Those of the diagnostics that measure a checkpoint do so while its weights are there. Where an executor is named,
    its workers evaluate.
    """
    from sftgen_train.diagnosing.running import by_moment
    from sftgen_train.queue.keeping import parse_keep
    from sftgen_train.queue.policy import Policy
    from sftgen_train.queue.worker import work
    from sftgen_train.training.running import train

    folder, (probes, _) = Path(run), by_moment(diagnostics)
    if launch:
        _launched(launch, file)
    else:
        train(_looked_at(file))
    kept = keep if isinstance(keep, str) else ",".join(map(str, keep))
    if (folder / "queue").is_dir():
        if model == "sftgen-hf" and not model_args and not engine:
            work(folder, policy=Policy(probes=probes, keep=parse_keep(kept)))
        else:
            _evaluated_apart(folder, model, model_args, probes, keep=kept, engine=engine)
    write_atomic(folder / DONE, json.dumps({"done": True}) + "\n")


def _looked_at(file: str) -> list[str]:
    """The arguments of a training, as `sftgen train` looks at them first: its fields, then questions in its prompts."""
    from sftgen_train.curation.contamination.before_training import require_unseen
    from sftgen_train.training.fields import require_right_fields

    arguments = ["--config", file]
    require_unseen(require_right_fields(arguments))
    return arguments


def _evaluated_apart(
    run: Path, model: str, model_args: Mapping[str, Any], probes: Sequence[str], *, keep: str, engine: str
) -> None:
    """Evaluate in a new process: the trained model still has its memory in this one."""
    from sftgen_train.queue.worker import GIVEN_UP

    given = ",".join(f"{name}={value}" for name, value in model_args.items())
    command = [sys.executable, "-m", "sftgen_train", "worker", str(run), "--model", model, "--quiet"]
    command += ["--probe", ",".join(probes)] if probes else []
    command += ["--keep", keep] if keep else []
    command += ["--engine", engine] if engine else []
    code = subprocess.run([*command, *(["--model-args", given] if given else [])], check=False).returncode
    if code not in {0, GIVEN_UP}:
        raise SftgenError(f"`sftgen worker {run} --model {model}` ended with code {code}")


def _launched(name: str, file: str) -> None:
    """Train in several processes."""
    from sftgen_train.training.distributed import accelerate_config

    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(accelerate_config(name)), "-m",
        "sftgen_train", "train", "--config", file,
    ]  # fmt: skip
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SftgenError(f"`accelerate launch` ended with code {code}")


def diagnose(run: str, names: Sequence[str]) -> None:
    """Run the diagnostics of a study over a run, but those that measured its checkpoints while they were there.

    Raises:
        SftgenError: One of them failed; the others are written down.
    """
    from sftgen_train.diagnosing.running import by_moment, diagnose_run

    RunFolder(Path(run)).require_readable()
    # Without a queue no worker had the weights: those that need them say so.
    at_end = by_moment(names)[1] if (Path(run) / "queue").is_dir() else list(names)
    failed = diagnose_run(Path(run), at_end).failed if at_end else {}
    if failed:
        raise SftgenError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    write_atomic(Path(run) / DIAGNOSED, json.dumps({"names": sorted(names)}) + "\n")
