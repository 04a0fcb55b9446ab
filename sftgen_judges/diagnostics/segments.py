"""Cuts a chain of thought into segments: sentences, as numbered for a judge and as counted by diagnostics.

The cut depends on the text alone, so that a label made today means the same segment tomorrow. It is made for reasoning
texts: formulas, decimals, list numbers and lines without a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

VERSION = 1
"""Raised when the same text is cut in another way; a part of every judge's version that numbers segments."""
FEWEST_WORDS = 3
"""A shorter sentence ("Hmm.", "So no.") belongs to the next one of its line, or to the one before at the line's end."""
LONGEST = 1_000
"""Characters of a segment; a longer one, for example a table without line breaks, is cut at a blank."""

# After a full stop and closing brackets or quotes a blank follows. A factorial goes on: "5! = 120", "does 15! have".
_ENDS = re.compile(
    r"(?:[.?\u2026\u3002\uff01\uff1f]|(?<!\d)!|(?<=\d)!(?!\s+[a-z]))+[\"'\u201d\u2019)\]*_`]{0,4}(?=\s)"
    r"(?!\s+(?:[-+*]\s|[=/\u00b7\u00d7<>\u2264\u2265).,;:]))"
)
# Not after abbreviations and list numbers.
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|approx|resp|Fig|Eq|Eqs|No|Dr|Mr|Mrs|Ms|Prof|St)|^\s*(?:\d{1,3}|[a-zA-Z]))\.$"
)
_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True)
class Segment:
    """A stretch of a text: characters `start` to `end`, without blanks around it."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The segment's own text."""
        return text[self.start : self.end]


def segments(text: str) -> list[Segment]:
    """The segments of a text, in order; nothing but blanks stands between them.

    >>> [part.of("So x = 2.5. Wait. No, that is wrong!") for part in segments("So x = 2.5. Wait. No, that is wrong!")]
    ['So x = 2.5.', 'Wait. No, that is wrong!']
    """
    found: list[Segment] = []
    for line in _LINE.finditer(text):
        found += _joined(text, list(_sentences(text, line.start(), line.end())))
    return found


def _sentences(text: str, start: int, end: int) -> Iterator[Segment]:
    """The sentences of one line."""
    for stop in _ENDS.finditer(text, start, end):
        goes_on = stop[0] in {"...", "\u2026"} and not text[stop.end() :].lstrip()[:1].isupper()
        if goes_on or _ABBREVIATION.search(text[max(start, stop.end() - 12) : stop.end()]):
            continue
        yield from _pieces(text, start, stop.end())
        start = stop.end()
    yield from _pieces(text, start, end)


def _pieces(text: str, start: int, end: int) -> Iterator[Segment]:
    """One sentence without the blanks around it, in pieces of at most `LONGEST` characters."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        cut = text.rfind(" ", start + 1, start + LONGEST)
        cut = cut if cut > start else start + LONGEST
        yield Segment(start, cut)
        start = cut + 1 if text[cut].isspace() else cut
    if start < end:
        yield Segment(start, end)


def _joined(text: str, line: Sequence[Segment]) -> list[Segment]:
    """The sentences of one line, the very short ones joined with a neighbour."""
    joined: list[Segment] = []
    short = False
    for part in line:
        if short and part.end - joined[-1].start <= LONGEST:
            joined[-1] = Segment(joined[-1].start, part.end)
        else:
            joined.append(part)
        short = len(joined[-1].of(text).split()) < FEWEST_WORDS
    if short and len(joined) > 1 and joined[-1].end - joined[-2].start <= LONGEST:
        joined[-2:] = [Segment(joined[-2].start, joined[-1].end)]
    return joined


def numbered(text: str, parts: Sequence[Segment], first: int = 1) -> str:
    """Segments one a line, each with its number, as judges are shown them.

    >>> print(numbered("Add 2. Then halve it.", segments("Add 2. Then halve it.")))
    [1] Add 2. Then halve it.
    """
    return "\n".join(f"[{number}] {part.of(text)}" for number, part in enumerate(parts, first))


def windows(parts: Sequence[Segment], most: int, longest: int) -> list[range]:
    """Positions of segments in stretches that a judge is asked about at once.

    Args:
        parts: The segments of a text.
        most: Segments of a stretch.
        longest: Characters of a stretch, its last segment excepted.
    """
    found: list[range] = []
    begin = 0
    for position, part in enumerate(parts):
        if position > begin and (position - begin >= most or part.end - parts[begin].start > longest):
            found.append(range(begin, position))
            begin = position
    return [*found, range(begin, len(parts))] if parts else []
