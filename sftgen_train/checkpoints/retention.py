"""Which checkpoints stay once they are evaluated, and how the others are deleted.

The dip is early and short: a trainer that keeps the last few checkpoints has deleted it by the time that it shows.
`log2` keeps one checkpoint for each doubling of the step; `verdict` keeps all until the trajectory's verdict is in, and
then the steps that the verdict is about. Base and last step always stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sftgen_train.checkpoints.leases import CheckpointError

Word = Literal["all", "log2", "verdict"]
WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True)
class Rule:
    """Which checkpoints stay.

    Attributes:
        word: `all`, `log2` or `verdict`; empty where steps are named.
        steps: The steps that are named.
    """

    word: Word | Literal[""] = "all"
    steps: frozenset[int] = frozenset()

    @classmethod
    def of(cls, given: Word | Collection[int]) -> Rule:
        """The rule of a word or of a list of steps."""
        return (
            cls(next(word for word in WORDS if word == given)) if isinstance(given, str) else cls("", frozenset(given))
        )

    def kept(self, steps: Collection[int], of_verdict: Callable[[], Collection[int] | None]) -> set[int]:
        """Those of a training's steps that stay.

        Args:
            steps: All steps that are known.
            of_verdict: Asked by `verdict`: the steps that the verdict is about, None while it is not in.
        """
        ends = {0, *sorted(steps)[-1:]} & set(steps)
        if self.word == "":
            return ends | (self.steps & set(steps))
        if self.word == "log2":
            return ends | _doublings(steps)
        named = of_verdict() if self.word == "verdict" else None
        return set(steps) if named is None else ends | (set(named) & set(steps))


def _doublings(steps: Collection[int]) -> set[int]:
    """The first step after the base, and each next one that is at least twice the one before."""
    kept: list[int] = []
    for step in sorted(step for step in steps if step > 0):
        if not kept or step >= 2 * kept[-1]:
            kept.append(step)
    return set(kept)


def delete_checkpoint(folder: Path, name: str) -> None:
    """Delete one checkpoint out of the folder that a user has named. No link is followed, in it or on the way to it.

    Args:
        folder: The folder of checkpoints.
        name: The checkpoint's own folder in it.

    Raises:
        CheckpointError: It is no folder of its own there.
        OSError: It cannot be deleted.
    """
    path = folder / name
    if not name or name in {".", ".."} or "/" in name or path.is_symlink() or not path.is_dir():
        raise CheckpointError(f"checkpoint {str(path)!r}: not deleted; it is no folder of its own in {str(folder)!r}")
    if not shutil.rmtree.avoids_symlink_attacks:
        raise CheckpointError(
            f"checkpoint {str(path)!r}: not deleted; this system cannot do it without following links"
        )
    # Away first: a deletion that is cut short leaves nothing that looks like a checkpoint.
    doomed = folder / f".{name}.deleting"
    if doomed.is_symlink() or doomed.exists():
        shutil.rmtree(doomed)
    path.rename(doomed)
    shutil.rmtree(doomed)
