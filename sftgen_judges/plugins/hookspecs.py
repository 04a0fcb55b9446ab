"""The hooks a plugin may implement: one for each kind of thing in `contracts.KINDS`, one for tasks, one for commands.

Each is handed `register` and calls it once for each thing that it adds. `target` is the thing itself or a string
`"package.module:attribute"`, imported at first use: prefer the string, so that listing plugins imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from sftgen_judges.plugins.contracts import KINDS, Kind

if TYPE_CHECKING:
    import typer

hookspec = pluggy.HookspecMarker("sftgen")
hookimpl = pluggy.HookimplMarker("sftgen")

Register = Callable[[str, Any], None]
"""What a hook is handed: takes a name and its target."""


@hookspec
def register_tasks(register: Callable[[str | Path], None]) -> None:
    """Add benchmarks: `register(directory)` for a folder of lm_eval task YAML files."""


@hookspec
def register_commands(app: typer.Typer) -> None:
    """Add commands of `sftgen`: `@app.command()` or `app.add_typer(...)`, `app` a Typer app for this plugin alone."""


def _specify(kind: Kind) -> Callable[[Register], None]:
    @hookspec
    def specification(register: Register) -> None: ...

    article = "an" if kind.contract.__name__[0] in "AEIO" else "a"
    things = kind.hook.removeprefix("register_").replace("_", " ")
    specification.__name__ = kind.hook
    specification.__doc__ = (
        f"Add {things}: `register(name, target)`, target {article} `{kind.contract.__name__}` that {kind.does}."
    )
    return specification


_ALL: dict[str, Callable[..., None]] = {"register_tasks": register_tasks, "register_commands": register_commands}
_ALL |= {kind.hook: _specify(kind) for kind in KINDS.values()}
HOOKS = tuple(sorted(_ALL))
SPECIFICATIONS = type("Specifications", (), dict(_ALL))
"""What pluggy is given: the specifications as attributes."""
