"""The plugin door: find plugins, let them register, look up what they registered.

Plugins are found through the entry-point group `sftgen`; sftgen's own floors come in the same way.
Nothing is loaded before the first look-up. A plugin that cannot be used is named in one warning and
left out; the others go on.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins import contracts, hookspecs

GROUP = "sftgen"
_KINDS: dict[str, type] = {
    "grader": contracts.Grader,
    "judge": contracts.Judge,
    "diagnostic": contracts.Diagnostic,
    "checkpoint_source": contracts.CheckpointSource,
    "sandbox": contracts.Sandbox,
}
HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith("register_")))


class PluginWarning(UserWarning):
    """A plugin, or one thing it registered, was left out."""


class UnknownNameError(SftgenError, LookupError):
    """A name that no plugin registered."""


class BrokenTargetError(SftgenError):
    """What a plugin registered cannot be imported, or is something else than it was registered as."""


@dataclass(frozen=True)
class Registered:
    """One thing a plugin added through a hook."""

    name: str
    plugin: str
    target: Any

    def load(self) -> Any:
        """The thing itself, imported now if it was registered as `"package.module:attribute"`."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


@dataclass
class Plugin:
    """One entry of the group `sftgen`: where it comes from, what it implements, why it was refused."""

    name: str
    distribution: str
    version: str
    hooks: list[str] = field(default_factory=list)
    error: str | None = None


class Plugins:
    """A pluggy manager with the plugins that were found, each loaded or refused for a stated reason."""

    def __init__(self, entry_points: Iterable[metadata.EntryPoint]) -> None:
        self.manager = pluggy.PluginManager("sftgen")
        self.manager.add_hookspecs(hookspecs)
        if os.environ.get("SFTGEN_TRACE_PLUGINS") == "1":
            self.manager.add_hookcall_monitoring(_trace_before, lambda *_: None)
        self.found: list[Plugin] = [self._load(entry_point) for entry_point in entry_points]
        self._registered: dict[str, dict[str, Registered]] = {}

    def registered(self, hook: str) -> dict[str, Registered]:
        """What the plugins add through one hook, by name, in order of registration."""
        if hook not in HOOKS:
            raise UnknownNameError(f"hook {hook!r}: expected one of {', '.join(HOOKS)}")
        if hook not in self._registered:
            self._registered[hook] = self._call(hook)
        return self._registered[hook]

    def _load(self, entry_point: metadata.EntryPoint) -> Plugin:
        distribution = entry_point.dist
        plugin = Plugin(
            entry_point.name,
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "unknown",
        )
        if self.manager.has_plugin(plugin.name):  # which stays
            self._leave_out(plugin, ValueError("a plugin of this name was loaded before; rename its entry point"))
            return plugin
        try:
            module = entry_point.load()
            self.manager.register(module, name=entry_point.name)
            callers = self.manager.get_hookcallers(module) or []
            plugin.hooks = sorted(caller.name for caller in callers)
            unknown = [name for name in plugin.hooks if name not in HOOKS]
            if unknown:
                raise ValueError(f"no such hook: {', '.join(unknown)}; expected one of {', '.join(HOOKS)}")
        except Exception as error:  # a plugin may fail in any way; the others must still load
            self._refuse(plugin, error)
        return plugin

    def _refuse(self, plugin: Plugin, error: Exception) -> None:
        if self.manager.has_plugin(plugin.name):
            self.manager.unregister(name=plugin.name)
        self._leave_out(plugin, error)

    def _leave_out(self, plugin: Plugin, error: Exception) -> None:
        plugin.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
        warnings.warn(
            f"sftgen plugin {plugin.name!r} ({plugin.distribution} {plugin.version}) is left out. {plugin.error}",
            PluginWarning,
            stacklevel=2,
        )

    def _call(self, hook: str) -> dict[str, Registered]:
        added: dict[str, Registered] = {}
        everyone = {plugin.name: self.manager.get_plugin(plugin.name) for plugin in self.found}
        for plugin in self.found:
            if plugin.error or hook not in plugin.hooks:
                continue
            mine: dict[str, Registered] = {}
            others = [other for name, other in everyone.items() if name != plugin.name and other]
            caller = self.manager.subset_hook_caller(hook, others)
            try:
                caller(register=_register(hook, plugin.name, mine))
            except Exception as error:  # as above
                self._refuse(plugin, error)
                continue
            for name, thing in mine.items():
                if name in added:
                    warnings.warn(
                        f"sftgen plugin {plugin.name!r}: {hook} of {name!r} is left out, "
                        f"plugin {added[name].plugin!r} registered that name first",
                        PluginWarning,
                        stacklevel=2,
                    )
                else:
                    added[name] = thing
        return added


def _register(hook: str, plugin: str, into: dict[str, Registered]) -> Callable[..., None]:
    def register_directory(directory: str | Path) -> None:
        path = Path(directory)
        if not path.is_dir():
            raise ValueError(f"register_tasks: {str(directory)!r} is not a folder")
        into[str(path)] = Registered(str(path), plugin, path)

    def register(name: str, target: Any) -> None:
        if isinstance(target, str) and not all(target.partition(":")):
            raise ValueError(f"{hook}: target {target!r} of {name!r}: expected 'package.module:attribute'")
        if name in into:
            raise ValueError(f"{hook}: {name!r} is registered twice")
        into[name] = Registered(name, plugin, target)

    return register_directory if hook == "register_tasks" else register


def _trace_before(hook: str, implementations: Iterable[Any], arguments: Any) -> None:
    names = ", ".join(implementation.plugin_name for implementation in implementations)
    print(f"sftgen hook {hook}: {names or 'nobody'}", file=sys.stderr)


def _entry_points() -> list[metadata.EntryPoint]:
    """Built-ins first, then the others by name; `SFTGEN_LOAD_PLUGINS` keeps only those it lists."""
    wanted = os.environ.get("SFTGEN_LOAD_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}

    def origin(entry_point: metadata.EntryPoint) -> str:
        return entry_point.dist.name if entry_point.dist else ""

    kept, known = [], set()
    for entry_point in metadata.entry_points(group=GROUP):
        called = {entry_point.name, origin(entry_point)}
        known |= called
        if origin(entry_point) == "sftgen" or names is None or called & names:
            kept.append(entry_point)
    absent = sorted((names or set()) - known - {""})
    if absent:
        warnings.warn(
            f"SFTGEN_LOAD_PLUGINS: no plugin {', '.join(map(repr, absent))} is installed", PluginWarning, stacklevel=2
        )
    return sorted(
        kept, key=lambda entry_point: (origin(entry_point) != "sftgen", entry_point.name, origin(entry_point))
    )


@cache
def plugins() -> Plugins:
    """The plugins of this process, found and loaded at the first call."""
    return Plugins(_entry_points())


def lookup(kind: str, name: str) -> Any:
    """Load what was registered under `name`.

    Args:
        kind: `grader`, `judge`, `diagnostic`, `checkpoint_source` or `sandbox`.
        name: The registered name.

    Raises:
        UnknownNameError: Nobody registered that name.
        BrokenTargetError: It cannot be imported, or is not a `kind`.
    """
    known = plugins().registered(f"register_{kind}{'es' if kind.endswith('x') else 's'}")
    if name not in known:
        raise UnknownNameError(
            f"{kind} {name!r}: no plugin registered it. Known: {', '.join(sorted(known)) or 'none'}. "
            "`sftgen plugins` shows what was loaded and what was left out."
        )
    entry = known[name]
    where = f"{kind} {name!r} of plugin {entry.plugin!r}"
    try:
        thing = entry.load()
    except Exception as error:  # a plugin's; its name must be in the message
        raise BrokenTargetError(
            f"{where} cannot be loaded from {entry.target!r}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(thing, _KINDS[kind]):
        raise BrokenTargetError(
            f"{where}: expected a {_KINDS[kind].__name__}, found {type(thing).__name__} {entry.target!r}"
        )
    return thing


def task_directories() -> list[Path]:
    """The folders of task YAML files, sftgen's own first."""
    return [entry.target for entry in plugins().registered("register_tasks").values()]
