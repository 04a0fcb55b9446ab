"""Where a reply states its score, and nowhere else.

A score counts in one of these forms: a JSON object, a line `score: 4` (also `Final score: 4`, `Rating: [[4]]`,
`#thescore: 4`), `<score>4</score>`, `#thereason: ... #thescore: 4` on one line, or a reply that is a number. It counts
only where a reply states its result: at its beginning, at its end, or between other fields. A score inside a sentence,
after the announcement of an example or a quotation, or between two paragraphs, is not the judge's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from sftgen_judges.asking.score_objects import damaged_end, stated_objects
from sftgen_judges.asking.score_places import (
    BARE,
    LONGEST_LINE,
    SEVERAL,
    VALUE,
    WRAP,
    Form,
    Stated,
    UnreadableReply,
    disowns,
    ends_of,
    gives_up,
    is_result,
    lines_of,
    number_of,
    revises,
)


def stated_score(text: str, form: Form) -> float | None:
    """The score that a reply states, None where it states none.

    Args:
        text: The reply without its thinking.
        form: What the score looks like.

    Raises:
        UnreadableReply: The reply states several different scores, something else in the place of a score, a score of
            another scale, or a JSON object that is damaged before its score.
    """
    if len(text) <= LONGEST_LINE and (bare := BARE.fullmatch(text)):
        return number_of(bare, form)
    lines = lines_of(text, form)
    stated, damaged = stated_objects(lines, form)
    begins = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if damaged != begins:  # what is written inside of a damaged object is not a line of the reply
        stated += stated_lines(lines, form)
    if not stated and damaged is not None and is_result(lines, damaged, len(lines) - 1):
        stated = [Stated(damaged, len(lines) - 1, damaged_end("\n".join(lines[damaged:]), form))]
    if not stated:
        return None
    stated.sort(key=lambda one: one.first)
    last, others = stated[-1], stated[:-1]
    if last.final:
        others = [one for one in others if one.final]
    if any(one.score != last.score for one in others):
        raise UnreadableReply(SEVERAL)
    behind = "\n".join(lines[last.last + 1 :])
    if gives_up(behind):
        raise UnreadableReply("the judge declined")
    if revises(behind):
        raise UnreadableReply(SEVERAL)
    if disowns(behind):
        raise UnreadableReply("the score is a quotation")
    return last.score


_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twenty": 20, "hundred": 100,
}  # fmt: skip
_COUNT = rf"(?:[0-9]+(?:\.[0-9]+)?|{'|'.join(_WORDS)})"
_SCALE = re.compile(
    rf"(?:\b(?:out\s+)?of\s+|/\s*)(?:a\s+(?:possible|maximum|total)\s+(?:of\s+)?)?(?P<most>{_COUNT})\b"
    rf"|\bscale\s*(?:of|from|:)?\s*(?P<low>{_COUNT})\s*(?:to|-|\u2013|\.\.)\s*(?P<high>{_COUNT})\b"
    rf"|\b(?P<low2>{_COUNT})\s*(?:to|-|\u2013)\s*(?P<high2>{_COUNT})[\s-]+scale\b"
    rf"|\(\s*(?P<low3>{_COUNT})\s*(?:to|-|\u2013)\s*(?P<high3>{_COUNT})\s*\)"
    rf"|\bmax(?:imum)?\.?\s*(?:of|is|:)?\s*(?P<most2>{_COUNT})\b",
    re.I,
)
_OTHER_NUMBER = re.compile(
    rf"[0-9%]|\bper\s?cent\b|\bor\s+(?:an?\s+)?one\b|\b(?:{'|'.join(set(_WORDS) - {'one'})})\b", re.I
)


_EXPLAINS = re.compile(
    r"(?:because|since|as|given|due\s+to)\s(?!if\b|long\b|soon\b)|(?:The|It|This|That)\s"
    r"(?!(?:\w+\s+){0,3}(?:would|could|might|if)\b)"
)
"""How a sentence begins that explains the score before it without a mark in between; what is supposed is none."""


def stated_lines(lines: Sequence[str], form: Form) -> Iterator[Stated]:
    """The lines that state a score and stand where a result stands."""
    numbers = (number for number, line in enumerate(lines) if ":" in line or "=" in line or "\uff1a" in line)
    found = ends_of([one for one in (_mark(lines, number, form) for number in numbers) if one])
    official = [one for one in found if one[1]]
    begun = next((line for line in lines if line.strip()), "").lstrip(" *_`").lower().startswith("#the")
    for group in _neighbours(official or found):
        stated = [one for one, _ in group if is_result(lines, one.first, one.last, announced=not (official and begun))]
        end = not any(re.search(r"\w", line) for line in lines[group[-1][0].last + 1 :])
        if len({one.score for one, _ in group}) > 1 and not end:
            continue  # the levels of a scale, one under the other
        yield from stated


def _neighbours(found: Sequence[tuple[Stated, bool]]) -> Iterator[list[tuple[Stated, bool]]]:
    group: list[tuple[Stated, bool]] = []
    for one in found:
        if group and one[0].first > group[-1][0].last + 1:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _mark(lines: Sequence[str], number: int, form: Form) -> tuple[Stated, bool] | None:
    """The score that a line states, and whether in the published format; None for any other line."""
    line = lines[number]
    if len(line) > LONGEST_LINE or not (label := _label(form).match(line)):
        return None
    if label["scale"]:
        _ends_well(label["scale"], form)
    last, rest = number, line[label.end() :]
    if not rest.strip(" \t*_"):  # the number is in the next line
        last = next((after for after in range(number + 1, min(number + 3, len(lines))) if lines[after].strip()), number)
        rest = lines[last] if last > number else ""
        if len(rest) > LONGEST_LINE or not BARE.fullmatch(rest):
            return None
    value = re.match(rf"{WRAP}(?:(?:{form.names})\s+)?{VALUE}(?P<close>[*_`\"')\]>\s]*)", rest, re.I)
    if (
        not value
        or (value["most"] and rest[value.end() :].startswith("/"))
        or not _ends_well(rest[value.end() :], form)
    ):
        return None
    return Stated(number, last, number_of(value, form), bool(label["final"])), bool(label["official"])


def _label(form: Form) -> re.Pattern[str]:
    return re.compile(
        r"[ \t]{0,20}(?:[-*+\u2022]\s|[0-9]{1,2}[.)]\s)?[ \t*_]{0,10}(?:#{1,6}[ \t*_]{0,10})??(?P<official>#the)?"
        r"(?:the\s{0,3})?(?P<final>(?:final|overall)\s{1,3})?"
        rf"(?P<quoted>\")?(?:{form.names})(?(quoted)\")[ \t*_]{{0,10}}"
        r"(?P<scale>\([^()\n]{1,30}\))?[ \t*_]{0,10}[:=\uff1a]",
        re.I,
    )


def _ends_well(rest: str, form: Form) -> bool:
    """Whether what follows a score on its line explains it, without another number.

    Raises:
        UnreadableReply: It names another scale, or another score.
    """

    def scale(match: re.Match[str]) -> str:
        low = match["low"] or match["low2"] or match["low3"]
        high = match["high"] or match["high2"] or match["high3"] or match["most"] or match["most2"]
        if _count(high) != form.scale[1] or (low and _count(low) != form.scale[0]):
            raise UnreadableReply(
                f"out of range: a score of another scale, not of {form.scale[0]:g} to {form.scale[1]:g}"
            )
        return ""

    left = _SCALE.sub(scale, rest).strip(" \t*_`\"'()[]<>.")
    if not left:
        return True
    after = rest.lstrip(" \t*_`\"')]>")
    explained = after.startswith((".", ",", ";", ":", "(", "\u2013", "\u2014", "-", "[")) or bool(
        _EXPLAINS.match(after)
    )
    if re.match(rf"\W*(?:or|to|-|\u2013|/)?\W*(?:or|to|maybe|perhaps)?\s*{_COUNT}\b", left, re.I):
        raise UnreadableReply(SEVERAL)
    return explained and not _OTHER_NUMBER.search(left)


def _count(text: str) -> float:
    return float(_WORDS.get(text.lower(), math.nan)) if text.isalpha() else float(text)
