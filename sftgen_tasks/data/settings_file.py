"""Files that people write, YAML or JSON, read into a pydantic model: all mistakes at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import printable

LARGEST = 1 << 20
"""Bytes of a file at most."""
_MOST_NODES = 10_000
M = TypeVar("M", bound=BaseModel)
Place = tuple[Any, ...]
"""Where in a file something stands: names and numbers from the outside in."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a file.

    Attributes:
        place: Where.
        text: What, in words.
    """

    place: Place
    text: str


@dataclass(frozen=True)
class SettingsFile:
    """A file that was read.

    Attributes:
        path: The file.
        kind: What such a file is called, for messages.
        error: The error that is raised.
        found: What it holds.
        node: The same with the lines.
    """

    path: Path
    kind: str
    error: type[SftgenError]
    found: dict[str, Any]
    node: yaml.MappingNode

    def checked(
        self,
        model: type[M],
        further: Callable[[dict[str, Any]], Iterable[Mistake]] = lambda found: (),
        place: Callable[[Any], Place | None] = lambda error: tuple(error["loc"]),
    ) -> M:
        """The model that the file describes.

        Args:
            model: What it is read into.
            further: What else is wrong with what the file holds.
            place: Where an error of pydantic belongs; None where it is not told.

        Raises:
            SftgenError: Of the kind `error`: all mistakes, with file, line, value and nearest name.
        """
        mistakes = list(_twice(self.node))
        made = None
        try:
            made = model.model_validate(self.found)
        except ValidationError as error:
            mistakes += mistakes_of(error, model, place=place)
        mistakes += further(self.found)
        if mistakes or made is None:
            raise self.refused(mistakes)
        return made

    def refused(self, mistakes: Iterable[Mistake]) -> SftgenError:
        """The error that names mistakes, in the order of lines."""
        found = [(_line(self.node, each.place), each.text) for each in mistakes]
        told = sorted(dict.fromkeys(found), key=lambda each: each[0])
        lines = [f"{self.path}:{line}: {printable(text)}" for line, text in told]
        return self.error(
            f"{self.kind} {str(self.path)!r} has {len(lines)} mistake{'s' * (len(lines) > 1)}:\n" + "\n".join(lines)
        )


def read_settings(path: Path, kind: str, error: type[SftgenError], holds: str) -> SettingsFile:
    """Read a file that holds a mapping, YAML or JSON.

    Args:
        path: The file.
        kind: What such a file is called, for messages.
        error: The error that is raised.
        holds: What the mapping has, for the message about a file that is none.

    Raises:
        SftgenError: Of the kind `error`: it cannot be read, is too large, or holds something else.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as failed:
        raise error(f"{kind} {str(path)!r}: cannot be read ({failed.strerror})") from None
    if len(raw) > LARGEST:
        raise error(f"{kind} {str(path)!r}: larger than {LARGEST:,} bytes; expected a short YAML file")
    try:
        node = yaml.compose(raw.decode("utf-8"), yaml.SafeLoader)
        if node is None or not isinstance(node, yaml.MappingNode):
            raise error(f"{kind} {str(path)!r}: expected a mapping with {holds}")
        if _grows(node):
            raise error(f"{kind} {str(path)!r}: more than {_MOST_NODES:,} values; expected a short YAML file")
        found = yaml.SafeLoader("").construct_document(node)
    except SftgenError:
        raise
    except yaml.YAMLError as failed:
        mark = getattr(failed, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise error(f"{kind} {where}: not YAML ({getattr(failed, 'problem', None) or 'damaged'})") from None
    except (UnicodeDecodeError, RecursionError, ValueError, TypeError) as failed:
        raise error(f"{kind} {str(path)!r}: not YAML ({type(failed).__name__})") from None
    return SettingsFile(path, kind, error, found, node)


def mistakes_of(
    error: ValidationError,
    model: type[BaseModel],
    inside: Place = (),
    place: Callable[[Any], Place | None] = lambda error: tuple(error["loc"]),
) -> Iterator[Mistake]:
    """What pydantic says, in our words, with the nearest name of one that is unknown.

    Args:
        error: What it says.
        model: The model.
        inside: Where in the file the model stands.
        place: Where an error belongs; None where it is not told.
    """
    for each in error.errors(include_url=False):
        of = place(each)
        if of is not None:
            yield Mistake((*inside, *of), _text(each, (*inside, *of), _fields(model, of[:-1])))


def _text(error: Any, place: Place, fields: Sequence[str]) -> str:
    name, value = ".".join(map(str, place)), error["input"]
    if error["type"] == "extra_forbidden":
        return f"{name} is unknown{near(str(place[-1]), fields)}"
    if error["type"] == "missing":
        return f"{name} is missing"
    close = ""
    if error["type"] == "literal_error" and isinstance(value, str):
        close = near(value, error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {str(value)[:80]!r}: {message[:1].lower()}{message[1:]}{close}"


def _fields(model: Any, place: Place) -> list[str]:
    """The names that may stand at a place of a model."""
    for part in place:
        model = _plain(model)
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = field.annotation if field else None
        else:
            model = next(iter(get_args(model)[::-1]), None)
    model = _plain(model)
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _plain(annotation: Any) -> Any:
    """An annotation without None and remarks."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            annotation = next((one for one in get_args(annotation) if one is not NoneType), None)
        else:
            return annotation


def near(name: str, known: Iterable[str]) -> str:
    """A name that is close to an unknown one, as the end of a message; empty where none is close."""
    close = get_close_matches(name, sorted(known), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _grows(node: yaml.Node) -> bool:
    """Whether a file's references make much out of little."""
    open_nodes, count = [node], 0
    while open_nodes:
        count += 1
        if count > _MOST_NODES:
            return True
        top = open_nodes.pop()
        if isinstance(top, yaml.MappingNode):
            open_nodes += [part for pair in top.value for part in pair]
        elif isinstance(top, yaml.SequenceNode):
            open_nodes += top.value
    return False


def _twice(node: yaml.Node, place: Place = ()) -> Iterator[Mistake]:
    """Keys that stand twice in a mapping: YAML would take the last without a word."""
    seen: set[str] = set()
    pairs: Any = node.value if isinstance(node, yaml.MappingNode) else enumerate(node.value)
    for key, value in pairs:
        name: Any = key.value if isinstance(key, yaml.ScalarNode) else key
        if isinstance(key, yaml.ScalarNode):
            if name in seen:
                yield Mistake((*place, name), f"{name} stands twice")
            seen.add(name)
        if isinstance(value, yaml.MappingNode | yaml.SequenceNode):
            yield from _twice(value, (*place, name))


def _line(node: yaml.Node, place: Sequence[Any]) -> int:
    """The line of a value, or of the innermost part of its place that is there."""
    line = node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            # Of a key that stands twice the last counts.
            pair = next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = node.value[part], node.value[part]
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def names_in(found: Mapping[str, Any], name: str) -> list[str]:
    """The names in a mapping of a file; none where it is something else."""
    held = found.get(name)
    return [str(key) for key in held] if isinstance(held, Mapping) else []
