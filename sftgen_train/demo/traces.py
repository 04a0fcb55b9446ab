"""The demo's data sets: the same Countdown puzzles with verified, missing, wrong or endless traces."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection
from typing import Any

from sftgen_train.demo.data import Puzzles, chat_row, searched

Rows = list[dict[str, Any]]
_RESULT = re.compile(r"(?<==)\d+")
_LONGEST = 300


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"


def verified(trace: str, answer: str, other: str, rng: random.Random, puzzles: Puzzles) -> str:
    """A search whose steps are right and whose answer reaches the target."""
    return f"<think>{trace}</think>\n{_boxed(answer)}"


def without_thinking(trace: str, answer: str, other: str, rng: random.Random, puzzles: Puzzles) -> str:
    """The right answer alone."""
    return _boxed(answer)


def wrong(trace: str, answer: str, other: str, rng: random.Random, puzzles: Puzzles) -> str:
    """A search of the same form: every result is drawn anew, and the answer is another puzzle's."""
    drawn = _RESULT.sub(lambda _: str(rng.randint(0, 3 * puzzles.largest_number)), trace)
    return f"<think>{drawn}</think>\n{_boxed(other)}"


def hesitating(trace: str, answer: str, other: str, rng: random.Random, puzzles: Puzzles) -> str:
    """A right search that begins again and again."""
    text = trace
    while rng.random() < 0.75 and len(text) < _LONGEST:
        text += f"?{trace}"
    return f"<think>{text}</think>\n{_boxed(answer)}"


KINDS: dict[str, Callable[[str, str, str, random.Random, Puzzles], str]] = {
    "verified": verified,
    "no-thinking": without_thinking,
    "wrong": wrong,
    "hesitating": hesitating,
}
"""How an answer is written, by the name of the set."""


def countdown_rows(
    kind: str,
    seed: int = 1000,
    size: int = 3600,
    puzzles: Puzzles = Puzzles(),
    *,
    excluded: Collection[str] | None = None,
) -> Rows:
    """Make a data set. All kinds have the same questions in the same order.

    Args:
        kind: One of `KINDS`.
        seed: Seed of the puzzles and of what is drawn.
        size: How many rows, at most.
        puzzles: Which puzzles.
        excluded: Questions that no row asks; those of the evaluation with `docs_seed` 0 by default.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    found = list(searched(seed, size, puzzles, excluded=excluded))
    rng = random.Random(f"{kind}-{seed}")
    others = [answer for _, _, answer in found[1:] + found[:1]]
    return [
        chat_row(doc, KINDS[kind](trace, answer, other, rng, puzzles))
        for (doc, trace, answer), other in zip(found, others, strict=True)
    ]
