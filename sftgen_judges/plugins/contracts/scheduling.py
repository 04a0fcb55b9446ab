"""What says when checkpoints are evaluated: `Schedule`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A rule that says at which training steps a checkpoint is evaluated.

    Users choose it as `NAME` or as `NAME:ARGUMENTS`, with commas between the arguments, for example `every:100`. Name
    and arguments are all that is written down, so `due` must say the same in the trainer and in its workers.

    Attributes:
        name: The name it is registered under.
        version: Raised when the rule chooses other steps.
        due: Takes the step, and then the arguments: numbers where they read as numbers, else text. It is also called
            with step 1 before training, so that arguments it cannot use show then: it raises `ValueError`, which
            says what was expected. The base model (step 0) and the last step are evaluated in any case.
    """

    name: str
    version: int
    due: Callable[..., bool]
