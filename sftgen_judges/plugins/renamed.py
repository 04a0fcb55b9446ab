"""Modules that moved keep their old names, so that plugins and task files written before still work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Finder(MetaPathFinder, Loader):
    """Finds a module under its old name and gives the module of the new name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.names else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system returns what stands here afterwards.
        sys.modules[module.__name__] = importlib.import_module(self.names[module.__name__])


def keep_old_names(package: str, names: Mapping[str, str]) -> None:
    """Let `import PACKAGE.OLD` give the module `PACKAGE.NEW`.

    Args:
        package: The package.
        names: Old name to new name, both without the package.
    """
    # First: an old name below a package that moved would else be found, and loaded a second time.
    sys.meta_path.insert(0, _Finder({f"{package}.{old}": f"{package}.{new}" for old, new in names.items()}))
