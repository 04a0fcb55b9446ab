"""Files of a stranger's clone: read whole, never followed out of it, never run."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from sftgen_judges.errors import SftgenError

LARGEST = 64 << 10
"""Bytes of a file that is read; the published ones have at most 28,000."""


class CloneError(SftgenError, ValueError):
    """A file of a clone that is not read; says why."""


def read_file(clone: Path, name: str) -> str:
    """The text of a file of a clone.

    Args:
        clone: The clone.
        name: Path in it. No part of it may be a link.

    Raises:
        CloneError: It is absent, a link, no regular file, too large or no text.
    """
    folder = -1
    try:
        folder = os.open(clone, os.O_RDONLY | os.O_DIRECTORY)
        *folders, last = name.split("/")
        for part in folders:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without waiting, since it may be a pipe that nobody writes to.
        with open(last, "rb", opener=_inside(folder)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CloneError(f"{name}: not a regular file")
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise CloneError(f"{name}: no such file") from None
    except OSError as error:
        why = "a link, or below a link" if _has_link(clone, name) else str(error.strerror)
        raise CloneError(f"{name}: not read: {why}") from error
    finally:
        if folder >= 0:
            os.close(folder)
    if len(data) > LARGEST:
        raise CloneError(f"{name}: not read: more than {LARGEST:,} bytes")
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise CloneError(f"{name}: not read: not UTF-8") from None


def _inside(folder: int) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)


def _has_link(clone: Path, name: str) -> bool:
    path = clone / name
    return any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(clone) and part != clone)


def commit_of(clone: Path) -> str | None:
    """The commit that a clone's `HEAD` names; None where it is not known. Files may differ from it."""
    try:
        head = read_file(clone, ".git/HEAD").strip()
        branch = re.fullmatch(r"ref: (refs/heads/[\w-][\w.-]*(?:/[\w-][\w.-]*)*)", head)
        if branch:
            head = _branch(clone, branch[1])
    except CloneError:
        return None
    return head if re.fullmatch(r"[0-9a-f]{40}", head) else None


def _branch(clone: Path, name: str) -> str:
    try:
        return read_file(clone, f".git/{name}").strip()
    except CloneError:
        packed = read_file(clone, ".git/packed-refs").splitlines()
    return next((line[:40] for line in packed if line[40:] == f" {name}"), "")
