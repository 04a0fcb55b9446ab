"""Why a response is not graded, for logs and terminals: in one short line, and without the words of the sample.

A reason may quote what it is about: a server repeats the prompt that it refuses, a grader the answer that it cannot
read. Prompts and answers may be harmful. They stay in the records, which hold the whole reason too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sftgen_judges.plugins.contracts.scoring import Item
from sftgen_judges.records.schema import printable

LONGEST = 200
"""Characters of a reason that are shown."""
QUOTED = 16
"""So many letters and digits in a row that the sample has too are a quotation of it."""
SHORTEST = 4
"""A whole answer of so many, or more, is one."""
_ESCAPED = re.compile(r"\\[ux][0-9a-fA-F]{2}|%[0-9a-fA-F]{2}%|&#")
_BREAKS = re.compile(r"\\[nrtfv]")


def told(reason: str, item: Item) -> str:
    """A reason in one line; of one that quotes the sample only the kind.

    Args:
        reason: Of a verdict.
        item: What it is about.
    """
    line = printable(" ".join(reason.split()))
    if quotes(line, item):
        kind = line.partition(":")[0]
        known = "" if kind == line or quotes(kind, item) else f"{kind}; "
        return f"{known[:LONGEST]}the whole reason quotes the sample and is in the records only"
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def quotes(text: str, item: Item) -> bool:
    """Whether a text has words of a sample, or characters written in codes, which may hide them."""
    if _ESCAPED.search(text):
        return True
    given = _letters(_BREAKS.sub(" ", text))
    parts = {given[place : place + QUOTED] for place in range(len(given) - QUOTED + 1)}
    answer = _letters(item.response.answer)
    if len(answer) >= SHORTEST and answer in given:
        return True
    return any(part in known for known in map(_letters, _texts(item)) for part in parts)


def _texts(item: Item) -> Iterator[str]:
    yield item.response.text
    yield item.response.thinking
    yield item.response.answer
    yield from _strings(item.doc)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _letters(text: str) -> str:
    """Letters and digits alone: however a quotation is broken into lines, marked or capitalised."""
    return "".join(filter(str.isalnum, text.casefold()))
