"""Names of a package that are imported at first use: importing the package stays quick."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any


def at_first_use(package: str, at: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: The package.
        at: Where each name stands, as `MODULE:NAME`.
    """

    def find(name: str) -> Any:
        if name not in at:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return pkgutil.resolve_name(at[name])

    return find
