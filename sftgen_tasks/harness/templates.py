"""Templates of tasks, compiled once: lm_eval compiles them again for every document, three times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache


@contextmanager
def compiled_once() -> Iterator[None]:
    """Inside, a template that was compiled before is used again."""
    from lm_eval import utils

    kept = lru_cache(maxsize=1024)(utils.env.from_string)
    utils.env.from_string = kept
    try:
        yield
    finally:
        utils.env.__dict__.pop("from_string", None)
