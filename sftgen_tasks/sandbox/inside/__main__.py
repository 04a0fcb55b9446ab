"""Start of a worker: it goes to the requested level, reports that, and serves requests.

`sftgen_tasks.sandbox.workers` runs this file as a script. Standard input is a socket, and nothing else is open.
"""

from __future__ import annotations

import os
import pathlib
import sys
import types


def _find_ourselves() -> None:
    """Let our modules be imported by name without the code of their packages, which imports much more."""
    inside = pathlib.Path(__file__).resolve().parent
    for name, folder in (
        ("sftgen_tasks", inside.parent.parent),
        ("sftgen_tasks.sandbox", inside.parent),
    ):
        sys.modules[name] = package = types.ModuleType(name)
        package.__path__ = [str(folder)]
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry).resolve() != inside]


if __name__ == "__main__":
    _find_ourselves()
    from sftgen_tasks.sandbox.inside.start import main

    main()
    os._exit(0)
