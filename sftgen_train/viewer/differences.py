"""What differs between two texts, word by word, in bounded time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from sftgen_train.viewer.writing import Mark, Token

MOST_PAIRS = 150_000
"""Pairs of equal words that are looked at; texts that repeat themselves have more."""
LEAST_SHARED = 0.25
"""Share of words in common below which marks would hide the text."""


@dataclass(frozen=True)
class Difference:
    """The words of two texts in one row.

    Attributes:
        tokens: The words.
        marks: For each whether it was put in or taken out.
        why: Why nothing is marked, empty if it is.
    """

    tokens: Sequence[Token]
    marks: Sequence[Mark] = ()
    why: str = ""


def difference(before: Sequence[Token], after: Sequence[Token]) -> Difference:
    """How a text differs from an earlier one.

    Args:
        before: The earlier text.
        after: The text.
    """
    old, new = ([token.text.strip() for token in found] for found in (before, after))
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    inner_old, inner_new = old[first : len(old) - last], new[first : len(new) - last]
    counts = Counter(inner_new)
    if sum(counts[word] for word in inner_old) > MOST_PAIRS:
        return Difference(after, why="the texts repeat themselves too much to be compared word by word")
    matcher = SequenceMatcher(None, inner_old, inner_new, autojunk=False)
    shared = first + last + sum(block.size for block in matcher.get_matching_blocks())
    if shared < LEAST_SHARED * max(len(old), len(new)):
        return Difference(after, why="rewritten: hardly a word is shared with the first column")
    tokens: list[Token] = list(after[:first])
    marks: list[Mark] = [""] * first
    for kind, from_old, to_old, from_new, to_new in matcher.get_opcodes():
        put_in = after[first + from_new : first + to_new]
        if kind != "equal":
            taken = before[first + from_old : first + to_old]
            tokens += taken
            marks += ["del"] * len(taken)
        tokens += put_in
        marks += ["" if kind == "equal" else "ins"] * len(put_in)
    tokens += after[len(after) - last :] if last else ()
    marks += [""] * last
    return Difference(tokens, marks)


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words two texts begin with alike."""
    count = 0
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))
