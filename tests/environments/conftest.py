"""Real virtual environments with sftgen, the plugin template and lm_eval, each built once per session.

Their other packages are those of the environment that runs the tests, by links: an environment costs
seconds. Workers of pytest-xdist share what is built; the last one removes it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests import PATIENCE, ROOT

TEMPLATE = ROOT / "examples" / "sftgen-plugin-template"
LM_EVAL = "0.4.13"
KEPT = "gsm8k"
"""The folder of lm_eval's tasks that small ones keep."""

# What the environments get by installing it, and what would bring it in by another door.
_OURS = ("lm_eval", "sftgen", "_sftgen", "task_configs", "_editable_impl_", "__editable__")

# What TaskManager sees, from a process that knows nothing of sftgen.
_SCAN = """
import importlib.util, json, sys
from importlib import metadata
from pathlib import Path
from lm_eval.tasks import TaskManager

manager = TaskManager()
declared = {entry.name: importlib.util.find_spec(entry.value) for entry in metadata.entry_points(group="lm_eval.tasks")}
home = importlib.util.find_spec("sftgen_tasks")
print(json.dumps({
    "sftgen": [name for name in manager.all_tasks if name.startswith("sftgen_")],
    "matched": sorted(manager.match_tasks(["sftgen_math500", "template_*", "gsm8k"])),
    "own": [name for name in manager.all_tasks if not name.startswith(("sftgen_", "template_"))],
    "lm_eval": metadata.version("lm_eval"),
    "lm_eval_from": str(Path(sys.modules["lm_eval.tasks"].__file__).resolve()),
    "sftgen_from": home and str(Path(home.origin).resolve()),
    "declared": {
        name: sorted(path.name for place in spec.submodule_search_locations for path in Path(place).glob("*.yaml"))
        for name, spec in declared.items() if spec
    },
}))
"""


@dataclass(frozen=True)
class Environment:
    """One virtual environment."""

    folder: Path

    @property
    def site_packages(self) -> Path:
        """Where packages are installed."""
        [found] = self.folder.glob("lib/python3*/site-packages")
        return found

    def run(self, program: str, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in an empty folder of its own; `settings` are environment variables."""
        dropped = {"PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "SFTGEN_RUN_DIR"}
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        line = [str(self.folder / "bin" / program), *map(str, arguments)]
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        env = {**kept, "SFTGEN_RUN_DIR": str(elsewhere / "run"), **settings}
        return subprocess.run(
            line, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=elsewhere, env=env
        )

    def scan(self, **settings: str) -> dict[str, Any]:
        """What plain lm_eval sees there, and where it was found."""
        done = self.run("python", "-c", _SCAN, **settings)
        assert done.returncode == 0, done.stderr
        assert "sftgen" not in done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def pip(self, *arguments: str | Path, path: Path | None = None) -> None:
        """Run pip on it, with `path` importable for builds."""
        _pip("--python", self.folder / "bin" / "python", *arguments, path=path)

    def left_of(self, *prefixes: str) -> list[str]:
        """Files and folders whose names begin with one of `prefixes`, wherever in the environment."""
        return [str(path) for path in self.folder.rglob("*") if path.name.startswith(prefixes)]


@dataclass(frozen=True)
class Workshop:
    """Makes wheels and environments on demand, each once."""

    folder: Path

    def environment(
        self, name: str, *, sftgen: str = "wheel", lm_eval: str = "wheel", version: str = LM_EVAL
    ) -> Environment:
        """Install lm_eval, sftgen and the template into a fresh environment.

        Args:
            name: Its name; the same name gives the same environment.
            sftgen: `wheel` or `editable`, for the template too.
            lm_eval: `whole`: its wheel as published; `wheel` and `editable`: with the built-in tasks of one
                folder only, for what does not depend on the 13,000 others, which take seconds to install and
                again whenever they are indexed.
            version: Version of lm_eval, if from its wheel.
        """

        def build(target: Path) -> None:
            venv.create(target, symlinks=True, with_pip=False)
            made = Environment(target)
            (made.site_packages / "zz_dependencies.pth").write_text(f"{self.dependencies()}\n", encoding="utf-8")
            what: list[str | Path] = []
            if lm_eval == "editable":
                what += ["--editable", self.lm_eval_source()]
            else:
                what += [self.download(version) if lm_eval == "whole" else self.small_wheel(version)]
            for project in (ROOT, self.template()):
                what += ["--editable", project] if sftgen == "editable" else [self.wheel(project)]
            options = ("--quiet", "--no-deps", "--no-compile", "--no-build-isolation")
            # setuptools writes into the source.
            editable = "editable" in (lm_eval, sftgen)
            with FileLock(self.folder / "editable.lock") if editable else nullcontext():
                made.pip("install", *options, *what, path=self.build_tools())

        return Environment(self._once(name, build))

    def dependencies(self) -> Path:
        """A folder with a link to each installed package but lm_eval and ours.

        Its name tells dill that what is in it is installed, and so pickled by name.
        """

        def link(folder: Path) -> None:
            target = folder / "site-packages"
            target.mkdir(parents=True)
            homes = [Path(path) for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
            for entry in (entry for home in homes for entry in home.iterdir()):
                there = target / entry.name
                if not entry.name.startswith(_OURS) and entry.suffix != ".pth" and not there.is_symlink():
                    there.symlink_to(entry)

        return self._once("dependencies", link) / "site-packages"

    def download(self, version: str) -> Path:
        """The wheel of lm_eval, from the package index."""

        def fetch(target: Path) -> None:
            _pip("download", "--quiet", "--no-deps", "--dest", target, f"lm_eval=={version}")

        [wheel] = self._once(f"lm_eval-{version}", fetch).iterdir()
        return wheel

    def small_wheel(self, version: str) -> Path:
        """The same with the tasks of one folder."""

        def cut(target: Path) -> None:
            target.mkdir()
            whole = self.download(version)
            with zipfile.ZipFile(whole) as old, zipfile.ZipFile(target / whole.name, "w") as new:
                for member in old.infolist():
                    if not _is_other_task(member.filename):
                        new.writestr(member, _kept_in(member.filename, old.read(member)))

        [wheel] = self._once(f"small-lm_eval-{version}", cut).iterdir()
        return wheel

    def lm_eval_source(self) -> Path:
        """The unpacked source of lm_eval, as a clone of its repository would be, with the tasks of one folder."""

        def fetch(target: Path) -> None:
            options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "lm_eval")
            _pip("download", *options, "--dest", target, f"lm_eval=={LM_EVAL}", path=self.build_tools())

        def unpack(target: Path) -> None:
            [archive] = self._once("lm_eval-sdist", fetch).iterdir()
            with tarfile.open(archive) as opened:
                opened.extractall(target, [found for found in opened if not _is_other_task(found.name, above=1)])

        [source] = self._once("lm_eval-source", unpack).iterdir()
        return source

    def wheel(self, project: Path) -> Path:
        """The wheel of a project."""

        def build(target: Path) -> None:
            where = ("--wheel-dir", target, project)
            _pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", *where, path=self.build_tools())

        [wheel] = self._once(f"wheel-of-{project.name}", build).iterdir()
        return wheel

    def template(self) -> Path:
        """A copy of the plugin template."""

        def copy(target: Path) -> None:
            shutil.copytree(TEMPLATE, target / TEMPLATE.name, ignore=shutil.ignore_patterns("__pycache__"))

        return self._once("template", copy) / TEMPLATE.name

    def build_tools(self) -> Path:
        """A folder with what builds the projects; pip would download it anew for each build."""

        def fetch(target: Path) -> None:
            _pip("install", "--quiet", "--target", target, "hatchling>=1.27", "editables", "setuptools>=64")

        return self._once("build-tools", fetch)

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        target, ended = self.folder / name, self.folder / f"{name}.ended"
        with FileLock(self.folder / f"{name}.lock"):
            if not ended.exists():
                try:
                    make(target)
                    ended.touch()
                except BaseException as error:  # for those who ask next, too
                    ended.write_text(f"{error!r}"[-3000:], encoding="utf-8")
                    raise
            failed = ended.read_text(encoding="utf-8")
        assert not failed, f"{name} could not be made: {failed}"
        return target


def _is_other_task(name: str, above: int = 0) -> bool:
    """Whether a file of lm_eval belongs to a task that small ones leave out; `above` it is so many folders."""
    parts = Path(name).parts[above:]
    return parts[:2] == ("lm_eval", "tasks") and len(parts) > 3 and parts[2] != KEPT


def _kept_in(name: str, content: bytes) -> bytes:
    """A file of a wheel; its list of files without those that are left out."""
    if not name.endswith(".dist-info/RECORD"):
        return content
    lines = content.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not _is_other_task(line.partition(",")[0])).encode()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The session's workshop, the same for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "workshop"
    user = folder / f"{os.getpid()}.user"
    with FileLock(f"{folder}.lock"):
        folder.mkdir(exist_ok=True)
        user.touch()
    yield Workshop(folder)
    with FileLock(f"{folder}.lock"):
        user.unlink()
        if not list(folder.glob("*.user")):
            shutil.rmtree(folder)


def _pip(*arguments: str | Path, path: Path | None = None) -> None:
    line = [sys.executable, "-m", "pip", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(path)} if path else None
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env)
    assert done.returncode == 0, f"pip {' '.join(line[3:])}\n{done.stdout}\n{done.stderr}"
