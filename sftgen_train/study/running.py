"""A study is run: what is missing is made, in processes of their own; what is there is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import content_hash
from sftgen_train.study.curating import curating
from sftgen_train.study.jobs import Devices, Job, run_jobs
from sftgen_train.study.parts import Material, Parts, Run, changed, kept_model, parts_of, read_facts
from sftgen_train.study.reading import StudyError
from sftgen_train.study.requirements import require_all
from sftgen_train.study.schema import Study
from sftgen_train.study.work import CHECKED, DIAGNOSED

STATE = "state.json"
"""What each run was made of when the study last ran: tells which arms a change of the file has made stale."""
_CHECK = "checks of every training"
_SANITY = "sanity gate of the base"


def run_study(
    study: Study,
    file: Path,
    folder: Path,
    *,
    say: Callable[[str], None],
    devices: Devices | None = None,
    despite_sanity: bool = False,
    engine: str = "",
) -> dict[str, str]:
    """Make every part of a study that is missing.

    Args:
        study: The study.
        file: Its file.
        folder: Where its parts are.
        say: Told what is done.
        devices: What jobs run on; by default what this machine has.
        despite_sanity: Whether to go on where the base fails its sanity gate.
        engine: Name of an executor that curates and evaluates; empty for the processes of the jobs.

    Returns:
        Why runs failed, by label; what can go on has gone on.

    Raises:
        UnknownNameError: An executor that nobody registered.
        StudyError: Another process runs the study there, or this machine lacks something that it needs.
        SftgenError: A part cannot be made.
    """
    if engine:
        lookup("executor", engine)
    for line in require_all(study, file):
        say(line)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{str(folder)!r} is no folder that can be written ({error.strerror}): name another with --out"
        ) from error
    with _alone(folder):
        parts = parts_of(study, file, folder)
        for line in stale(parts, folder):
            say(line)
        _write_state(parts, folder)
        on = devices or Devices.here()
        _make_data(parts, folder, on, say, engine)
        jobs = jobs_of(study, parts, folder, despite_sanity=despite_sanity, engine=engine)
        return run_jobs(list(jobs), on, say)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".study.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"{str(folder)!r}: another process runs a study there; wait for it, or name --out") from None
    try:
        yield
    finally:
        lock.release()


def stale(parts: Parts, folder: Path) -> Iterator[str]:
    """The arms that a change has made stale, by name: what changed, and where the old run is."""
    known = read_facts(folder / STATE)
    for run in parts.runs:
        before = known.get(run.label)
        if not isinstance(before, dict) or before.get("folder") == run.folder.name:
            continue
        names = ", ".join(list(changed(before.get("facts") or {}, run.facts))[:4]) or "what it is made of"
        again = "it was run before" if run.done else "it is run again"
        yield f"arm {run.label} is stale: {names} changed; {again}. The former run stays in runs/{before.get('folder')}"


def _write_state(parts: Parts, folder: Path) -> None:
    known = read_facts(folder / STATE)
    # Written before anything is made: a study that is killed and changed tells what changed, too.
    known |= {run.label: {"folder": run.folder.name, "facts": run.facts} for run in parts.runs}
    write_atomic(folder / STATE, json.dumps(known, indent=1, default=str) + "\n")


def _make_data(parts: Parts, folder: Path, on: Devices, say: Callable[[str], None], engine: str) -> None:
    for data in parts.data:
        if not data.missing:
            continue
        if data.recipe:
            failed = run_jobs([curating(data.recipe, Path(data.path), folder / "logs", engine)], on, say)
            if failed:
                raise StudyError(f"{data.label}: {', '.join(failed.values())}")
        elif data.builder:
            data.builder.make(Path(data.path), **data.options)
            say(f"{data.label}: {data.path}")


def jobs_of(
    study: Study, parts: Parts, folder: Path, *, despite_sanity: bool = False, engine: str = ""
) -> Iterator[Job]:
    """The jobs that are left, in an order in which they can be done."""
    logs = folder / "logs"
    environment = _environment(study)
    made = {model.path: _making(model) for model in parts.models if model.missing}
    for model in parts.models:
        if model.missing and model.builder:
            start = model.start
            arguments: dict[str, Any] = {
                "builder": model.builder.name, "path": model.path, "options": dict(model.options),
                "start": start.path if start else None,
            }  # fmt: skip
            after: tuple[str, ...] = (made[start.path],) if start and start.path in made else ()
            yield Job(made[model.path], "sftgen_train.study.work:make_model", arguments, _log(logs, model), after)
    left = [run for run in parts.runs if not run.done]
    if left:
        yield from _before_training(study, parts, folder, made=made, despite_sanity=despite_sanity)
    for run in left:
        after = (_CHECK, _SANITY) if study.sanity and not despite_sanity else (_CHECK,)
        after += (run.teacher.label,) if isinstance(run.teacher, Run) else ()
        arguments = {
            "file": str(_training_file(run)), "run": str(run.folder),
            "model": study.evaluation.model, "model_args": study.evaluation.model_args, "launch": study.launch,
            "diagnostics": study.diagnostics, "keep": study.evaluation.keep or (), "engine": engine,
        }  # fmt: skip
        yield Job(
            run.label, "sftgen_train.study.work:train_and_evaluate", arguments, logs / f"{run.folder.name}.log", after,
            alone=study.launch is not None, environment=environment,
        )  # fmt: skip
    for run in parts.runs:
        if set(study.diagnostics) <= set(read_facts(run.folder / DIAGNOSED).get("names") or ()):
            continue
        arguments = {"run": str(run.folder), "names": study.diagnostics}
        log = logs / f"{run.folder.name}.diagnostics.log"
        label = f"diagnostics of {run.label}"
        yield Job(label, "sftgen_train.study.work:diagnose", arguments, log, (run.label,), environment=environment)


def _making(model: Material) -> str:
    kept = kept_model(model.path)
    return f"{model.label}, made before: {kept}" if kept.is_dir() else model.label


def _before_training(
    study: Study, parts: Parts, folder: Path, *, made: dict[str, str], despite_sanity: bool
) -> Iterator[Job]:
    """Every training is checked, and the base is measured, before the first training begins."""
    environment, left = _environment(study), [run for run in parts.runs if not run.done]
    for run in left:
        write_training_file(run)
    arguments: dict[str, Any] = {
        "files": [str(_training_file(run)) for run in left],
        # A teacher that is an arm is there later: what it begins from has the same tokens.
        "teachers": {str(_training_file(run)): run.teacher.model.path for run in left if isinstance(run.teacher, Run)},
        "tasks": [task for group in study.benchmarks.values() for task in group],
        "evaluation": study.evaluation.measured(),
    }
    yield Job(
        _CHECK, "sftgen_train.study.work:check_trainings", arguments, folder / "logs" / "checks.log",
        tuple(made.values()), environment=environment,
    )  # fmt: skip
    measured = folder / "sanity" / f"{parts.base.key}-{_short_hash(study)}"
    if study.sanity and not despite_sanity and not (measured / CHECKED).is_file():
        arguments = {
            "base": parts.base.path, "folder": str(measured), "limit": study.evaluation.limit,
            "bounds": {task: bounds.model_dump() for task, bounds in study.sanity.items()},
            "evaluation": study.evaluation.model_dump(),
        }  # fmt: skip
        yield Job(
            _SANITY, "sftgen_train.study.work:measure_base", arguments, folder / "logs" / "sanity.log",
            (*made.values(), _CHECK), environment=environment,
        )  # fmt: skip


def _short_hash(study: Study) -> str:
    bounds = {task: each.model_dump() for task, each in study.sanity.items()}
    return content_hash(bounds, study.evaluation.measured())[:8]


def _environment(study: Study) -> dict[str, str]:
    given = {"SFTGEN_JUDGE_MODEL": study.judges.model, "SFTGEN_JUDGE_BASE_URL": study.judges.base_url}
    return {"TOKENIZERS_PARALLELISM": "false", **{name: value for name, value in given.items() if value}}


def _log(logs: Path, model: Material) -> Path:
    return logs / f"{Path(model.path).name}.log"


def _training_file(run: Run) -> Path:
    return run.folder / "train.yaml"


def write_training_file(run: Run) -> Path:
    """Write the training file of a run; the same command trains it by hand."""
    run.folder.mkdir(parents=True, exist_ok=True)
    path = _training_file(run)
    text = yaml.safe_dump(dict(run.fields), sort_keys=False)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)
    return path
