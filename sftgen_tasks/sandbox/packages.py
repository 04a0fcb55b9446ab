"""Which packages the programs find, asked of the sandbox in force itself."""

from __future__ import annotations

from sftgen_judges.plugins.contracts import Program
from sftgen_tasks.sandbox.cases import Case
from sftgen_tasks.sandbox.levels import SandboxError
from sftgen_tasks.sandbox.samples import run_sample

EXPECTED = ("numpy", "sortedcontainers")
"""What contest programs import beside the standard library, and the extra `code` installs."""
_TRY = """
for name in input().split():
    try:
        __import__(name)
    except ImportError:
        print(name)
"""


def absent_packages() -> list[str]:
    """Those of `EXPECTED` that a program cannot import.

    Raises:
        SandboxError: Programs cannot be run.
    """
    printed: list[str] = []

    def keep(_: str, output: str) -> bool:
        printed.append(output)
        return True

    outcome = run_sample(Program(_TRY), [Case(" ".join(EXPECTED), "")], same=keep)
    if not outcome.passed:
        raise SandboxError(f"a program that only imports packages failed: {outcome.reason} {outcome.detail}")
    return [name for name in printed[-1].split() if name in EXPECTED]
