"""What holds for root holds for another user: the tests of boundaries, run as one who owns nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PATIENCE, ROOT
from tests.tasks.sandbox import another_user

WHICH = (
    "rights_owner or in_proc or earlier_program or decoded_test or later_test or each_level or streams_were or kills "
    "or new_folders or says_it_ends or dead_main or charged_once"
)


def test_boundaries_as_another_user() -> None:
    if os.geteuid():
        pytest.skip("only root can become another user; this user is one who is not root, so all other tests are this")
    folder = Path("/tmp", f"sftgen-{os.getpid()}")  # pytest's own are closed to others
    files = [ROOT / "tests/tasks/sandbox" / name for name in ("test_boundaries.py", "test_plain_python.py")]
    tests = [*map(str, files), "-k", WHICH]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}"]
    command = [sys.executable, "-m", another_user.__name__, sys.executable, "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=6 * PATIENCE, cwd=ROOT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
