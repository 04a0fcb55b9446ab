"""Scores in the JSON objects of a judge's reply."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.asking.score_places import (
    BARE,
    LONGEST_LINE,
    NUMBER,
    OF_OTHERS,
    SEVERAL,
    Form,
    Stated,
    UnreadableReply,
    announces_result,
    ends_of,
    is_result,
    number_of,
)

_MOST_ATTEMPTS = 50
"""Places that are tried as the beginning of a JSON object, so that a reply of braces is read in linear time."""


def stated_objects(lines: Sequence[str], form: Form) -> tuple[list[Stated], int | None]:
    """The scores of the JSON objects that stand where a result stands, and the first line that begins a damaged one."""
    text = "\n".join(lines)
    starts, offset = [], 0
    for line in lines:
        starts.append(offset)
        offset += len(line) + 1
    decoder = json.JSONDecoder(strict=False, parse_int=float, object_pairs_hook=lambda pairs: _object(pairs, form))
    found: list[tuple[int, int, str, Any]] = []
    damaged: list[int] = []
    number = 0
    while number < len(lines) and len(damaged) < _MOST_ATTEMPTS:
        begin = _begin(lines[number])
        if begin is None:
            number += 1
            continue
        try:
            value, end = decoder.raw_decode(text, starts[number] + begin)
        except (ValueError, RecursionError):
            damaged.append(number)
            number += 1
            continue
        last = text.count("\n", starts[number], end) + number
        score = _score_of(value)
        if score is not None and not text[end : starts[last] + len(lines[last])].strip(" \t.,;)`"):
            found.append((number, last, lines[number][:begin].strip(), score))
        number = last + 1
    stated = [
        Stated(first, last, _json_number(score, form))
        for first, last, lead, score in ends_of(found)
        if is_result(lines, first, last, lead)
    ]
    return stated, damaged[0] if damaged else None


def _begin(line: str) -> int | None:
    """Where a line begins a JSON object, alone or after a short announcement with a colon."""
    stripped = line.lstrip(" \t`")
    if stripped.startswith(("{", "[{")):
        return len(line) - len(stripped)
    head = re.match(r"[^{}:]{1,80}:[ \t*_`]{0,10}(?=\{)", line)
    return head.end() if head and announces_result(head[0]) else None


@dataclass(frozen=True)
class _Scored:
    """A JSON object: the value of its score, where it has one, or the only object in it."""

    score: Any = None
    has: bool = False
    inner: Any = None


def _object(pairs: Sequence[tuple[str, Any]], form: Form) -> _Scored:
    scores = [value for name, value in pairs if _is_field(name, form)]
    if len({repr(value) for value in scores}) > 1:
        raise UnreadableReply(SEVERAL)
    texts = [value.strip() for name, value in pairs if isinstance(value, str) and not _is_field(name, form)]
    # A form that was not filled in.
    if any(text in ("...", "\u2026", "your analysis", "<analysis>") for text in texts):
        return _Scored()
    if scores:
        return _Scored(scores[0], has=True)
    own = len(pairs) == 1 and not OF_OTHERS.search(pairs[0][0])
    return _Scored(inner=pairs[0][1] if own else None)


def _is_field(name: str, form: Form) -> bool:
    name = name.strip().lower().lstrip("#")
    return form.field.lower() in (name, name.removeprefix("the"))


def _score_of(value: Any) -> Any:
    """What a JSON value has in the place of the score, None where it has no such place."""
    for _ in range(3):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, _Scored):
            return None
        if value.has:
            return "" if value.score is None else value.score
        value = value.inner
    return None


def _json_number(value: Any, form: Form) -> float:
    if isinstance(value, str) and len(value) <= LONGEST_LINE and (match := BARE.fullmatch(value)):
        return number_of(match, form)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableReply("no number in the score's place")
    return float(value)


def damaged_end(text: str, form: Form) -> float:
    """The score at the end of an object that is no JSON, for example because of a quotation mark within its text.

    Raises:
        UnreadableReply: It does not end with its score.
    """
    last = re.search(rf'"{re.escape(form.field)}"\s*:\s*"?({NUMBER})"?\s*\}}\W*\Z', text[-200:], re.I)
    if not last:
        raise UnreadableReply("unreadable JSON, or truncated")
    return float(last.group(1))
