"""The tasks of a curated pool: it is evaluated block by block, and a person sees it as one task."""

from __future__ import annotations

import re

POOL = "curate"
"""What the blocks of a pool are called together."""
BLOCK = f"{POOL}_[0-9]{{5,}}"
"""The name of a block, as a regular expression."""


def block_name(number: int) -> str:
    """The name under which the responses to a block are recorded."""
    return f"{POOL}_{number:05d}"


def shown_task(task: str) -> str:
    """The task that a person sees: of a block, the pool."""
    return POOL if re.fullmatch(BLOCK, task) else task
