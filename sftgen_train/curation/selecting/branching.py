"""Drop traces that branch often: those that take a result back, or try another way, in many of their sentences.

A branch is a segment with a word of the lists for backtracking or enumeration of `diagnostics.pattern_words`. How well
those words find such segments, `how_good` says: it is a measure for comparing traces, not a count of ideas.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from sftgen_judges.diagnostics.pattern_words import found_by_words
from sftgen_judges.diagnostics.segments import segments
from sftgen_judges.plugins.contracts import Candidate, Made, Selector
from sftgen_train.curation.selecting.selectors import Options

if TYPE_CHECKING:
    import pyarrow as pa

BRANCHES = "branches"
"""Branches a hundred segments of the thinking; of the whole response where it has no thinking."""
PATTERNS = ("backtracking", "enumeration")


class Branching(Options):
    """Which traces go.

    Attributes:
        drop: Share of the rows that goes: those that branch most.
        most: Rows with more branches a hundred segments go, whatever their share.
    """

    drop: float | None = Field(default=None, gt=0, lt=1)
    most: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_rule(self) -> Branching:
        if (self.drop is None) == (self.most is None):
            raise ValueError("expected one of drop and most")
        return self


def branches(text: str) -> float:
    """Branches a hundred segments; 0 of an empty text.

    >>> branches("The sum is 12 in all. Wait, that is wrong. Alternatively count the pairs. There are six pairs.")
    50.0
    """
    parts = [part.of(text) for part in segments(text)]
    found = found_by_words(parts)
    hit = sum(any(found[name][place] for name in PATTERNS) for place in range(len(parts)))
    return 100 * hit / max(len(parts), 1)


def _measured(candidates: Sequence[Candidate], options: Branching) -> Iterator[tuple[int, Mapping[str, float]]]:
    for place, each in enumerate(candidates):
        yield place, {BRANCHES: branches(each.response.thinking or each.response.answer)}


def _few(table: pa.Table, options: Branching, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    import numpy as np

    values = table[BRANCHES].to_numpy()
    if options.most is not None:
        return table.filter(values <= options.most)
    # Of traces that branch equally often those that come first stay, so that exactly the share goes.
    stay = np.argsort(values, kind="stable")[: len(values) - round((options.drop or 0) * len(values))]
    return table.take(np.sort(stay))


FEW_BRANCHES = Selector("few-branches", 1, choose=_few, options=Branching, measure=_measured)
