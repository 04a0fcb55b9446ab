"""The docs define every word of a verdict as the program does."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from sftgen_train.trajectory import WORDS
from sftgen_train.trajectory.claims import Claim, End

DOCS = Path(__file__).parents[3] / "docs" / "trajectories.md"


def test_the_docs_have_the_table_of_words() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    assert {word: meaning for word, meaning in rows if word not in {"word", "---"}} == dict(WORDS)


def test_every_claim_and_verdict_is_defined() -> None:
    assert {*get_args(Claim), *get_args(End)} <= WORDS.keys()
