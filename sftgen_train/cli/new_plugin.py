"""`sftgen new-plugin`: a package of one's own, written from the plugin in `examples/`."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import say

_SUFFIXES = (".py", ".yaml", ".toml", ".md")
_NAME = re.compile(r"[a-z](?:[a-z0-9]|[-_](?=[a-z0-9]))*")
_LONGEST = 60


@dataclass(frozen=True)
class Names:
    """What a plugin is called.

    Attributes:
        distribution: As pip knows it.
        package: As Python imports it.
        prefix: What the names of its tasks, judges and diagnostics begin with.
    """

    distribution: str
    package: str
    prefix: str

    @classmethod
    def of(cls, name: str) -> Names:
        """The names that follow from one; `sftgen-plugin-` and `sftgen-` are no part of the prefix."""
        package = name.replace("-", "_")
        return cls(name, package, f"{re.sub('^sftgen_(plugin_)?', '', package) or package}_")


TEMPLATE = Names.of("sftgen-plugin-template")


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the package, for example my-benchmarks.")],
    to: Annotated[Optional[Path], typer.Option(help="Its folder, which must not exist; by default ./NAME.")] = None,  # noqa: UP045
) -> None:
    """Write a plugin of your own: benchmark, judge, diagnostics and more, with tests, ready to be installed.

    It needs no package index: pip takes the setuptools that is here.
    """
    names = checked(name)
    folder = to or Path(name)
    count = write_plugin(folder, names)
    say(f"{count} files -> {folder}")
    say("Install it, try its benchmark, run its tests:\n")
    say(f"  pip install --no-build-isolation --no-deps -e {folder}")
    say(f"  sftgen try {names.prefix}letters")
    say(f"  python -m pytest {folder}")
    say(f"\n{folder / 'README.md'} says what is in it. Delete what you do not need: every hook is optional.")


def checked(name: str) -> Names:
    """The names of a new plugin.

    Raises:
        SftgenError: The name cannot be a package's, or one of that name is here.
    """
    from importlib.metadata import PackageNotFoundError, distribution
    from importlib.util import find_spec

    from sftgen_judges.errors import SftgenError

    names = Names.of(name)
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or keyword.iskeyword(names.package):
        raise SftgenError(
            f"plugin name {name[:_LONGEST]!r}: expected small letters, digits and single hyphens, beginning with a "
            f"letter, at most {_LONGEST}, for example my-benchmarks"
        )
    if names.package in sys.stdlib_module_names or find_spec(names.package) is not None:
        raise SftgenError(f"plugin name {name!r}: Python has a module {names.package!r} here; take another name")
    try:
        distribution(name)
    except PackageNotFoundError:
        return names
    raise SftgenError(f"plugin name {name!r}: a package of this name is installed; take another name")


def write_plugin(folder: Path, names: Names) -> int:
    """Write a plugin into a new folder; how many files there are.

    Raises:
        SftgenError: The folder exists.
    """
    from sftgen_judges.errors import SftgenError

    if folder.exists() or folder.is_symlink():
        raise SftgenError(f"{str(folder)!r} exists; name another folder with --to")
    count = 0
    for path, text in files(names):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        count += 1
    return count


def files(names: Names) -> Iterator[tuple[Path, str]]:
    """The files of a plugin: their paths and texts."""
    source = _template()
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        made = any(part.endswith((".egg-info", "__pycache__")) or part == "build" for part in inside.parts)
        if path.is_file() and path.suffix in _SUFFIXES and not made:
            yield Path(_named(str(inside), names)), _named(path.read_text(encoding="utf-8"), names)


def _named(text: str, names: Names) -> str:
    for old, new in (
        (TEMPLATE.distribution, names.distribution),
        (TEMPLATE.package, names.package),
    ):
        text = text.replace(old, new)
    return re.sub(rf"(?<![a-z0-9_]){TEMPLATE.prefix}", names.prefix, text)


def _template() -> Path:
    """The plugin that is copied: a wheel has it beside this file, a checkout among the examples."""
    own = Path(__file__).resolve().parent / "plugin_template"
    return own if own.is_dir() else own.parents[2] / "examples" / TEMPLATE.distribution
