"""The commands of the documentation, and a folder in which they run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[str]:
    """Each command line of `sftgen` in a page's code blocks without a language, as one line without its comment."""
    language, begun = None, ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language == "":
            begun += line.removeprefix("$ ")
            if begun.endswith("\\"):
                begun = begun.removesuffix("\\")
                continue
            if re.match(r"sftgen \S", begun):
                yield shlex.join(shlex.split(begun, comments=True))
            begun = ""


def leaf(root: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that words lead to, and the words that are its own."""
    found = root
    while hasattr(found, "resolve_command") and words and not words[0].startswith("-"):
        context = found.context_class(found)
        if words[0].endswith(".yaml"):  # `sftgen study FILE` runs it
            words = ["run", *words]
        _, found, words = found.resolve_command(context, words)
    return found, words


def placeholders(line: str) -> bool:
    """Whether a line leaves something to the reader: three dots, or an option in brackets."""
    return bool(re.search(r"\.\.\.(?!/)|\[", line))
