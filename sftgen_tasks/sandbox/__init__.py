"""Runs programs that nobody has read, and compares their output with the expected output.

Expected outputs never enter the process that runs a program. That process gets inputs, and its outputs
are compared here. `docs/sandbox.md` describes what each level prevents.
"""

from sftgen_judges.plugins.contracts import Limits, Program, Setting
from sftgen_tasks.sandbox.cases import Case, Outcome, Same
from sftgen_tasks.sandbox.levels import Level, SandboxError, level, require_sandbox
from sftgen_tasks.sandbox.local import decode
from sftgen_tasks.sandbox.packages import absent_packages
from sftgen_tasks.sandbox.samples import Sample, run_each, run_sample, run_samples

__all__ = [
    "Case",
    "Level",
    "Limits",
    "Outcome",
    "Program",
    "Same",
    "Sample",
    "SandboxError",
    "Setting",
    "absent_packages",
    "decode",
    "level",
    "require_sandbox",
    "run_each",
    "run_sample",
    "run_samples",
]
