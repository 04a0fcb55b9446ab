"""The fields of a training configuration, known without importing TRL, and the check of a command before it begins.

TRL's fields stand in a table beside this file, for the versions that sftgen is tested with. Of other versions a table
is kept in sftgen's cache when TRL is first imported; before that TRL itself checks the fields.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_judges.records.hash_cache import cache_folder
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import printable
from sftgen_tasks.harness.catalogue import CatalogueError, installed
from sftgen_train.checkpoints.retention import WORDS
from sftgen_train.configuring.checking import Mistake, check, lines_of
from sftgen_train.configuring.yaml_file import UnreadableFileError, YamlFile, read_yaml
from sftgen_train.evaluation.schedule import DEFAULT, Tier
from sftgen_train.training.config import ADAPTIVE, METHODS, HarnessConfig, TrainingConfigError, json_list

TABLE = Path(__file__).with_name("trl_fields.json")
PACKAGES = ("trl", "transformers")
"""Whose versions decide which fields there are."""
Table = Mapping[str, Mapping[str, Any]]
"""A field by name: its `types`, and the `choices` of one that is a word."""
Tables = Mapping[str, Table]
"""The table of each method."""

_TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "dict": dict[str, Any], "list[int]": list[int],
    "list[str]": list[str], "null": None,
}  # fmt: skip
_STEPS = {"types": ["list[int]", "null"], "choices": [ADAPTIVE]}
_KEEP = {"types": ["list[int]", "null"], "choices": list(WORDS)}
_NEEDED = {
    "model_name_or_path": "a local folder or a hub id of the model to train",
    "train_data": "a parquet, jsonl, json or csv file, or a hub id of the rows to train on",
}
_OF_TRL_ITSELF = {"config", "env"}
"""Names that TRL reads in a configuration and that are no fields."""


def table_of(*classes: type) -> dict[str, dict[str, Any]]:
    """The fields of dataclasses, as JSON can hold them."""
    found: dict[str, dict[str, Any]] = {}
    for each in classes:
        hints = get_type_hints(each)
        for field in dataclasses.fields(each):
            if field.init:
                choices = list(field.metadata.get("choices") or ())
                named, words = _described(hints[field.name])
                found[field.name] = {"types": sorted(named - {"str"} if choices else named)}
                if choices or words:
                    found[field.name]["choices"] = [str(word) for word in choices or words]
    return found


def _described(annotation: Any) -> tuple[set[str], list[Any]]:
    """The types that a field may have, by name, and its words where it is one of some."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_described(part) for part in get_args(annotation)]
        named, words = {name for part, _ in parts for name in part}, [word for _, part in parts for word in part]
        # An enumeration stands beside `str`, which is how its words are written.
        return (named - {"str"} if words else named), words
    if get_origin(annotation) is Literal:
        words = [word for word in get_args(annotation) if isinstance(word, str)]
        return {"bool"} if False in get_args(annotation) else set(), words
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return set(), [each.value for each in annotation]
    if get_origin(annotation) is list:
        name = f"list[{get_args(annotation)[0].__name__}]"
    else:
        name = "null" if annotation is type(None) else (get_origin(annotation) or annotation).__name__
    return {name if name in _TYPES else "any"}, []


def versions() -> dict[str, str]:
    """The installed versions that decide which fields there are."""
    return {name: metadata.version(name) for name in PACKAGES}


def known_fields(method: str = "sft") -> dict[str, dict[str, Any]] | None:
    """TRL's fields of a method and our own; None where no table for the installed versions is there yet."""
    for path in (TABLE, _cached()):
        with suppress(OSError, ValueError, KeyError, TypeError):
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["versions"] == versions():
                return {**table[method], **table_of(HarnessConfig), "harness_at_steps": _STEPS, "harness_keep": _KEEP}
    return None


def keep(tables: Tables) -> None:
    """Keep TRL's fields for commands to come; where they cannot be written, TRL itself checks."""
    with suppress(OSError):
        _cached().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_cached(), as_text(tables))


def as_text(tables: Tables) -> str:
    """Tables for a file, a line a field."""
    parts = [f' "versions": {json.dumps(versions())}']
    for method, fields in tables.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(fields[name])}" for name in sorted(fields)]
        parts.append(f" {json.dumps(method)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def method_of(values: Mapping[Any, Any]) -> str:
    """The method that the fields of a training name; of an unknown one that of SFT, and the check tells it."""
    named = values.get("method")
    return named if isinstance(named, str) and named in METHODS else METHODS[0]


def _cached() -> Path:
    return cache_folder() / "trl_fields.json"


def require_right_fields(arguments: Sequence[str], preset: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Check a training command before TRL is imported.

    Args:
        arguments: `--config FILE` and `--field value` pairs.
        preset: Values of fields from a preset and its changes.

    Returns:
        The fields that are given, as they are written.

    Raises:
        TrainingConfigError: All mistakes of the file, the preset's changes and the arguments together: unknown fields
            with the nearest name, values of another type, unknown tasks and schedules, fields that are missing.
    """
    given, path = _read_arguments(arguments)
    file: YamlFile | None = None
    if path is not None:
        try:
            file = read_yaml(path)
        except UnreadableFileError as error:
            raise TrainingConfigError(f"training configuration {error}") from None
    if not (arguments or preset):
        raise TrainingConfigError(
            "nothing to train: give a file, `sftgen train --config train.yaml`, or a published run, "
            "`sftgen train --preset NAME` (`sftgen presets` lists them). docs/training.md has a file to begin with"
        )
    everything = {**(preset or {}), **(file.values if file else {}), **given}
    fields = known_fields(method_of(everything))
    model = _model(fields) if fields else None
    told: list[str] = []
    if file is not None:
        values = {name: value for name, value in file.values.items() if name not in _OF_TRL_ITSELF}
        told += lines_of(file, _wrong(values, model))
    told += [f"--set {mistake.text}" for mistake in _wrong(preset or {}, model)]
    given = _shaped(given, fields or {})
    told += [f"--{mistake.text}" for mistake in _wrong(given, model)]
    everything = {**(preset or {}), **(file.values if file else {}), **given}
    told += [f"{name} is missing: {what}" for name, what in _NEEDED.items() if not everything.get(name)]
    if told:
        count = f"{len(told)} mistake{'s' * (len(told) > 1)}"
        raise TrainingConfigError(printable("\n".join([f"training configuration: {count}:", *told])))
    return everything


def mistakes_in(values: Mapping[Any, Any], method: str = "sft") -> Iterator[Mistake]:
    """What is wrong with values of training fields; of an unknown version of TRL, what can be told without it."""
    fields = known_fields(method)
    yield from _wrong(values, _model(fields) if fields else None)


def method_in(arguments: Sequence[str], preset: Mapping[str, Any] | None = None) -> str:
    """The method of a training command.

    Raises:
        TrainingConfigError: Its file cannot be read.
    """
    given, path = _read_arguments(arguments)
    try:
        values = read_yaml(path).values if path else {}
    except UnreadableFileError as error:
        raise TrainingConfigError(f"training configuration {error}") from None
    return method_of({**(preset or {}), **values, **given})


def _read_arguments(arguments: Sequence[str]) -> tuple[dict[str, Any], Path | None]:
    """The values of `--name value ...` pairs, and the file of `--config`."""
    given: dict[str, list[str]] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            given[name] = [value] if equals else []
        elif name:
            given[name].append(argument)
        else:
            raise TrainingConfigError(f"{argument!r}: expected --config FILE or --field value")
    files = given.pop("config", None)
    if files is not None and len(files) != 1:
        raise TrainingConfigError(f"--config {' '.join(files)}: expected one file")
    # A flag without a value is a switch.
    values = {name: words[0] if len(words) == 1 else words or True for name, words in given.items()}
    return values, Path(files[0]) if files else None


def _shaped(given: Mapping[str, Any], fields: Table) -> dict[str, Any]:
    """Values of a command line, where a list may be one word."""
    lists = {name for name, field in fields.items() if _only_lists(field)}
    return {name: [value] if name in lists and isinstance(value, str) else value for name, value in given.items()}


def _wrong(values: Mapping[Any, Any], model: type[BaseModel] | None) -> Iterator[Mistake]:
    """What is wrong with values of fields; without a model, what can be told without TRL's fields."""
    if model is not None:
        yield from check(values, model)[1]
    yield from _missing_files(values)
    yield from unknown_tasks(values)
    yield from _unknown_schedule(values.get("harness_schedule"), ("harness_schedule",))
    yield from _wrong_tiers(values.get("harness_tiers"))
    yield from _unknown_diagnostics(values.get("harness_diagnostics"))


def _only_lists(field: Mapping[str, Any]) -> bool:
    return "choices" not in field and all(name == "null" or name.startswith("list") for name in field["types"])


def _model(fields: Table) -> type[BaseModel]:
    """A model that TRL's parser agrees with: numbers may be written as texts, for YAML takes 1e-5 for one."""
    forms: dict[str, Any] = {name: (_annotation(field), None) for name, field in fields.items()}
    return create_model("Training", __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True), **forms)


def _annotation(field: Mapping[str, Any]) -> Any:
    named = [_TYPES.get(name, Any) for name in field["types"]]
    if choices := field.get("choices"):
        named.append(Literal[tuple(choices)])
    return Union[tuple(named)]  # noqa: UP007  # of a tuple


def looks_like_file(name: str) -> bool:
    """Whether a name is of a file or folder here; any other may be a hub id."""
    return name.startswith((".", "/", "~")) or name.endswith((".jsonl", ".json", ".parquet", ".csv"))


def _missing_files(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    for name in ("model_name_or_path", "train_data", "eval_data"):
        path = values.get(name)
        if isinstance(path, str) and looks_like_file(path) and not Path(path).expanduser().exists():
            yield Mistake((name,), f"{name}: {path!r}: no such file or folder")


def unknown_tasks(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Names of tasks that nobody has, with the nearest."""
    for field in ("harness_tasks", "harness_in_domain"):
        yield from _unknown_names(values.get(field), (field,))


def _unknown_names(given: Any, place: tuple[Any, ...]) -> Iterator[Mistake]:
    listed = given if isinstance(given, list) else [given] if isinstance(given, str) else []
    known = _task_names() if listed else []
    for number, name in enumerate(listed if known else ()):
        if isinstance(name, str) and not fnmatch.filter(known, name):
            near = did_you_mean(name, known) or "; `sftgen tasks` lists them"
            yield Mistake((*place, number), f"{_path(place)}: no task or group {name!r}{near}")


def _path(place: Sequence[Any]) -> str:
    return ".".join(map(str, place))


@cache
def _task_names() -> list[str]:
    """Tasks and groups of sftgen and of the plugins; none where a plugin's files cannot be read without lm_eval."""
    try:
        tasks, groups = installed()
    except CatalogueError:  # lm_eval will say it
        return []
    return sorted({*tasks, *groups})


def _unknown_schedule(given: Any, place: tuple[Any, ...]) -> Iterator[Mistake]:
    if isinstance(given, str):
        try:
            lookup("schedule", (given or DEFAULT).partition(":")[0].strip())
        except SftgenError as error:
            yield Mistake(place, f"{_path(place)}: {error}")


class _TierFields(BaseModel):
    """A tier in a training file: the fields of `schedule.Tier`."""

    model_config = ConfigDict(extra="forbid")

    tasks: list[str] = Field(min_length=1)
    at_steps: list[int] | None = None
    every: int | None = None
    schedule: str | None = None
    limit: int | None = None


def _wrong_tiers(given: Any) -> Iterator[Mistake]:
    field = "harness_tiers"
    try:
        tiers = json_list(field, given)
    except TrainingConfigError as error:
        yield Mistake((field,), str(error))
        return
    for number, tier in enumerate(tiers):
        place = (field, number)
        if not isinstance(tier, Mapping):
            yield Mistake(place, f"{_path(place)}: {tier!r}: expected tasks, and steps and limit of their own")
            continue
        found, mistakes = check(tier, _TierFields)
        yield from (Mistake((*place, *each.place), f"{field}.{number}.{each.text}") for each in mistakes)
        yield from _unknown_names(tier.get("tasks"), (*place, "tasks"))
        unknown = list(_unknown_schedule(tier.get("schedule"), (*place, "schedule")))
        yield from unknown
        if found and not unknown:
            try:
                Tier(**found.model_dump())
            except SftgenError as error:
                yield Mistake(place, f"{_path(place)}: {error}")


def _unknown_diagnostics(given: Any) -> Iterator[Mistake]:
    listed = given if isinstance(given, list) else []
    known = list(plugins().registered("register_diagnostics")) if listed else []
    for number, name in enumerate(listed):
        if name not in known:
            near = did_you_mean(str(name), known) or f"; known: {', '.join(known)}"
            yield Mistake(("harness_diagnostics", number), f"harness_diagnostics: no diagnostic {name!r}{near}")
