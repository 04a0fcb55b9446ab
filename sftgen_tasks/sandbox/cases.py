"""The tests of a program, and their result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "",
    "compile error",
    "wrong answer",
    "time limit",
    "memory limit",
    "crash",
    "refused call",
    "sandbox error",
]

Same = Callable[[str, str], bool]
"""`same(expected, actual)`: whether an output is right. Runs outside the process of the program."""


@dataclass(frozen=True)
class Case:
    """One test.

    Attributes:
        given: Standard input, or a function's arguments as JSON, one argument a line.
        expected: Standard output, or the return value as JSON. Stays out of the sandbox.
    """

    given: str
    expected: str


@dataclass(frozen=True)
class Outcome:
    """The result of the tests of one sample.

    Attributes:
        passed: Whether every test passed.
        reason: Why the first failing test failed; empty for a program that passed.
        failed_case: Which test that was, from 0; None if the reason is not a test's.
        detail: A short text for a person; never the whole output of the program.
        only_as_process: The program passed, but not in the way of a checker that runs programs inside its own process,
            see `Program.streams_only`.
    """

    passed: bool
    reason: Reason = ""
    failed_case: int | None = None
    detail: str = ""
    only_as_process: bool = False
