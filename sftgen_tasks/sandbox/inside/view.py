"""The files of the machine that programs can see: the interpreter and its libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

PACKAGES_INSIDE = "/packages"
"""The folder of the installed packages that programs may use, inside a root folder of its own."""
_STANDARD = os.path.dirname(os.__file__)


def library_folders(more: Iterable[str]) -> list[str]:
    """Folders of the interpreter's modules and of shared libraries, files that the loader reads, and `more`."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = {_STANDARD, f"{sys.base_exec_prefix}/{sys.platlibdir}/{version}", *more}
    found |= {"/lib", "/lib64", "/usr/lib", "/usr/lib64"}
    found |= {"/etc/ld.so.cache", "/etc/alternatives", "/usr/share/zoneinfo"}
    kept: list[str] = []
    for path in sorted(found):
        if not any(path.startswith(f"{other}/") for other in kept):
            kept.append(path)
    return kept


def site_folders() -> list[str]:
    """Folders of installed packages within those of the interpreter; programs must not see them."""
    return [f"{_STANDARD}/site-packages", f"{_STANDARD}/dist-packages", "/usr/lib/python3/dist-packages"]
