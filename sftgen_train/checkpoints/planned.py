"""Where a training is to end, as far as its checkpoints tell."""

from __future__ import annotations

from pathlib import Path

from sftgen_train.checkpoints.sizes import read_facts

STATE = "trainer_state.json"
LARGEST = 64 << 20
"""Bytes of a state that is read: it holds the training's log."""


def last_step_of(checkpoint: Path, folder: Path) -> int | None:
    """The last step of the training that made a checkpoint, by transformers' `trainer_state.json`.

    Args:
        checkpoint: Where the weights are: the state is there, or in a folder above it.
        folder: The folder of all checkpoints.

    Returns:
        None where nothing tells: another trainer, a damaged file, or a training without an end.
    """
    inside = checkpoint.is_relative_to(folder)
    for place in (checkpoint, *checkpoint.parents):
        if place == folder or (not inside and place != checkpoint):
            return None
        found = _max_steps(place / STATE)
        if found:
            return found
    return None


def _max_steps(path: Path) -> int | None:
    found = read_facts(path, LARGEST).get("max_steps")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None
