"""The house as the imports tell it: floors, rooms, no circle; and old names of modules that moved."""

from __future__ import annotations

import importlib
import re
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


WRONG = [
    ("sftgen_judges.records.journal", "sftgen_tasks.math500", "Three floors"),
    ("sftgen_judges.records.journal", "sftgen_judges.asking.ask", "Rooms of sftgen_judges"),
    ("sftgen_train.checkpoints.leases", "sftgen_train.queue.worker", "Rooms of sftgen_train"),
    ("sftgen_tasks.sandbox.levels", "sftgen_tasks.sandbox.local", "No circle of imports"),
    ("sftgen_train.results.run", "lm_eval", "Only the harness touches lm_eval"),
    ("sftgen_train.queue.worker", "trl", "Only three files touch TRL"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy with every wrong import."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("sftgen_judges", "sftgen_tasks", "sftgen_train", "pyproject.toml"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(folder / name)], check=True)
    for module, imported, _ in WRONG:
        with (folder / f"{module.replace('.', '/')}.py").open("a") as file:
            file.write(f"\nimport {imported}\n")
    done = lint_imports(folder)
    assert done.returncode == 1, done.stdout
    return done.stdout


@pytest.mark.xdist_group("layout")
@pytest.mark.parametrize(("module", "imported", "broken"), WRONG)
def test_the_contract_finds_what_it_is_for(told: str, module: str, imported: str, broken: str) -> None:
    summary, detail = told.split("Broken contracts", 1)
    assert re.search(rf"^{broken}.* BROKEN", summary, flags=re.MULTILINE), told
    [_, *sections] = re.split(r"\n(.+)\n-+\n", detail)  # names, each before its text
    [found] = [text for name, text in zip(sections[::2], sections[1::2], strict=True) if name.startswith(broken)]
    for name in (module, imported):
        assert name.rpartition(".")[2] in found, found


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
