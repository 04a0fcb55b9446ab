"""Graders with every bad habit, in a module of its own that a worker process imports quickly."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from sftgen_judges import Response, Verdict


def grade_as_told(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Does what the document says."""
    tricks: dict[str, Callable[[], Any]] = {
        "pass": lambda: Verdict("ok", 1.0, answer=response.answer),
        "raise": lambda: 1 / 0,
        "raise what cannot be pickled": lambda: _raise(AwkwardError("a", "b")),
        "raise TimeoutError": lambda: _raise(TimeoutError("my own")),
        "exit": lambda: sys.exit(1),
        "die": lambda: os._exit(3),
        "sleep": lambda: time.sleep(600),
        # One call of C code: no signal handler runs before it ends.
        "compute": lambda: 7 ** (10**9),
        "return a number": lambda: 1.0,
        "return nothing": lambda: None,
        "return a function": lambda: lambda: None,
        "fail": lambda: Verdict("sandbox_error", reason="no sandbox"),
    }
    return tricks[doc["do"]]()  # type: ignore[no-any-return]


def grade_slowly(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Takes half a second and gives the document's number."""
    time.sleep(0.5)
    return Verdict("ok", float(doc["number"]))


class AwkwardError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def _raise(error: Exception) -> None:
    raise error
