"""A YAML file as its values and as its nodes, which know their lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LARGEST = 1 << 20
"""Bytes of a configuration file at most."""
_MOST_NODES = 10_000


class UnreadableFileError(Exception):
    """A file that cannot be read as a mapping in YAML."""


@dataclass(frozen=True)
class YamlFile:
    """A file that was read.

    Attributes:
        path: The file.
        values: Its mapping.
        node: The same as YAML's nodes.
    """

    path: Path
    values: dict[Any, Any]
    node: yaml.MappingNode

    def line(self, place: Sequence[Any]) -> int:
        """The line, from 1, of a value, or of the innermost part of its place that is there."""
        node: yaml.Node = self.node
        line = node.start_mark.line + 1
        for part in place:
            pair = step(node, part)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        return line

    def twice(self) -> Iterator[tuple[int, str]]:
        """Line and name of keys that stand twice in a mapping: YAML would take the last without a word."""
        return _twice(self.node)


def step(node: yaml.Node, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of a part of a mapping or a sequence, where there is one."""
    if isinstance(node, yaml.MappingNode):
        # Of a key that stands twice the last counts.
        return next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def read_yaml(path: Path) -> YamlFile:
    """Read a file of a mapping.

    Raises:
        UnreadableFileError: It cannot be read, is too large, is no YAML or no mapping. The message begins with the
            file, and with the line where one is known.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableFileError(f"{str(path)!r}: cannot be read ({error.strerror})") from None
    if len(raw) > LARGEST:
        raise UnreadableFileError(f"{str(path)!r}: larger than {LARGEST:,} bytes; expected a short YAML file")
    try:
        node = yaml.compose(raw.decode("utf-8"), yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise UnreadableFileError(f"{str(path)!r}: expected a mapping")
        _refuse_growth(node, path)
        # One node may stand at two places, and is made into a value once.
        values = yaml.SafeLoader("").construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UnreadableFileError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'damaged'})") from None
    except (UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise UnreadableFileError(f"{str(path)!r}: not YAML ({type(error).__name__})") from None
    return YamlFile(path, values, node)


def _refuse_growth(node: yaml.Node, path: Path) -> None:
    """Refuse a file whose references make much out of little."""
    open_nodes, count = [node], 0
    while open_nodes:
        count += 1
        if count > _MOST_NODES:
            raise UnreadableFileError(f"{str(path)!r}: more than {_MOST_NODES:,} values; expected a short YAML file")
        top = open_nodes.pop()
        if isinstance(top, yaml.MappingNode):
            open_nodes += [part for pair in top.value for part in pair]
        elif isinstance(top, yaml.SequenceNode):
            open_nodes += top.value


def _twice(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
        yield from _twice(value)
