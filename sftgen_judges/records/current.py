"""Where the samples of this process are written: the run directory and the checkpoint at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sftgen_judges.records.hash_cache import cache_folder
from sftgen_judges.records.store import RunFolder


@dataclass(frozen=True)
class Recording:
    """A run directory, with the step and model that responses are recorded under.

    Attributes:
        folder: The run directory.
        step: Training step of the model, None outside training.
        model: Content id of the model (`sftgen_judges.records.model_id`).
        seed: Base seed of sampled responses, where the model takes one a sample.
        count: Counts the tokens of a text as the model does; None where no tokenizer is known.
        part: Whether this process has a part of the documents only, and another one tells the manifest of all.
    """

    folder: RunFolder
    step: int | None = None
    model: str | None = None
    seed: int | str | None = None
    count: Callable[[str], int] | None = field(default=None, compare=False)
    part: bool = False


_current: ContextVar[Recording | None] = ContextVar("recording", default=None)


def managed() -> bool:
    """Whether a caller chose the recording; otherwise the default of this process is in force."""
    return _current.get() is not None


def current() -> Recording:
    """The recording in force: of `recording(...)`, or this process's default."""
    return _current.get() or _default()


@contextmanager
def recording(run: Recording) -> Iterator[Recording]:
    """Record everything graded inside the block under `run`."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


@cache
def _default() -> Recording:
    """`SFTGEN_RUN_DIR`, or a new folder in the cache: plain lm_eval has no run directory to offer."""
    named = os.environ.get("SFTGEN_RUN_DIR")
    if named:
        return Recording(RunFolder(Path(named)))
    begun = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    return Recording(RunFolder(cache_folder() / "runs" / begun))
