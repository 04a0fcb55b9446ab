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
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.hash_cache import cache_folder
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import printable
from sftgen_tasks.harness.catalogue import CatalogueError, installed
from sftgen_train.configuring.checking import Mistake, check, lines_of
from sftgen_train.configuring.yaml_file import UnreadableFileError, YamlFile, read_yaml
from sftgen_train.evaluation.schedule import DEFAULT
from sftgen_train.training.config import HarnessConfig, TrainingConfigError

TABLE = Path(__file__).with_name("trl_fields.json")
PACKAGES = ("trl", "transformers")
"""Whose versions decide which fields there are."""
Table = Mapping[str, Mapping[str, Any]]
"""A field by name: its `types`, and the `choices` of one that is a word."""

_TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "dict": dict[str, Any], "list[int]": list[int],
    "list[str]": list[str], "null": None,
}  # fmt: skip
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


def known_fields() -> dict[str, dict[str, Any]] | None:
    """TRL's fields and our own; None where no table for the installed versions is there yet."""
    for path in (TABLE, _cached()):
        with suppress(OSError, ValueError, KeyError, TypeError):
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["versions"] == versions():
                return {**table["fields"], **table_of(HarnessConfig)}
    return None


def keep(fields: Table) -> None:
    """Keep TRL's fields for commands to come; where they cannot be written, TRL itself checks."""
    with suppress(OSError):
        _cached().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_cached(), as_text(fields))


def as_text(fields: Table) -> str:
    """A table for a file, a line a field."""
    lines = [f"  {json.dumps(name)}: {json.dumps(fields[name])}" for name in sorted(fields)]
    return f'{{\n "versions": {json.dumps(versions())},\n "fields": {{\n' + ",\n".join(lines) + "\n }\n}\n"


def _cached() -> Path:
    return cache_folder() / "trl_fields.json"


def require_right_fields(arguments: Sequence[str], preset: Mapping[str, Any] | None = None) -> None:
    """Check a training command before TRL is imported.

    Args:
        arguments: `--config FILE` and `--field value` pairs.
        preset: Values of fields from a preset and its changes.

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
    fields = known_fields()
    model = _model(fields) if fields else None
    told: list[str] = []
    if file is not None:
        values = {name: value for name, value in file.values.items() if name not in _OF_TRL_ITSELF}
        told += lines_of(file, _wrong(values, model))
    told += [f"--set {mistake.text}" for mistake in _wrong(preset or {}, model)]
    told += [f"--{mistake.text}" for mistake in _wrong(_shaped(given, fields or {}), model)]
    everything = {**(preset or {}), **(file.values if file else {}), **given}
    told += [f"{name} is missing: {what}" for name, what in _NEEDED.items() if not everything.get(name)]
    if told:
        count = f"{len(told)} mistake{'s' * (len(told) > 1)}"
        raise TrainingConfigError(printable("\n".join([f"training configuration: {count}:", *told])))


def mistakes_in(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """What is wrong with values of training fields; of an unknown version of TRL, what can be told without it."""
    fields = known_fields()
    yield from _wrong(values, _model(fields) if fields else None)


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
    yield from unknown_tasks(values)
    yield from _unknown_schedule(values)


def _only_lists(field: Mapping[str, Any]) -> bool:
    return all(name == "null" or name.startswith("list") for name in field["types"])


def _model(fields: Table) -> type[BaseModel]:
    """A model that TRL's parser agrees with: numbers may be written as texts, for YAML takes 1e-5 for one."""
    forms: dict[str, Any] = {name: (_annotation(field), None) for name, field in fields.items()}
    return create_model("Training", __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True), **forms)


def _annotation(field: Mapping[str, Any]) -> Any:
    named = [_TYPES.get(name, Any) for name in field["types"]]
    if choices := field.get("choices"):
        named.append(Literal[tuple(choices)])
    return Union[tuple(named)]  # noqa: UP007  # of a tuple


def unknown_tasks(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Names of tasks that nobody has, with the nearest."""
    known = _task_names()
    for field in ("harness_tasks", "harness_in_domain") if known else ():
        given = values.get(field)
        for place, name in enumerate(given if isinstance(given, list) else [given] if isinstance(given, str) else []):
            if isinstance(name, str) and not fnmatch.filter(known, name):
                near = did_you_mean(name, known) or "; `sftgen tasks` lists them"
                yield Mistake((field, place), f"{field}: no task or group {name!r}{near}")


def _task_names() -> list[str]:
    """Tasks and groups of sftgen and of the plugins; none where a plugin's files cannot be read without lm_eval."""
    try:
        tasks, groups = installed()
    except CatalogueError:  # lm_eval will say it
        return []
    return sorted({*tasks, *groups})


def _unknown_schedule(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    given = values.get("harness_schedule")
    if isinstance(given, str):
        try:
            lookup("schedule", (given or DEFAULT).partition(":")[0].strip())
        except SftgenError as error:
            yield Mistake(("harness_schedule",), f"harness_schedule: {error}")
