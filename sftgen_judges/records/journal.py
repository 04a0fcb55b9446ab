"""Append-only JSONL files of a run: generations and verdicts, on disk before anything can fail.

Whatever is written goes through one encoder: JSON without NaN and infinity, and text that UTF-8 can hold. Whatever is
read goes through one guard: a line is an object of bounded size, and its text is clean.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from sftgen_judges.records.columns import Table
from sftgen_judges.records.errors import WriteError
from sftgen_judges.records.schema import well_formed

logger = logging.getLogger(__name__)

LONGEST_LINE = 64 << 20
"""Bytes of a line that is read: a longer one is not ours."""
_PIECE = 1 << 20
"""Characters that are encoded and written at once."""
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
"""Perhaps half of a surrogate pair, as JSON escapes it."""


def to_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON: a number that JSON does not have, such as infinity, becomes null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str, indent=indent)
    except ValueError:
        return json.dumps(clean(value), ensure_ascii=False, allow_nan=False, default=str, indent=indent)


def clean(value: Any) -> Any:
    """Plain data as JSON and UTF-8 can hold it: infinity becomes None, half of a surrogate pair is replaced."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(name): clean(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(held) for held in value]
    return value


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows, each as one line; a torn last line is closed first.

    Raises:
        WriteError: They cannot be written.
    """
    pieces = _pieces(to_json(row) + "\n" for row in rows)
    first = next(pieces, None)
    if first is None:
        return
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+", opener=no_link) as file:
            if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                first = b"\n" + first
            file.write(first)
            file.writelines(pieces)


def no_link(path: str, flags: int) -> int:
    """An opener for what is written: a link in a stranger's run may lead to any file.

    Raises:
        OSError: The file is a link.
    """
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a link, and a run is never written through links", path) from error


def read_rows(
    path: Path,
    damaged: list[int] | None = None,
    skip: Callable[[bytes], bool] | None = None,
    valid: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> Iterator[dict[str, Any]]:
    """The readable rows of a JSONL file.

    Args:
        path: The file; one that does not stand has no rows.
        damaged: The numbers of lines that cannot be read are added here.
        skip: Says which lines not to parse: a journal grows with every checkpoint, and the rows of the
            others are most of it.
        valid: Says of an object whether it is a row of this file.

    Raises:
        OSError: It stands but cannot be read.
    """
    for number, _, line in _lines(path):
        if line is not None and skip and skip(line):
            continue
        row = None if line is None else parsed(line)
        if row is not None and valid(row):
            yield row
        elif damaged is not None and (line is None or line.strip()):
            damaged.append(number)


def _lines(path: Path) -> Iterator[tuple[int, int, bytes | None]]:
    """The lines of a file with their numbers and places; None for one that is longer than `LONGEST_LINE`."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        place = 0
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            length = len(line)
            whole = line[-1:] == b"\n" or length < LONGEST_LINE
            while not whole and (rest := file.readline(LONGEST_LINE)):
                length += len(rest)
                whole = rest[-1:] == b"\n"
            yield number, place, line if length == len(line) else None
            place += length


def placed_rows(path: Path, table: Table) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The rows of a JSONL file, each after its place and length in bytes; damaged lines are named as by `whole_rows`.

    Raises:
        OSError: It stands but cannot be read.
    """
    damaged: list[int] = []
    for number, place, line in _lines(path):
        row = None if line is None else parsed(line)
        if line is not None and row is not None and table.holds(row):
            yield place, len(line), row
        elif line is None or line.strip():
            damaged.append(number)
    _say_lines(path, damaged, table)


def whole_rows(path: Path, table: Table, skip: Callable[[bytes], bool] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file; at its end the lines that are damaged are named, once a process.

    Args:
        path: The file.
        table: What it holds.
        skip: As for `read_rows`.

    Raises:
        OSError: It stands but cannot be read.
    """
    damaged: list[int] = []
    yield from read_rows(path, damaged, skip, table.holds)
    _say_lines(path, damaged, table)


def _say_lines(path: Path, damaged: Sequence[int], table: Table) -> None:
    if damaged:
        shown = ", ".join(map(str, damaged[:_MOST_NAMED])) + (" and others" if len(damaged) > _MOST_NAMED else "")
        say_damaged(path, f"line {shown}", table.then)


_MOST_NAMED = 20


@cache
def say_damaged(path: Path, place: str, then: str) -> None:
    """Said once a process of each damage."""
    logger.warning("%s: %s cannot be read and %s", path, place, then)


def rewrite_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole journal by rename; its own rows may be among those that are written.

    Raises:
        WriteError: It cannot be written.
    """
    _replace(path, (to_json(row) + "\n" for row in rows))


def write_atomic(path: Path, text: str) -> None:
    """Write a whole file by rename: a reader sees the old one or the new one, never half.

    Raises:
        WriteError: It cannot be written.
    """
    _replace(path, [text])


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside, an error of the disk names the file.

    Raises:
        WriteError: In place of an OSError.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, error) from error


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a line, with clean text; None where there is none."""
    dirty = _HALF_PAIR.search(line) is not None
    try:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text, dirty = line.decode("utf-8", "surrogatepass"), True
        row = json.loads(text)
    except (ValueError, RecursionError):  # not JSON, or not even text
        return None
    if not isinstance(row, dict):
        return None
    return clean(row) if dirty else row


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Text in UTF-8, in pieces of bounded size."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            yield _encoded("".join(held))
            held, size = [], 0
    if held:
        yield _encoded("".join(held))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return well_formed(text).encode()


def require_replaceable(path: Path) -> None:
    """Check that a file may take the place of what stands at a path: a folder or a device would be lost.

    Raises:
        OSError: It may not.
    """
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file", str(path))
    if not stat.S_ISREG(kind) or path.absolute().parent == Path("/dev"):  # where a link may lead to standard output
        raise OSError(errno.EINVAL, "it is a device or a pipe; name a file", str(path))


def _replace(path: Path, parts: Iterable[str]) -> None:
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_replaceable(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(_pieces(parts))
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
