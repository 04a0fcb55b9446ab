"""The parts of a study: models, data sets and runs. A part's folder is named by what it is made of.

A part that is there is not made again. Where something that it is made of has changed it has another name, so nothing
old is taken for it; what was made before stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sftgen_judges.records.hash_cache import cache_folder
from sftgen_judges.records.journal import no_link
from sftgen_judges.records.schema import content_hash
from sftgen_train.study.builders import Builder, data_builders, model_builders
from sftgen_train.study.curating import is_curated, set_of
from sftgen_train.study.reading import tasks_of
from sftgen_train.study.schema import DataSource, ModelSource, Study
from sftgen_train.training import presets

_MAKERS = ("torch", "transformers")
"""Another version of these makes other weights of the same options."""
DONE = "study-part.json"
"""In a run directory: that its training has ended and every checkpoint was evaluated."""


@dataclass(frozen=True)
class Material:
    """A model or a data set.

    Attributes:
        label: What it is called in messages.
        facts: What decides what it holds.
        path: Its file, folder or hub id.
        builder: What makes it; None of what is given, and of a recipe.
        options: Options of the builder.
        start: The model that it begins from.
        recipe: The recipe that it is curated by.
    """

    label: str
    facts: Mapping[str, Any]
    path: str
    builder: Builder | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    start: Material | None = None
    recipe: Path | None = None

    @cached_property
    def key(self) -> str:
        """A hash of the facts."""
        return content_hash(self.facts)[:8]

    @property
    def missing(self) -> bool:
        """Whether it has to be made."""
        if self.recipe is not None:
            return not is_curated(Path(self.path))
        return self.builder is not None and not Path(self.path).exists()


def kept_model(path: str | Path) -> Path:
    """Where sftgen's cache keeps a model that is made at a path, whose name says what it is made of."""
    return cache_folder() / "models" / Path(path).name


@dataclass(frozen=True)
class Run:
    """One training of an arm, with its evaluations.

    Attributes:
        arm: The arm.
        seed: Its seed.
        folder: The run directory.
        facts: What decides what it holds.
        model: What it begins from.
        data: What it trains on.
        fields: The fields of its training file.
        teacher: What it learns from: a model, or the run that makes it.
    """

    arm: str
    seed: int
    folder: Path
    facts: Mapping[str, Any]
    model: Material
    data: Material
    fields: Mapping[str, Any]
    teacher: Material | Run | None = None

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def done(self) -> bool:
        """Whether it has ended, evaluations included."""
        return bool(read_facts(self.folder / DONE).get("done"))


@dataclass(frozen=True)
class Parts:
    """Everything that a study is made of, in the order in which it is made."""

    models: tuple[Material, ...]
    data: tuple[Material, ...]
    runs: tuple[Run, ...]
    base: Material

    def of_arm(self, arm: str) -> list[Run]:
        """The runs of an arm."""
        return [run for run in self.runs if run.arm == arm]


def parts_of(study: Study, file: Path, folder: Path) -> Parts:
    """The parts of a study.

    Args:
        study: The study.
        file: Its file: paths in it are relative to where it stands.
        folder: Where the parts are.
    """
    made: dict[tuple[str, str], Material] = {}  # of one hub data set, several numbers of rows

    def once(material: Material) -> Material:
        if material.start:
            once(material.start)
        return made.setdefault((material.path, material.key), material)

    base = once(_model(study.base, file.parent, folder))
    known: dict[tuple[str, int], Run] = {}

    def taught_by(name: str, seed: int) -> Material | Run | None:
        teacher = study.arms[name].teacher
        if teacher is None or teacher.arm is None:
            return None if teacher is None else once(_model(teacher, file.parent, folder))
        seeds = study.seeds_of(teacher.arm)
        return run_of(teacher.arm, seed if seed in seeds else seeds[0])

    def run_of(name: str, seed: int) -> Run:
        if (name, seed) not in known:
            arm = study.arms[name]
            preset = presets.find(arm.preset).fields() if arm.preset else {}
            model = once(_model(arm.model, file.parent, folder)) if arm.model else base
            data = once(_data(arm.data or _of_preset(preset), file.parent, folder))
            known[name, seed] = _run(
                study, name, seed, model=model, data=data, teacher=taught_by(name, seed), preset=preset, folder=folder
            )
        return known[name, seed]

    runs = [run_of(name, seed) for name in study.arms for seed in study.seeds_of(name)]
    materials = [of for of in made.values() if of.builder or of.recipe]
    models = [of for of in materials if of.builder and of.builder.name in model_builders()]
    return Parts(tuple(models), tuple(of for of in materials if of not in models), tuple(runs), base)


def _of_preset(fields: Mapping[str, Any]) -> DataSource:
    return DataSource.model_validate({"from": fields["train_data"], "rows": fields.get("train_rows")})


def _model(source: ModelSource, beside: Path, folder: Path) -> Material:
    if source.made is None:
        return _given(str(source.given), beside, {})
    builder = model_builders()[source.made]
    options = {**builder.options, **source.options}
    start = None
    if builder.starts_from:
        of_start = model_builders()[builder.starts_from]
        shared = {name: options[name] for name in of_start.options if name in options}
        start = _model(ModelSource.model_validate({"made": of_start.name, "with": shared}), beside, folder)
    makers = {name: version(name) for name in _MAKERS}
    facts = {
        "made": builder.name, "version": builder.version, "with": options, "start": start.key if start else None,
        "by": makers,
    }  # fmt: skip
    path = folder / "models" / f"{builder.name}-{content_hash(facts)[:8]}"
    by = ", ".join(f"{name} {of}" for name, of in makers.items())
    return Material(f"model {builder.name} (by {by})", facts, str(path), builder, options, start)


def _data(source: DataSource, beside: Path, folder: Path) -> Material:
    if source.recipe is not None:
        recipe = beside / source.recipe
        pool = hashlib.sha256(recipe.read_bytes()).hexdigest()
        name = set_of(recipe, source.set_name)
        path = folder / "data" / f"{recipe.stem}-{pool[:8]}" / "sets" / name
        facts: dict[str, Any] = {"recipe": pool, "set": name, "rows": source.rows}
        return Material(f"set {name} of {source.recipe}", facts, str(path), recipe=recipe)
    if source.made is None:
        return _given(str(source.given), beside, {"split": source.split, "rows": source.rows})
    builder = data_builders()[source.made]
    options = {**builder.options, **source.options}
    facts = {"made": builder.name, "version": builder.version, "with": options, "rows": source.rows}
    path = folder / "data" / f"{builder.name}-{content_hash(facts)[:8]}.jsonl"
    kind = f" ({options['kind']})" if "kind" in options else ""
    return Material(f"data {builder.name}{kind}", facts, str(path), builder, options)


def _given(named: str, beside: Path, more: Mapping[str, Any]) -> Material:
    """A file or folder, known by what it holds; or a hub id."""
    path = (beside / Path(named).expanduser()).absolute()
    if not path.exists():
        return Material(named, {"hub": named, **more}, named)
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    looks = {each.name: _fingerprint(each) for each in files}
    return Material(named, {"files": looks, **more}, str(path))


def _fingerprint(path: Path) -> str:
    """What a file holds; of a large one its size and its time, since weights would take minutes to read."""
    facts = path.stat()
    if facts.st_size > 1 << 26:
        return f"{facts.st_size} bytes, changed {facts.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(
    study: Study,
    name: str,
    seed: int,
    *,
    model: Material,
    data: Material,
    teacher: Material | Run | None,
    preset: Mapping[str, Any],
    folder: Path,
) -> Run:
    arm, evaluation = study.arms[name], study.evaluation
    schedule = _schedule(arm.schedule) if arm.schedule else {}
    beside = {"model_name_or_path", "train_data", "train_rows", "output_dir", "seed", "harness_at_steps"}
    training = {
        **{field: value for field, value in preset.items() if field not in beside},
        **study.train,
        **schedule,
        **arm.train,
    }
    steps = evaluation.steps if evaluation.steps is not None else preset.get("harness_at_steps")
    tasks = [task for group in study.benchmarks.values() for task in group]
    facts = {
        "model": dict(model.facts),
        "data": dict(data.facts),
        "training": training,
        "evaluation": {**evaluation.measured(), "steps": steps, "tasks": tasks},
        "seed": seed,
        **({"method": arm.method, "reward": arm.reward} if arm.method != "sft" else {}),
        **({"teacher": dict(teacher.facts)} if teacher else {}),
    }
    path = folder / "runs" / f"{name}-s{seed}-{content_hash(facts)[:8]}"
    split, rows = data.facts.get("split"), data.facts.get("rows")
    in_domain = [one for task in study.benchmarks.get("in-domain", ()) for one in tasks_of(task)]
    fields = {
        "model_name_or_path": model.path,
        "train_data": data.path,
        **({"train_split": split} if split and "hub" in data.facts else {}),
        **({"train_rows": rows} if rows else {}),
        "output_dir": str(path),
        "seed": seed,
        **({"method": arm.method} if arm.method != "sft" else {}),
        **({"reward": arm.reward} if arm.reward else {}),
        **({"teacher_model_name_or_path": path_of(teacher)} if teacher else {}),
        "report_to": "none",
        "save_strategy": "no",
        **training,
        "harness_tasks": tasks,
        "harness_in_domain": in_domain,
        "harness_delta": str(study.delta),
        "harness_form": evaluation.form,
        "harness_worker": "none" if evaluation.form == "queue" else "after",
        "harness_batch_size": evaluation.batch_size,
        **({"harness_at_steps": steps} if steps is not None else {}),
        **({"harness_limit": evaluation.limit} if evaluation.limit else {}),
        **({"harness_metadata": evaluation.metadata} if evaluation.metadata else {}),
        **({"harness_gen_kwargs": evaluation.gen_kwargs} if evaluation.gen_kwargs else {}),
        **({"harness_max_gen_toks": evaluation.max_gen_toks} if evaluation.max_gen_toks else {}),
    }
    return Run(name, seed, path, facts, model, data, fields, teacher)


def path_of(model: Material | Run) -> str:
    """Where a model is, or will be."""
    return model.path if isinstance(model, Material) else str(model.folder)


def _schedule(name: str) -> dict[str, Any]:
    found = presets.SCHEDULES[name]
    return {
        "learning_rate": found.rate,
        "num_train_epochs": found.epochs,
        "global_batch_size": found.batch,
        "lr_scheduler_type": "constant_with_warmup" if found.constant else "cosine",
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """What differs between the facts of two parts, by name."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        place = f"{at}.{name}" if at else name
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changed(old, new, place)
        elif old != new:
            yield place


def read_facts(path: Path) -> dict[str, Any]:
    """A small JSON object that the study wrote; empty where nothing can be read."""
    try:
        with open(path, encoding="utf-8", opener=no_link) as file:
            found = json.loads(file.read(1 << 24))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
