"""Append-only JSONL files of a run: generations and verdicts, on disk before anything can fail."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows, each as one line, in one write; a torn last line is closed first."""
    text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    if not text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            text = "\n" + text
        file.write(text.encode("utf-8", "surrogatepass"))


def read_rows(
    path: Path, damaged: list[int] | None = None, skip: Callable[[bytes], bool] | None = None
) -> Iterator[dict[str, Any]]:
    """The readable rows of a JSONL file.

    Args:
        path: The file; one that does not stand has no rows.
        damaged: The numbers of lines that cannot be read are added here.
        skip: Says which lines not to parse: a journal grows with every checkpoint, and the rows of the
            others are most of it.

    Raises:
        OSError: It stands but cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            if skip and skip(line):
                continue
            try:
                row = json.loads(line.decode("utf-8", "surrogatepass"))
            except ValueError:  # not JSON, or not even text
                row = None
            if isinstance(row, dict):
                yield row
            elif damaged is not None and line.strip():
                damaged.append(number)


def rewrite_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole journal by rename; its own rows may be among those that are written."""
    _replace(path, (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))


def write_atomic(path: Path, text: str) -> None:
    """Write a whole file by rename: a reader sees the old one or the new one, never half."""
    _replace(path, [text])


def _replace(path: Path, parts: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.writelines(parts)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
