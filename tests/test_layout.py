"""The house as the imports tell it: floors, rooms, no circle; and old names of modules that moved."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


def lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_no_arrow_runs_up_and_no_circle_stands() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("sftgen_judges/records/journal.py", "import sftgen_tasks.math500", "Three floors"),
        ("sftgen_judges/records/journal.py", "import sftgen_judges.asking.ask", "Rooms of sftgen_judges"),
        ("sftgen_train/checkpoints/leases.py", "import sftgen_train.queue.worker", "Rooms of sftgen_train"),
        ("sftgen_tasks/sandbox/levels.py", "import sftgen_tasks.sandbox.local", "No circle of imports"),
        ("sftgen_train/results/run.py", "import lm_eval", "Only the harness touches lm_eval"),
        ("sftgen_train/queue/worker.py", "import trl", "Only two files touch TRL"),
    ],
)
def test_the_contract_finds_what_it_is_for(tmp_path: Path, file: str, line: str, broken: str) -> None:
    for name in ("sftgen_judges", "sftgen_tasks", "sftgen_train", "pyproject.toml"):
        source = ROOT / name
        subprocess.run(["cp", "-r", str(source), str(tmp_path / name)], check=True)
    changed = tmp_path / file
    changed.write_text(changed.read_text() + f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    kept = [row for row in done.stdout.splitlines() if row.startswith(broken)]
    assert any("BROKEN" in row for row in kept), done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sftgen_judges.contracts", "sftgen_judges.plugins.contracts"),
        ("sftgen_judges.hookspecs", "sftgen_judges.plugins.hookspecs"),
        ("sftgen_tasks.aggregation", "sftgen_tasks.harness.aggregation"),
        ("sftgen_tasks.answers", "sftgen_tasks.readers.boxed"),
        ("sftgen_tasks.refusal", "sftgen_tasks.secret"),
        ("sftgen_tasks.sources", "sftgen_tasks.data"),
        ("sftgen_tasks._lm_eval.penalties", "sftgen_tasks.harness.penalties"),
    ],
)
def test_a_plugin_may_use_the_old_name_of_a_module(old: str, new: str) -> None:
    assert importlib.import_module(old) is importlib.import_module(new)
