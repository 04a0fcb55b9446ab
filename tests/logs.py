"""What a log of a command must not hold: what libraries print on their own."""

from __future__ import annotations

import re
import subprocess

FOREIGN = re.compile(
    r"\r|\d+%\||it/s|s/it|^\{'|^\d{4}-\d\d-\d\d[ :]\d|\bINFO\b|\bWARNING\b|\w+Warning: |fatal: |\x1b\[", re.MULTILINE
)
"""Bars, dictionaries, time stamps, levels, warnings with a line of code, git's complaint, colours."""


def require_quiet(done: subprocess.CompletedProcess[str]) -> None:
    """Check what a command printed into files."""
    for text in (done.stdout, done.stderr):
        found = FOREIGN.search(text)
        assert not found, text[max(0, found.start() - 200) : found.end() + 200]
