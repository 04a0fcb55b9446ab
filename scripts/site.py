"""Builds the documentation site into build/site: `python scripts/site.py`, from the root of the repository.

The pages are those of docs/, README.md as the home page, CONTRIBUTING.md, CHANGELOG.md, and a reference that is read
from the commands and the docstrings. A link that leads nowhere ends the build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "docs"
# Pages of the site that stand in the root of the repository.
OF_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# What users call, by module.
CALLED = (
    "sftgen_train.evaluation.evaluator.evaluate_checkpoint",
    "sftgen_train.training.callback.HarnessCallback",
    "sftgen_judges.records.query.open_records",
    "sftgen_train.report.trajectories.trajectory",
    "sftgen_train.report.comparing.compare",
    "sftgen_train.report.explaining.explain",
    "sftgen_train.report.findings.findings",
)


def main() -> int:
    """Put the pages together and build; the exit code of the builder."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES)
    for name, page in OF_ROOT.items():
        shutil.copy(ROOT / name, PAGES / page)
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8").replace("](docs/", "](")
        for name, target in OF_ROOT.items():
            text = re.sub(rf"\]\((\.\./)?{re.escape(name)}", f"]({target}", text)
        page.write_text(text, encoding="utf-8")
    reference = PAGES / "reference"
    reference.mkdir()
    (reference / "commands.md").write_text("\n".join(_commands()), encoding="utf-8")
    (reference / "python.md").write_text("\n".join(["# What you call in Python", "", *_members()]), encoding="utf-8")
    (reference / "contracts.md").write_text(
        "\n".join(["# What a plugin is given and gives", "", *_contracts()]), encoding="utf-8"
    )
    builder = Path(sys.executable).with_name("zensical")
    return subprocess.run([builder, "build", "--strict", "--clean"], cwd=ROOT, check=False).returncode


def _members() -> Iterator[str]:
    for name in CALLED:
        yield from (f"::: {name}", "")


def _contracts() -> Iterator[str]:
    for path in sorted((ROOT / "sftgen_judges" / "plugins" / "contracts").glob("[a-z]*.py")):
        yield from (f"::: sftgen_judges.plugins.contracts.{path.stem}", "")


def _commands() -> Iterator[str]:
    """Each command with its arguments and options, as `--help` shows them."""
    import typer

    from sftgen_train.cli.main import app

    yield from ("# Commands", "", "What `sftgen COMMAND --help` says.", "")
    root: Any = typer.main.get_command(app)
    yield from _command(root, "sftgen")


def _command(command: Any, name: str) -> Iterator[str]:
    """A command's section, and those of its own commands."""
    context = command.context_class(command, info_name=name)
    named = getattr(command, "commands", {})
    if name != "sftgen":
        yield from (f"## `{name}`", "", _text(command.help), "")
        rows = [row for option in command.params if (row := option.get_help_record(context))]
        if rows:
            yield from ("| option | meaning |", "| --- | --- |")
            yield from (f"| {_cell(f'`{left}`')} | {_cell(_text(right))} |" for left, right in rows)
            yield ""
    for word in command.list_commands(context) if named else ():
        found = command.get_command(context, word)
        if not found.hidden:
            yield from _command(found, f"{name} {word}")


def _text(said: str | None) -> str:
    return re.sub(r"\s+", " ", said or "").strip()


def _cell(said: str) -> str:
    """A cell of a table; in code, which stands between backticks, `<` means nothing else."""
    return (said if "`" in said else said.replace("<", "&lt;")).replace("|", "\\|")


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())
