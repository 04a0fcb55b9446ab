"""What the tests of the sandbox share."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from sftgen_tasks.sandbox import Case, Level, Outcome, Program, Setting, level, run_sample
from sftgen_tasks.sandbox.levels import ALLOW, CHOOSE, LEVELS

Run = Callable[..., Outcome]
PLAIN = Setting()


def same(expected: str, actual: str) -> bool:
    """The text, but for blanks around it."""
    return expected.strip() == actual.strip()


@pytest.fixture(params=LEVELS)
def each_level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    """The test runs at every level that this machine offers."""
    if request.param == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    monkeypatch.setenv(CHOOSE, request.param)
    monkeypatch.setenv(ALLOW, "1")
    found = level()
    if found.name != request.param:
        pytest.skip(f"this machine does not offer {found.missing}")
    return found


@pytest.fixture
def run() -> Run:
    """Run a source on pairs of input and expected output."""

    def one(
        source: str,
        *pairs: tuple[str, str],
        function: str | None = None,
        setting: Setting = PLAIN,
        **options: object,
    ) -> Outcome:
        cases = [Case(*pair) for pair in pairs]
        return run_sample(Program(source, function, setting), cases, same=same, **options)  # type: ignore[arg-type]

    return one
