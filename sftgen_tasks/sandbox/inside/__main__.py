"""Start of a worker: it goes to the requested level, reports that, and serves requests.

`sftgen_tasks.sandbox.workers` runs this file as a script. Standard input is a socket, and nothing else is open.
"""

from __future__ import annotations

import os
import sys
import types


def _find_ourselves() -> None:
    """Let our modules be imported by name without the code of their packages, which imports much more."""
    inside = os.path.dirname(os.path.realpath(__file__))
    sandbox = os.path.dirname(inside)
    for name, folder in (("sftgen_tasks", os.path.dirname(sandbox)), ("sftgen_tasks.sandbox", sandbox)):
        sys.modules[name] = package = types.ModuleType(name)
        package.__path__ = [folder]
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != inside]


if __name__ == "__main__":
    _find_ourselves()
    from sftgen_tasks.sandbox.inside.start import main

    main()
    os._exit(0)
