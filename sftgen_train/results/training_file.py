"""`training.json`: what a trainer leaves for others, in the run directory and in the folder of its queue.

In the run directory it says whose run it is and at which step the training ended; in the queue's folder, what the
trainer tells its workers while it lives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import no_link

TRAINING = "training.json"
_LARGEST = 1 << 24
"""Bytes that are read of a file that may be a stranger's; the settings of a training are a hundredth of it."""


def read_training(folder: Path) -> dict[str, Any]:
    """What the trainer left in a folder; empty where nothing can be read. A link is not followed."""
    try:
        with open(folder / TRAINING, encoding="utf-8", opener=no_link) as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
