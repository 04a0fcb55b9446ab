"""Runs the hostile programs and writes what stopped each into docs/sandbox.md.

Call it as `python -m tests.tasks.sandbox.table`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sftgen_tasks.sandbox import Case, Limits, Program, level, levels, run_sample
from tests import ROOT
from tests.tasks.sandbox.hostile import HOSTILE, Hostile

PAGE = ROOT / "docs" / "sandbox.md"
BEGIN, END = "<!-- hostile programs: begin -->\n", "<!-- hostile programs: end -->\n"
LIMITS = Limits(test_seconds=1.0, total_seconds=2.0, memory_bytes=1 << 30)


def reason(hostile: Hostile, folder: str) -> str:
    """How the program is graded at the level in force."""
    given = f"marker {folder} {os.getpid()}\n"
    outcome = run_sample(
        Program(hostile.source), [Case(given, "right")] * 2, LIMITS, same=lambda a, b: a.strip() == b.strip()
    )
    assert not outcome.passed, hostile.name
    return outcome.reason


def main() -> None:
    """Replace the table in the page."""
    columns: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "secret.txt").write_text("secret")
        for name in levels.LEVELS[:-1]:
            os.environ[levels.CHOOSE] = name
            if level().name == name:
                columns[name] = [reason(hostile, folder) for hostile in HOSTILE]
    lines = [f"| | program | what stops it | {' | '.join(columns)} |", "| --- " * (3 + len(columns)) + "|"]
    for number, (hostile, *reasons) in enumerate(zip(HOSTILE, *columns.values(), strict=True), 1):
        lines.append(f"| {number} | {hostile.name} | {hostile.stops} | {' | '.join(reasons)} |")
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
