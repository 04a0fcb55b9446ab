"""Segments: the cut that judges number and diagnostics count."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftgen_judges.diagnostics.segments import LONGEST, numbered, segments, windows

CUTS = {
    "sentences": ("Add 2 to it. Then halve the sum.", ["Add 2 to it.", "Then halve the sum."]),
    "decimals": ("So x = 2.5. It is below 3.0 now.", ["So x = 2.5.", "It is below 3.0 now."]),
    "a factorial": ("We get 5! = 120 words. That is all.", ["We get 5! = 120 words.", "That is all."]),
    "a factorial asked about": ("Does 15! have twos? It does, yes.", ["Does 15! have twos?", "It does, yes."]),
    "an exclamation": ("That works out! We are done here.", ["That works out!", "We are done here."]),
    "abbreviations": ("Use one, e.g. Markov's. See Fig. 2 for it.", ["Use one, e.g. Markov's.", "See Fig. 2 for it."]),
    "list numbers": ("1. Find the height.\n2. Find the area.", ["1. Find the height.", "2. Find the area."]),
    "a dotted row": ("Take 1, 2, ... 9 here. Each one once.", ["Take 1, 2, ... 9 here.", "Each one once."]),
    "thinking aloud": ("Hmm. Wait. That can't be right.", ["Hmm. Wait. That can't be right."]),
    "short at the end": ("The answer is four. Good.", ["The answer is four. Good."]),
    "short alone": ("Four.", ["Four."]),
    "lines without stops": ("x = 3 and y = 4\nz = x + y + 1", ["x = 3 and y = 4", "z = x + y + 1"]),
    "quotes and brackets": (
        'He says "it is so." (It is not so.) And so on.', ['He says "it is so."', "(It is not so.)", "And so on."],
    ),
    "a full stop of another script": ("a b c\u3002 d e f\u3002", ["a b c\u3002", "d e f\u3002"]),
    "a negative number": ("So t is 2. -3 is the other root.", ["So t is 2.", "-3 is the other root."]),
    "nothing": (" \n ", []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CUTS.values(), ids=CUTS)
def test_the_cut(text: str, expected: list[str]) -> None:
    assert [part.of(text) for part in segments(text)] == expected


@given(st.text(alphabet=st.sampled_from("ab 1.!?\n=\u2026)\"'"), max_size=200))
@settings(max_examples=150, deadline=None)
def test_nothing_but_blanks_is_left_out_and_the_order_is_kept(text: str) -> None:
    parts = segments(text)
    assert (
        "".join(part.of(text) for part in parts).split()
        == "".join(text[part.start : part.end] for part in sorted(parts, key=lambda part: part.start)).split()
    )
    assert [*"".join(part.of(text) for part in parts).replace(" ", "").replace("\n", "")] == [*"".join(text.split())]
    assert all(one.end <= other.start for one, other in pairwise(parts))
    assert all(part.of(text) == part.of(text).strip() != "" for part in parts)


def test_a_text_without_stops_is_cut_at_blanks() -> None:
    text = "word " * 1000
    parts = segments(text)
    assert len(parts) == 5
    assert all(part.end - part.start <= LONGEST for part in parts)
    assert segments("x" * 2500)[0].end == LONGEST


def test_windows_hold_all_segments_once() -> None:
    text = "\n".join(f"This is line number {n} of them." for n in range(25))
    parts = segments(text)
    found = windows(parts, 10, 10_000)
    assert [len(window) for window in found] == [10, 10, 5]
    assert [place for window in windows(parts, 100, 200) for place in window] == list(range(25))
    assert windows([], 10, 100) == []
    assert numbered(text, parts[10:12], 11).startswith("[11] This is line number 10 of them.\n[12] ")
