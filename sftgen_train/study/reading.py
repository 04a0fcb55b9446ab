"""A study file as a study: every mistake is told at once, before anything large is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import plugins
from sftgen_tasks.harness.catalogue import installed, leaves
from sftgen_train.configuring.checking import Mistake, read_config
from sftgen_train.curation.configuration import CurationError
from sftgen_train.study.builders import Builder, data_builders, model_builders
from sftgen_train.study.curating import set_of
from sftgen_train.study.schema import GROUPS, Study
from sftgen_train.training import fields, presets

SHIPPED = Path(__file__).with_name("files")
SET_BY_STUDY = {
    "model_name_or_path": "base",
    "train_data": "arms",
    "train_split": "arms",
    "train_rows": "arms",
    "output_dir": "name",
    "method": "arms",
    "reward": "arms",
    "teacher_model_name_or_path": "arms",
    "seed": "seeds",
    "harness_tasks": "benchmarks",
    "harness_in_domain": "benchmarks",
    "harness_delta": "delta",
    "harness_at_steps": "evaluation.steps",
    "harness_every": "evaluation.steps",
    "harness_schedule": "evaluation.steps",
    "harness_limit": "evaluation.limit",
    "harness_form": "evaluation.form",
    "harness_worker": "evaluation.form",
    "harness_batch_size": "evaluation.batch_size",
    "harness_metadata": "evaluation.metadata",
    "harness_gen_kwargs": "evaluation.gen_kwargs",
    "harness_max_gen_toks": "evaluation.max_gen_toks",
    "harness_keep": "evaluation.keep",
    "harness_run_dir": "name",
    "harness_diagnostics": "diagnostics",
}
"""Fields that a study sets itself, and where it has them from."""


class StudyError(SftgenError, ValueError):
    """A study that cannot be used, with every mistake in it; or one that cannot go on."""


def shipped_studies() -> dict[str, Path]:
    """The study files that come with sftgen, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find_study(named: str) -> Path:
    """The file of a study: a path, or the name of one that comes with sftgen.

    Raises:
        StudyError: Neither is there.
    """
    path, known = Path(named), shipped_studies()
    if path.is_file():
        return path
    if named in known:
        return known[named]
    raise StudyError(
        f"study {named!r}: no such file, and no study of this name comes with sftgen, but {', '.join(known)}"
        f"{did_you_mean(named, known)}"
    )


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        StudyError: It has mistakes: all of them, each with file, line, value and what was expected.
    """
    study = read_config(path, Study, kind="study", error=StudyError, also=lambda values: _mistakes(values, path.parent))
    return study.model_copy(
        update={
            "benchmarks": {group: [full_name(task) for task in tasks] for group, tasks in study.benchmarks.items()},
            "sanity": {full_name(task): bounds for task, bounds in study.sanity.items()},
            "claims": [
                claim if claim.score in GROUPS else claim.model_copy(update={"score": full_name(claim.score)})
                for claim in study.claims
            ],
        }
    )


def _known_tasks() -> set[str]:
    """Names of tasks and groups."""
    tasks, groups = installed()
    return {*tasks, *groups}


def full_name(task: str) -> str:
    """A task's name with its prefix, where only that is known."""
    known = _known_tasks()
    return task if task in known or f"sftgen_{task}" not in known else f"sftgen_{task}"


def tasks_of(name: str) -> list[str]:
    """The tasks that a task or group stands for."""
    tasks, groups = installed()
    found = leaves(name, tasks, groups)
    return [task for task in tasks if task in found] or [name]


# ------------------------------------------------------------------------------ what the model cannot check


def _mistakes(values: Mapping[Any, Any], folder: Path) -> Iterator[Mistake]:
    """Names that nothing has, in values of any type: what has another type is told by the model."""
    arms = _mapping(values.get("arms"))
    yield from _of_benchmarks(values)
    yield from _of_sources(values, arms, folder)
    yield from _of_training(values, arms)
    yield from _of_seeds(values, arms)
    yield from _of_arms_named(values, arms)
    known = list(plugins().registered("register_diagnostics"))
    for place, name in enumerate(_list(values.get("diagnostics"))):
        yield from _unknown(("diagnostics", place), name, known, "diagnostic")
    if isinstance(launch := values.get("launch"), str):
        from sftgen_train.training.distributed import accelerate_configs

        yield from _unknown(("launch",), launch, accelerate_configs(), "configuration of accelerate")


def _of_benchmarks(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    known, seen = _known_tasks(), dict[str, str]()
    for group, tasks in _mapping(values.get("benchmarks")).items():
        for place, task in enumerate(_list(tasks)):
            if not isinstance(task, str):
                continue
            at = ("benchmarks", group, place)
            if full_name(task) not in known:
                yield from _unknown(at, task, known, "task")
                continue
            for one in tasks_of(full_name(task)):
                if one in seen:
                    yield Mistake(at, f"benchmarks: {task}: {one} is evaluated already, by {seen[one]}")
                seen[one] = task


def _evaluated(values: Mapping[Any, Any]) -> dict[str, list[str]]:
    """The tasks of every group of benchmarks."""
    return {
        str(group): [one for task in _list(tasks) if isinstance(task, str) for one in tasks_of(full_name(task))]
        for group, tasks in _mapping(values.get("benchmarks")).items()
    }


def _of_sources(values: Mapping[Any, Any], arms: Mapping[Any, Any], folder: Path) -> Iterator[Mistake]:
    models, data = model_builders(), data_builders()
    yield from _of_source(("base",), values.get("base"), models, folder)
    for name, arm in arms.items():
        arm = _mapping(arm)  # noqa: PLW2901 - of any type in the file
        yield from _of_source(("arms", name, "model"), arm.get("model"), models, folder)
        yield from _of_source(("arms", name, "data"), arm.get("data"), data, folder)
        recipe = _mapping(arm.get("data")).get("recipe")
        if isinstance(recipe, str) and not (folder / recipe).is_file():
            yield Mistake(("arms", name, "data", "recipe"), f"recipe {recipe!r}: no such file in {str(folder)!r}")
        elif isinstance(recipe, str):
            try:
                set_of(folder / recipe, arm["data"].get("set"))
            except CurationError as error:
                yield Mistake(("arms", name, "data", "recipe"), str(error))
        if isinstance(preset := arm.get("preset"), str):
            yield from _of_preset(name, preset, values.get("base") if arm.get("model") is None else None)
        yield from _of_method(name, arm, arms, models, folder)
        if isinstance(schedule := arm.get("schedule"), str):
            yield from _unknown(("arms", name, "schedule"), schedule, presets.SCHEDULES, "schedule")


def _of_method(
    name: Any, arm: Mapping[Any, Any], arms: Mapping[Any, Any], models: Mapping[str, Builder], folder: Path
) -> Iterator[Mistake]:
    """A teacher or a reward that is not there."""
    if isinstance(reward := arm.get("reward"), str):
        yield from _unknown(("arms", name, "reward"), reward, plugins().registered("register_graders"), "grader")
    place = ("arms", name, "teacher")
    yield from _of_source(place, arm.get("teacher"), models, folder)
    behind, chain = _teaching(arm), [name]
    if behind is not None:
        yield from _unknown((*place, "arm"), behind, arms, "arm")
    while behind in arms:
        if behind in chain:
            told = " < ".join(map(str, [*chain, behind]))
            yield Mistake(place, f"arms.{name}.teacher: {told}: no arm of these can be trained first")
            return
        chain.append(behind)
        behind = _teaching(_mapping(arms[behind]))


def _teaching(arm: Mapping[Any, Any]) -> str | None:
    """The arm that teaches an arm."""
    named = _mapping(arm.get("teacher")).get("arm")
    return named if isinstance(named, str) else None


def _of_preset(arm: Any, preset: str, base: Any) -> Iterator[Mistake]:
    """A preset that is not there, or of another model than the one that the arm begins from."""
    try:
        hub = presets.find(preset).model.hub
    except presets.PresetError as error:
        yield Mistake(("arms", arm, "preset"), f"arms.{arm}.{error}")
        return
    published = {model.hub for model in presets.MODELS.values()}
    if isinstance(base, str) and base in published and base != hub:
        yield Mistake(
            ("arms", arm, "preset"),
            f"arms.{arm}.preset: {preset!r} is of {hub}, and the arm begins from {base}: name `model: {hub}` beside it",
        )


def _of_source(place: tuple[Any, ...], given: Any, known: Mapping[str, Builder], folder: Path) -> Iterator[Mistake]:
    if isinstance(path := given if isinstance(given, str) else _mapping(given).get("from"), str) and path:
        if fields.looks_like_file(path) and not (folder / Path(path).expanduser()).exists():
            yield Mistake(place, f"{'.'.join(map(str, place))}: {path!r}: no such file or folder")
        return
    given = _mapping(given)
    made = given.get("made")
    if not isinstance(made, str):
        return
    if made not in known:
        yield from _unknown((*place, "made"), made, known, "builder")
        return
    builder = known[made]
    for name, value in _mapping(given.get("with")).items():
        at = (*place, "with", name)
        if name not in builder.options:
            yield from _unknown(at, name, builder.options, f"option of {made}")
        elif why := builder.wrong(str(name), value):
            yield Mistake(at, f"{'.'.join(map(str, at))}: {value!r}: {why}")


def _of_training(values: Mapping[Any, Any], arms: Mapping[Any, Any]) -> Iterator[Mistake]:
    methods = dict.fromkeys(fields.method_of(_mapping(arm)) for arm in arms.values()) or ["sft"]
    told = dict[str, Mistake]()
    for method in methods:  # what stands for all arms has to fit the method of each
        told |= {mistake.text: mistake for mistake in _of_fields(("train",), values.get("train"), method)}
    yield from told.values()
    for name, arm in arms.items():
        arm = _mapping(arm)  # noqa: PLW2901 - of any type in the file
        yield from _of_fields(("arms", name, "train"), arm.get("train"), fields.method_of(arm))


def _of_fields(place: tuple[Any, ...], given: Any, method: str) -> Iterator[Mistake]:
    own = {name: value for name, value in _mapping(given).items() if name not in SET_BY_STUDY}
    at = ".".join(map(str, place))
    for name in _mapping(given):
        if name in SET_BY_STUDY:
            yield Mistake((*place, name), f"{at}.{name}: the study sets it; write `{SET_BY_STUDY[name]}` instead")
    of = "" if method == "sft" else f" (method {method})"
    for mistake in fields.mistakes_in(own, method):
        yield Mistake((*place, *mistake.place), f"{at}.{mistake.text}{of}")


def _of_seeds(values: Mapping[Any, Any], arms: Mapping[Any, Any]) -> Iterator[Mistake]:
    listed: dict[tuple[Any, ...], Any] = {("seeds",): values.get("seeds")}
    listed |= {("arms", name, "seeds"): _mapping(arm).get("seeds") for name, arm in arms.items()}
    for place, seeds in listed.items():
        found = _list(seeds)
        twice = sorted({seed for seed in found if isinstance(seed, int) and found.count(seed) > 1})
        if twice:
            yield Mistake(place, f"{'.'.join(map(str, place))}: {twice[0]} stands twice: it would be the same training")


def _of_arms_named(values: Mapping[Any, Any], arms: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Arms and tasks that comparisons, claims and the sanity gate name."""
    evaluated = _evaluated(values)
    tasks = [task for members in evaluated.values() for task in members]
    for kind in ("comparisons", "claims"):
        for place, entry in enumerate(_list(values.get(kind))):
            entry = _mapping(entry)  # noqa: PLW2901 - of any type in the file
            for name in ("arm", "against"):
                if isinstance(named := entry.get(name), str):
                    yield from _unknown((kind, place, name), named, arms, "arm")
            if entry.get("arm") is not None and entry.get("arm") == entry.get("against"):
                yield Mistake((kind, place, "against"), f"{kind}.{place}: {entry['arm']!r} against itself")
            if isinstance(on := entry.get("score"), str) and on not in evaluated and full_name(on) not in tasks:
                near = did_you_mean(on, [*evaluated, *tasks, *(task.removeprefix("sftgen_") for task in tasks)])
                what = "is not evaluated" if full_name(on) in _known_tasks() else "is no task and no group"
                yield Mistake(
                    (kind, place, "score"), f"{kind}.{place}.score: {on!r} {what}: add it to `benchmarks`{near}"
                )
    for task in _mapping(values.get("sanity")):
        if isinstance(task, str) and full_name(task) not in _known_tasks():
            yield from _unknown(("sanity", task), task, _known_tasks(), "task")


def _unknown(place: tuple[Any, ...], name: Any, known: Iterable[str], what: str) -> Iterator[Mistake]:
    names = list(map(str, known))
    if isinstance(name, str) and name in names:
        return
    near = did_you_mean(str(name), names)
    told = near or f"; expected one of {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    yield Mistake(place, f"{'.'.join(map(str, place))}: {name!r} is no {what}{told}")


def _mapping(given: Any) -> Mapping[Any, Any]:
    return given if isinstance(given, Mapping) else {}


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
