"""Running programs that nobody has read, and comparing what they print with what was expected.

Expected outputs never enter the process that runs a program: it gets inputs, its outputs are compared
here. `docs/sandbox.md` says what each level keeps a program from.
"""

from sftgen_judges.plugins.contracts import Limits, Program
from sftgen_tasks.sandbox.cases import Case, Outcome, Same
from sftgen_tasks.sandbox.levels import Level, SandboxError, level, require_sandbox
from sftgen_tasks.sandbox.local import decode
from sftgen_tasks.sandbox.samples import run_sample, run_samples

__all__ = [
    "Case",
    "Level",
    "Limits",
    "Outcome",
    "Program",
    "Same",
    "SandboxError",
    "decode",
    "level",
    "require_sandbox",
    "run_sample",
    "run_samples",
]
