"""Finds what a judge quotes: a quotation counts only where it is in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sftgen_judges.diagnostics.segments import Segment

SHORTEST = 3
"""Characters that a quotation has, letters and digits only; a shorter one could be anywhere."""
_DROPPED = re.compile(r"[^\w]+")
_STRAIGHT = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'})


def plain(text: str) -> str:
    """A text as quotations are compared: judges change blanks, quotation marks, dots and capitals as they copy.

    >>> plain('So, "x = 2".  Wait...')
    'so x 2 wait'
    """
    return _DROPPED.sub(" ", text.translate(_STRAIGHT)).strip().casefold()


def quoted_segment(quote: str, text: str, parts: Sequence[Segment], window: range, named: int) -> int | None:
    """The segment that a judge quotes.

    Args:
        quote: What it quotes.
        text: The whole text.
        parts: Its segments.
        window: Those that the judge was shown.
        named: The one that it says the quotation is from.

    Returns:
        The named one if the quotation is in it; else the only other one of the window that has it; else None.
    """
    looked_for = plain(quote)
    short = len(looked_for) < SHORTEST
    if named in window:
        there = plain(parts[named].of(text))
        # Two signs, such as "6!", identify a segment only if they are all of it.
        if there == looked_for if short else _within(looked_for, there):
            return named
        if not looked_for and not there:  # signs only, such as an equation of symbols
            return named if quote.strip() and quote.strip() in parts[named].of(text) else None
    if short:
        return None
    others = [position for position in window if _within(looked_for, plain(parts[position].of(text)))]
    return others[0] if len(others) == 1 else None


def _within(quote: str, there: str) -> bool:
    """Whether a text has a quotation, which may end in the middle of a word."""
    return f" {quote}" in f" {there}"
