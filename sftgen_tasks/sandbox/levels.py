"""Which sandbox is in force: the strongest that this machine offers, or a plugin's."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Sandbox
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_tasks.sandbox.workers import WorkerError, borrowed

ALLOW = "SFTGEN_ALLOW_UNSANDBOXED_CODE"
CHOOSE = "SFTGEN_SANDBOX"
_RUN = "model-written programs would run"
_DESCRIPTIONS = {
    "namespaces": "own users, processes, files and network (namespaces), system call filter, limits",
    "bubblewrap": "the same, set up by bubblewrap",
    "landlock": "reads the interpreter only, writes nothing (Landlock), system call filter, limits",
    "limits": "limits, and a system call filter where there is one; files of the user can be read",
}
LEVELS = tuple(_DESCRIPTIONS)
"""From the strongest to the weakest, which needs permission."""


class SandboxError(SftgenError):
    """The sandbox cannot run, or it failed, and the program is not the cause."""


@dataclass(frozen=True)
class Level:
    """A level of isolation: its name, one line that describes it, and why no stronger level is used."""

    name: str
    description: str
    missing: str = ""

    @property
    def weakest(self) -> bool:
        """Whether running programs needs permission."""
        return self.name == LEVELS[-1]


def level() -> Level:
    """The level in force.

    `SFTGEN_SANDBOX` names a plugin's sandbox, or the strongest level that may be used.

    Raises:
        SandboxError: This machine offers no level, or nobody registered that name.
    """
    chosen = os.environ.get(CHOOSE, "")
    if chosen not in ("", "local", *LEVELS):
        return Level(chosen, sandbox(chosen).describe())
    return _own(chosen)


def _own(chosen: str) -> Level:
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"model-written programs are run on Linux only, this is {sys.platform}: the sandbox needs namespaces or "
            "Landlock, seccomp and memory files. Run on Linux (WSL 2 or a container will do), or name a sandbox that "
            f"a plugin registers in {CHOOSE}"
        )
    return _strongest(chosen if chosen in LEVELS else LEVELS[0])


@cache
def _strongest(first: str) -> Level:
    missing: list[str] = []
    for name in LEVELS[LEVELS.index(first) :]:
        try:
            with borrowed(name):
                return Level(name, _DESCRIPTIONS[name], "; ".join(missing))
        except WorkerError as error:
            missing.append(f"{name}: {error}")
    raise SandboxError(f"model-written programs cannot be run here: {'; '.join(missing)}")


def require_sandbox() -> Level:
    """The level in force, if programs may be run at it.

    Raises:
        SandboxError: This machine offers no level, or only the weakest, which needs permission.
    """
    return _permitted(level())


def require_local() -> Level:
    """Like `require_sandbox`, for this machine's own levels, even if a plugin's sandbox is chosen."""
    chosen = os.environ.get(CHOOSE, "")
    elsewhere = chosen not in ("", "local", *LEVELS)
    return _permitted(_own(chosen), "stored tests would be decoded here" if elsewhere else _RUN)


def _permitted(found: Level, what: str = _RUN) -> Level:
    if found.weakest and os.environ.get(ALLOW) != "1":
        reason = f" ({found.missing})" if found.missing else ""
        raise SandboxError(
            f"{what} with nothing between them and your files{reason}. Use a machine with "
            "user namespaces or Landlock, install bubblewrap, run the programs elsewhere (docs/sandbox.md: a sandbox "
            f"service), or allow it with --allow-unsandboxed-code or {ALLOW}=1"
        )
    return found


def sandbox(name: str) -> Sandbox:
    """The sandbox that is registered under this name.

    Raises:
        SandboxError: Nobody registered it.
    """
    known = plugins().registered("register_sandboxes")
    if name not in known:
        expected = ", ".join([*LEVELS, *known])
        raise SandboxError(f"{CHOOSE}={name}: expected one of {expected}")
    found: Sandbox = lookup("sandbox", name)
    return found
