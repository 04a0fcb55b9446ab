"""`sftgen new-plugin`: what it writes is the plugin in examples/, installs without an index and passes its tests."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.new_plugin import TEMPLATE, checked, files
from tests import PATIENCE, ROOT
from tests.conftest import Command

EXAMPLE = ROOT / "examples" / "sftgen-plugin-template"


def test_the_plugin_in_examples_is_what_is_written() -> None:
    kept = subprocess.run(["git", "ls-files", "-z"], cwd=EXAMPLE, capture_output=True, text=True, check=True).stdout
    assert {str(path): text for path, text in files(TEMPLATE)} == {
        name: (EXAMPLE / name).read_text(encoding="utf-8") for name in kept.split("\0") if name
    }


def test_a_new_plugin_is_installed_without_an_index_passes_its_tests_and_is_tried(
    command: Command, tmp_path: Path
) -> None:
    made = command("sftgen", "new-plugin", "sftgen-digits", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "sftgen-digits"
    written = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "plugin_template" not in written
    assert "plugin-template" not in written
    again = command("sftgen", "new-plugin", "sftgen-digits", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists; name another folder with --to" in again.stderr

    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    [home] = (tmp_path / "venv").glob("lib/python3*/site-packages")
    here = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (home / "here.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PIP_NO_INDEX": "1"}

    def run(*line: str | Path) -> str:
        done = subprocess.run(
            list(map(str, line)), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    options = ("--quiet", "--no-build-isolation", "--no-deps", "--no-compile")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, "-e", folder)
    assert " passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", folder)
    tried = run(python, "-m", "sftgen_train", "try", "digits_letters", "-n", "2")
    assert (tried.count("-> score 1 (ok)"), tried.count("-> score 0 (ok)")) == (2, 2)


@pytest.mark.parametrize(
    "name", ["My", "9a", "a b", "a--b", "class", "json", "numpy", "sftgen-judges", "../up", "lm-eval", "a" * 61]
)
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(SftgenError, match="plugin name"):
        checked(name)


def test_a_wrong_name_is_told_at_once(command: Command, tmp_path: Path) -> None:
    done = command("sftgen", "new-plugin", "My", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "plugin name 'My': expected small letters, digits and single hyphens" in done.stderr
    assert list(tmp_path.iterdir()) == []
