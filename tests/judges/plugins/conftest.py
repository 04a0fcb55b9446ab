"""Plugins for the tests: real distributions, written into a folder that a fresh process has on its path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests import PATIENCE, commands


@dataclass
class Door:
    """A folder of plugin distributions, and fresh processes that find what is in it."""

    folder: Path

    def add(self, name: str, source: str, *, distribution: str | None = None, entry: str | None = None) -> None:
        """Write the module `name` and a distribution whose entry point leads to it.

        Args:
            name: Name of the module.
            source: Its text.
            distribution: Its distribution, by default `dist-NAME`.
            entry: Name of the entry point, by default the module's.
        """
        (self.folder / f"{name}.py").write_text(dedent(source), encoding="utf-8")
        self.declare(distribution or f"dist-{name}", {"sftgen": {entry or name: name}})

    def declare(self, distribution: str, entry_points: dict[str, dict[str, str]]) -> None:
        """Write a distribution's metadata only."""
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
        lines = []
        for group, entries in entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def python(self, code: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run code in a fresh process; `settings` are environment variables."""
        return self._run([sys.executable, "-c", dedent(code), *arguments], settings)

    def sftgen(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command in a fresh process."""
        return self._run([str(Path(sys.executable).parent / "sftgen"), *arguments], settings)

    def forked(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The same in a fork of a process that has imported the large libraries, for what would import them anew."""
        env, before = {**os.environ, **settings}, partial(commands.find_in, self.folder)
        return commands.run("sftgen", *arguments, env=env, cwd=self.folder, before=before)

    def listing(self, **settings: str) -> tuple[dict[tuple[str, str], dict[str, Any]], list[str]]:
        """What `sftgen plugins --json` shows, by plugin and distribution, and its warnings."""
        done = self.sftgen("plugins", "--json", **settings)
        assert "Traceback" not in done.stderr
        shown = {(plugin["name"], plugin["distribution"]): plugin for plugin in json.loads(done.stdout)}
        assert done.returncode == any(plugin["error"] for plugin in shown.values())
        return shown, [line for line in done.stderr.splitlines() if line.startswith("sftgen warning: ")]

    def _run(self, line: list[str], settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
        path = os.pathsep.join(filter(None, [str(self.folder), kept.get("PYTHONPATH")]))
        env = {**kept, "PYTHONPATH": path, **settings}
        return subprocess.run(
            line, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env, cwd=self.folder
        )


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """An empty plugin folder."""
    return Door(tmp_path)
