"""Which kind of word a token belongs to: it decides whether a shift is one of style or of substance."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLASSES = ("cue", "number", "connective", "format", "rest")
"""Cues of reasoning patterns; numbers and operators; connectives; markers, markup and line ends; all else."""

_CUES = (
    "wait", "hmm+", "actually", "alternatively", "hold on", "on second thought", "oh no", "oops", "maybe", "perhaps",
    "not sure", "let me", "let's", "let us", "check", "double-check", "recheck", "verify", "confirm", "mistake",
    "another (?:way|approach|method)", "instead", "try", "reconsider", "rethink", "go back", "start over",
)  # fmt: skip
_CONNECTIVES = (
    "so", "then", "thus", "therefore", "hence", "because", "since", "but", "however", "although", "though", "and", "or",
    "if", "else", "when", "while", "first", "second", "next", "finally", "also", "which means", "given", "assume",
    "suppose", "that is", "for example",
)  # fmt: skip
# Later ones go before earlier ones.
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("connective", re.compile(rf"\b(?:{'|'.join(_CONNECTIVES)})\b", re.IGNORECASE)),
    ("cue", re.compile(rf"\b(?:{'|'.join(_CUES)})\b", re.IGNORECASE)),
    ("number", re.compile(r"\d+(?:[.,]\d+)*|[-+*/=<>^%\u00d7÷·±≤≥≠≈√]")),
    ("format", re.compile(r"</?\w{2,20}>|<\|[^|>]{1,40}\|>|\\boxed|\\[()\[\]]|\*\*|[#`$]+|\n+")),
)


def classes_of(text: str, spans: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """The kind of word of each token, as a place in `CLASSES`.

    A token belongs to what its first visible character belongs to; one without any, for example an end token, is
    format.

    Args:
        text: The text.
        spans: First character of each token, and the one after its last.
    """
    of = np.full(len(text) + 1, CLASSES.index("rest"), dtype=np.uint8)
    for name, rule in _RULES:
        for found in rule.finditer(text):
            of[found.start() : found.end()] = CLASSES.index(name)
    return np.array([of[place] if place >= 0 else CLASSES.index("format") for place in _visible(text, spans)], np.uint8)


def _visible(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    places = []
    for start, end in spans:
        piece = text[start:end]
        place = start + len(piece) - len(piece.lstrip(" "))
        places.append(place if place < end else start if piece else -1)
    return places
