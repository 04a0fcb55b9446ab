"""The plugin door: hooks, contracts, and the manager that looks up what was registered."""

from sftgen_judges.plugins.hookspecs import HOOKS, Register, hookimpl
from sftgen_judges.plugins.manager import (
    BrokenTargetError,
    PluginWarning,
    UnknownNameError,
    lookup,
    plugins,
    task_directories,
)

__all__ = [
    "HOOKS",
    "BrokenTargetError",
    "PluginWarning",
    "Register",
    "UnknownNameError",
    "hookimpl",
    "lookup",
    "plugins",
    "task_directories",
]
