"""The docs define every word of a verdict, of a regime and of a landmark as the program does."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sftgen_train.trajectory import WORDS
from sftgen_train.trajectory.claims import Claim, End
from sftgen_train.trajectory.landmarks import MEANINGS
from sftgen_train.trajectory.regime import Word
from sftgen_train.trajectory.words import REGIMES

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("page", "head", "words"),
    [
        ("trajectories.md", "| word | meaning |", WORDS),
        ("parts.md", "| regime | rule |", REGIMES),
        ("parts.md", "| landmark | definition |", MEANINGS),
    ],
)
def test_the_docs_have_the_table_of_words(page: str, head: str, words: dict[str, str]) -> None:
    table = (DOCS / page).read_text().partition(f"{head}\n")[2].partition("\n\n")[0]
    rows = (line.strip("| ").partition(" | ") for line in table.splitlines()[1:])
    assert {word: meaning for word, _, meaning in rows} == dict(words)


def test_every_claim_verdict_and_regime_is_defined() -> None:
    assert {*get_args(Claim), *get_args(End)} <= WORDS.keys()
    assert {*get_args(Word)} == REGIMES.keys()
