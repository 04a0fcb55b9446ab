"""What finds the checkpoints of a trainer: `CheckpointSource`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """A folder of weights and the training step it was saved at."""

    step: int
    path: Path


@dataclass(frozen=True)
class CheckpointSource:
    """Recognises one layout of checkpoints in a folder.

    Attributes:
        name: The name it is registered under.
        list: The checkpoints in a folder by step, empty where the layout is another. One that is visibly not
            written to its end is left out.
        materialise: Writes a checkpoint in Hugging Face format into a folder, in which configuration and
            tokenizer of the base model may lie already. None where checkpoints are in that format anyway.
    """

    name: str
    list: Callable[[Path], Sequence[Checkpoint]]
    materialise: Callable[[Checkpoint, Path], None] | None = None
