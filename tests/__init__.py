"""The tests, room by room as the packages are."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

Row = TypeVar("Row")

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

PATIENCE = 240
"""Seconds after which a process is taken for one that hangs, before pytest's own limit; no test ends in time or not
by it."""

WHOLE = os.environ.get("SFTGEN_TEST_WHOLE") == "1"


def portion(rows: Sequence[Row], parts: int) -> Sequence[Row]:
    """One in `parts` of the rows, since CI has two cores; all of them where `SFTGEN_TEST_WHOLE` is 1."""
    return rows if WHOLE else rows[::parts]
