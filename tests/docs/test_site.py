"""`make site` builds every page without a warning."""

from __future__ import annotations

import subprocess
import sys

from tests import ROOT
from tests.docs.commands_of_pages import PAGES


def test_the_site_builds_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "site.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stderr
    site = ROOT / "build" / "site"
    for page in PAGES[1:]:
        assert (site / page.stem / "index.html").is_file(), page
    assert "sftgen trajectory" in (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    assert "Evaluate a checkpoint's folder" in (site / "reference" / "python" / "index.html").read_text(
        encoding="utf-8"
    )
