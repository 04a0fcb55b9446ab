"""The plugin door: find plugins, let them register, look up what they registered.

Plugins are found through the entry-point group `sftgen`; sftgen's own floors come in the same way.
Nothing is loaded before the first look-up. A plugin that cannot be used is named in one warning and
left out; the others go on.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import KINDS
from sftgen_judges.plugins.hookspecs import HOOKS, SPECIFICATIONS


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
        return pkgutil.resolve_name(self.target) if isinstance(self.target, str) else self.target


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
        self.manager.add_hookspecs(SPECIFICATIONS)
        self.found = [self._load(entry_point) for entry_point in entry_points]
        self._registered: dict[str, dict[str, Registered]] = {}

    def registered(self, hook: str) -> dict[str, Registered]:
        """What the plugins add through one hook, by name, in order of registration."""
        if hook not in HOOKS:
            raise UnknownNameError(f"hook {hook!r}: expected one of {', '.join(HOOKS)}{did_you_mean(hook, HOOKS)}")
        if hook not in self._registered:
            self._registered[hook] = self._call(hook)
        return self._registered[hook]

    def _load(self, entry_point: metadata.EntryPoint) -> Plugin:
        origin = entry_point.dist
        plugin = Plugin(entry_point.name, *((origin.name, origin.version) if origin else ("unknown", "unknown")))
        known = self.manager.has_plugin(plugin.name)
        try:
            if known:  # the other one stays
                raise ValueError("a plugin of this name was loaded before; rename its entry point")
            module = entry_point.load()
            self.manager.register(module, name=plugin.name)
            plugin.hooks = sorted(caller.name for caller in self.manager.get_hookcallers(module) or [])
            if unknown := set(plugin.hooks) - set(HOOKS):
                raise ValueError(f"no such hook: {', '.join(sorted(unknown))}; expected one of {', '.join(HOOKS)}")
        except Exception as error:  # a plugin may fail in any way; the others must still load
            self._refuse(plugin, error, unregister=not known)
        return plugin

    def _refuse(self, plugin: Plugin, error: Exception, *, unregister: bool = True) -> None:
        if unregister and self.manager.has_plugin(plugin.name):
            self.manager.unregister(name=plugin.name)
        plugin.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _warn(f"sftgen plugin {plugin.name!r} ({plugin.distribution} {plugin.version}) is left out. {plugin.error}")

    def _call(self, hook: str) -> dict[str, Registered]:
        added: dict[str, Registered] = {}
        plugins = {plugin.name: plugin for plugin in self.found if not plugin.error}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            plugin = plugins[implementation.plugin_name]
            if os.environ.get("SFTGEN_TRACE_PLUGINS") == "1":
                print(f"sftgen hook {hook}: {plugin.name}", file=sys.stderr)
            try:
                mine = _collect(hook, plugin.name, implementation)
            except Exception as error:  # as above
                self._refuse(plugin, error)
                continue
            for name in filter(added.__contains__, mine):
                _warn(
                    f"sftgen plugin {plugin.name!r}: {hook} of {name!r} is left out, "
                    f"plugin {added[name].plugin!r} registered that name first"
                )
            added = added | mine | added  # the first of a name stays, in its place
        return added


def _collect(hook: str, plugin: str, implementation: pluggy.HookImpl) -> dict[str, Registered]:
    """What one plugin adds through one hook."""
    added: dict[str, Registered] = {}

    def register(name: str, target: Any) -> None:
        if isinstance(target, str) and not all(target.partition(":")):
            raise ValueError(f"{hook}: target {target!r} of {name!r}: expected 'package.module:attribute'")
        if name in added:
            raise ValueError(f"{hook}: {name!r} is registered twice")
        added[name] = Registered(name, plugin, target)

    def register_directory(directory: str | Path) -> None:
        if not Path(directory).is_dir():
            raise ValueError(f"register_tasks: {str(directory)!r} is not a folder")
        register(str(directory), Path(directory))

    def call(given: Any) -> None:
        implementation.function(**dict.fromkeys(implementation.argnames, given))

    if hook == "register_commands":
        import typer

        app = typer.Typer()
        call(app)
        # Made here, so that a command that Typer cannot make takes no other plugin's with it.
        for name, command in typer.main.get_group(app).commands.items():
            register(name, command)
    else:
        call(register_directory if hook == "register_tasks" else register)
    return added


def _warn(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=3)


def _entry_points() -> list[metadata.EntryPoint]:
    """Built-ins first, then the others by name; `SFTGEN_LOAD_PLUGINS` keeps only those it lists."""
    setting = os.environ.get("SFTGEN_LOAD_PLUGINS")
    wanted = {name.strip() for name in (setting or "").split(",")} - {""}
    points = metadata.entry_points(group="sftgen")
    found = sorted(
        ((point.name, point.dist.name if point.dist else "", point) for point in points), key=lambda row: row[:2]
    )
    if absent := sorted(wanted.difference(*(names for *names, _ in found))):
        _warn(f"SFTGEN_LOAD_PLUGINS: no plugin {', '.join(map(repr, absent))} is installed")
    ours = [point for _, origin, point in found if origin == "sftgen"]
    others = [row for row in found if row[1] != "sftgen"]
    return ours + [point for *names, point in others if setting is None or wanted.intersection(names)]


@cache
def plugins() -> Plugins:
    """The plugins of this process, found and loaded at the first call."""
    return Plugins(_entry_points())


def lookup(kind: str, name: str) -> Any:
    """Load what was registered under `name`.

    Args:
        kind: One of `contracts.KINDS`, for example `judge`.
        name: The registered name.

    Raises:
        UnknownNameError: Nobody registered that name.
        BrokenTargetError: It cannot be imported, or is not a `kind`.
    """
    contract, known = KINDS[kind].contract, plugins().registered(KINDS[kind].hook)
    if name not in known:
        raise UnknownNameError(
            f"{kind} {name!r}: no plugin registered it{did_you_mean(name, known) or '.'} "
            f"Known: {', '.join(sorted(known)) or 'none'}. "
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
    if not isinstance(thing, contract):
        raise BrokenTargetError(
            f"{where}: expected a {contract.__name__}, found {type(thing).__name__} {entry.target!r}"
        )
    return thing


def task_directories() -> list[Path]:
    """The folders of task YAML files, sftgen's own first."""
    return [entry.target for entry in plugins().registered("register_tasks").values()]
