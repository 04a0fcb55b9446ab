"""A configuration file against its model: all mistakes together, each with line, value and nearest name.

It imports pydantic and YAML alone, so that a mistake is told before anything large is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.records.schema import printable
from sftgen_train.configuring.yaml_file import UnreadableFileError, YamlFile, read_yaml

ModelT = TypeVar("ModelT", bound=BaseModel)
_LONGEST_VALUE = 80
_MOST_WORDS = 12


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a value.

    Attributes:
        place: Keys and numbers that lead to it, from the file's top.
        text: What is wrong, what was expected, and the nearest name.
    """

    place: tuple[Any, ...]
    text: str


def read_config(
    path: Path,
    model: type[ModelT],
    *,
    kind: str,
    error: type[SftgenError],
    also: Callable[[Mapping[Any, Any]], Iterable[Mistake]] = lambda _: (),
) -> ModelT:
    """Read a YAML or JSON file into a model.

    Args:
        path: The file.
        model: What it must hold; with `extra="forbid"` an unknown key is told with the nearest name.
        kind: What the file is, for messages: `policy`.
        error: The exception to raise.
        also: Further mistakes in the file's values, for example names that no task has. It is called whatever the
            model found, and so with values of any type.

    Raises:
        SftgenError: `error`, with every mistake: `FILE:LINE: PLACE: VALUE: what was expected`.
    """
    try:
        file = read_yaml(path)
    except UnreadableFileError as unreadable:
        raise error(f"{kind} {unreadable}") from None
    found, mistakes = check(file.values, model)
    mistakes += also(file.values)
    lines = lines_of(file, mistakes)
    if lines or found is None:
        count = f"{len(lines)} mistake{'s' * (len(lines) > 1)}"
        raise error("\n".join([f"{kind} {str(path)!r} has {count}:", *lines])) from None
    return found


def check(values: Mapping[Any, Any], model: type[ModelT]) -> tuple[ModelT | None, list[Mistake]]:
    """A model of values, or None and what is wrong with them."""
    try:
        return model.model_validate(dict(values)), []
    except ValidationError as invalid:
        return None, list(_mistakes(invalid, model, values))


def lines_of(file: YamlFile, mistakes: Iterable[Mistake]) -> list[str]:
    """`FILE:LINE: TEXT` of each mistake in a file, and of each key that stands twice, in the order of lines."""
    told = [(line, f"{name} stands twice") for line, name in file.twice()]
    told += [(file.line(mistake.place), mistake.text) for mistake in mistakes]
    return [f"{file.path}:{line}: {printable(text)}" for line, text in sorted(told, key=lambda each: each[0])]


def _mistakes(invalid: ValidationError, model: type[BaseModel], values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """One mistake for each value: of several forms that it may have, by the form that it comes nearest to."""
    by_place: dict[tuple[Any, ...], list[Any]] = {}
    for each in invalid.errors(include_url=False):
        by_place.setdefault(_place(each, values), []).append(each)
    for place, errors in by_place.items():
        # A form of a value is not told where another form has got further into it.
        if any(other[: len(place)] == place and len(other) > len(place) for other in by_place) and all(
            each["type"] not in ("extra_forbidden", "missing", "value_error") for each in errors
        ):
            continue
        yield Mistake(place, _text(place, errors, model))


def _place(error: Any, values: Any) -> tuple[Any, ...]:
    """Where a mistake is in the file: pydantic's place also names forms, which are no part of the file."""
    place: list[Any] = []
    parts = list(error["loc"])
    for number, part in enumerate(parts, start=1):
        inside = (
            part in values if isinstance(values, Mapping) else isinstance(values, list) and part in range(len(values))
        )
        if inside:
            values = values[part]
        if inside or (number == len(parts) and error["type"] == "missing"):
            place.append(part)
    return tuple(place)


def _text(place: tuple[Any, ...], errors: Sequence[Any], model: type[BaseModel]) -> str:
    name = ".".join(map(str, place)) or "the file"
    kinds = {error["type"] for error in errors}
    if kinds == {"missing"}:
        return f"{name} is missing"
    if "extra_forbidden" in kinds:
        return f"{name} is unknown{did_you_mean(str(place[-1]), sorted(_fields(model, place[:-1])))}"
    value = errors[0]["input"]
    known = [word for error in errors if error["type"] == "literal_error" for word in _words(error)]
    near = did_you_mean(value, known) if isinstance(value, str) else ""
    if value in (True, False) and (quoted := {"no", "off", "yes", "on"} & set(known)):
        near = f"; YAML reads {' and '.join(sorted(quoted))} as true or false: put it into quotes"
    elif isinstance(value, str) and {error["type"] for error in errors} == {"list_type"}:
        near = f"; write [{_short(value)}]"
    # A word that is nearly a known one was meant as a word: other forms of the value are not told.
    messages = [_message(error) for error in errors if error["type"] == "literal_error" or not (near and known)]
    shown = "" if isinstance(value, (Mapping, BaseModel)) else f"{_short(value)!r}: "
    return f"{name}: {shown}{', or '.join(dict.fromkeys(messages))}{near}"


def _words(error: Any) -> list[str]:
    """The words that a value may be."""
    return str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")


def _message(error: Any) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "literal_error" and len(words := _words(error)) > _MOST_WORDS:
        text = f"input should be one of {len(words)} words, for example {words[0]!r}"
    return text[:1].lower() + text[1:]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _fields(model: type[BaseModel], place: Sequence[Any]) -> set[str]:
    """Names that a mapping at a place of the file may have."""
    at = [model]
    for part in place:
        if isinstance(part, int):
            continue
        inner = [field.annotation for each in at if (field := _named(each, str(part)))]
        # The keys of a mapping are free: where none is a field, the models stay.
        at = [found for annotation in inner for found in _models(annotation)] or at
    return {field.alias or name for each in at for name, field in each.model_fields.items()}


def _named(model: type[BaseModel], name: str) -> Any:
    return next((field for known, field in model.model_fields.items() if name in (known, field.alias)), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
