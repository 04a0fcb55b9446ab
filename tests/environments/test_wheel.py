"""What is in the wheels, and what importing the packages costs."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sftgen_judges
from tests import PATIENCE, ROOT
from tests.environments.conftest import TEMPLATE, Workshop

PACKAGES = ("sftgen_judges", "sftgen_tasks", "sftgen_train", "task_configs")
COPIED = "sftgen_train/cli/plugin_template/"
"""What `sftgen new-plugin` writes."""
BESIDE = ("_sftgen_autoload.py", "sftgen.py", "sftgen_autoload.pth", "sftgen_autoload.start")


def contents(wheel: Path) -> dict[str, str]:
    """Names of files to their text, of what is compressed to some, metadata by its base name."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.split("dist-info/")[-1]: archive.read(name).decode("utf-8", "replace")
            for name in archive.namelist()
            if not name.endswith("/")
        }


@pytest.mark.environments
def test_the_wheel_holds_everything_that_is_read_at_run_time(workshop: Workshop) -> None:
    files = contents(workshop.wheel(ROOT))
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"task_configs/math500.yaml", "sftgen_train/report/report.html.j2", "sftgen_judges/py.typed"} <= expected
    template = {name: text for name, text in files.items() if name.startswith(COPIED)}
    shipped = {name for name in files if name.startswith(PACKAGES)} - template.keys()
    assert shipped == expected
    assert template == {
        f"{COPIED}{path.relative_to(TEMPLATE)}": path.read_text(encoding="utf-8")
        for path in TEMPLATE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in BESIDE:
        assert files[name] == (ROOT / name).read_text(encoding="utf-8")
    others = set(files) - shipped - set(template) - set(BESIDE)
    assert others == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


@pytest.mark.environments
def test_the_templates_wheel_holds_its_yaml_file(workshop: Workshop) -> None:
    files = contents(workshop.wheel(workshop.template()))
    assert "sftgen_plugin_template/tasks/letters.yaml" in files
    assert "[sftgen]\nsftgen_plugin_template = sftgen_plugin_template.plugin" in files["entry_points.txt"]


def imported_by(*modules: str) -> set[str]:
    """Everything a fresh process has imported after importing `modules`."""
    code = f"import json, sys, {', '.join(modules)}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["sftgen", *PACKAGES])
def test_importing_a_package_imports_nothing_heavy(package: str) -> None:
    assert not {"torch", "transformers", "vllm", "lm_eval", "trl", "datasets"} & imported_by(package)


def test_the_ground_floor_imports_neither_the_others_nor_what_they_stand_on() -> None:
    modules = [f"sftgen_judges.{module.name}" for module in pkgutil.iter_modules(sftgen_judges.__path__)]
    assert "sftgen_judges.builtin" in modules
    imported = imported_by(*modules)
    assert not {"torch", "transformers", "vllm", "lm_eval", "trl", "datasets"} & imported
    assert not {"sftgen_tasks", "sftgen_train"} & imported
