"""In which scripts a text is written, by Unicode's blocks. Two languages of one script look alike here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# First code point, code point after the last, script. Greek is left out: in mathematics it is no language.
_RANGES = (
    (0x41, 0x5B, "Latin"), (0x61, 0x7B, "Latin"), (0xC0, 0x250, "Latin"), (0x1E00, 0x1F00, "Latin"),
    (0x400, 0x530, "Cyrillic"), (0x531, 0x590, "Armenian"), (0x590, 0x600, "Hebrew"), (0x600, 0x780, "Arabic"),
    (0x8A0, 0x900, "Arabic"), (0x900, 0x980, "Devanagari"), (0x980, 0xA00, "Bengali"), (0xB80, 0xC00, "Tamil"),
    (0xC00, 0xC80, "Telugu"), (0xE00, 0xE80, "Thai"), (0x10A0, 0x1100, "Georgian"), (0x1100, 0x1200, "Hangul"),
    (0x3040, 0x3100, "Han and Kana"), (0x3400, 0x4DC0, "Han and Kana"), (0x4E00, 0xA000, "Han and Kana"),
    (0xAC00, 0xD7B0, "Hangul"), (0xF900, 0xFB00, "Han and Kana"), (0x20000, 0x32000, "Han and Kana"),
)  # fmt: skip
_NAMES = tuple(dict.fromkeys(name for _, _, name in _RANGES))
_EDGES = np.array(sorted({edge for first, end, _ in _RANGES for edge in (first, end)}), dtype=np.uint32)
_OF = np.full(len(_EDGES) + 1, -1, dtype=np.int8)
for _first, _end, _name in _RANGES:
    _OF[np.searchsorted(_EDGES, _first, side="right")] = _NAMES.index(_name)

SHORTEST = 2
"""Letters of the shortest stretch that counts as another script: one may be a symbol."""


@dataclass(frozen=True)
class Scripts:
    """The scripts of a text.

    Attributes:
        main: The script of most letters; empty without letters.
        switches: Changes from one script to another; stretches of one letter do not count.
        other: Share of letters in other scripts than the main one.
    """

    main: str = ""
    switches: int = 0
    other: float = 0.0


def scripts_of(text: str) -> Scripts:
    """Measure a text."""
    if text.isascii():
        return Scripts("Latin" if any(map(str.isalpha, text)) else "")
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    kinds = _OF[np.searchsorted(_EDGES, points, side="right")]
    kinds = kinds[kinds >= 0]  # only letters
    if not len(kinds):
        return Scripts()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(kinds)) + 1])
    lengths = np.diff(np.concatenate([starts, [len(kinds)]]))
    runs = kinds[starts][lengths >= SHORTEST]
    counts = np.bincount(kinds, minlength=len(_NAMES))
    main = int(counts.argmax())
    return Scripts(_NAMES[main], int((np.diff(runs) != 0).sum()), float(1 - counts[main] / len(kinds)))
