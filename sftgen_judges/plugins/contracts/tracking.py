"""What shows scores elsewhere: `Tracker`, and the `Connection` that it opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Connection:
    """An open connection to a tracker.

    Attributes:
        log: Takes a training step and its values by name. Steps come in any order, and one may come again.
        close: Ends the connection.
    """

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[], None]


@dataclass(frozen=True)
class Tracker:
    """A place where scores are logged, chosen by `--log-to NAME`.

    Attributes:
        name: The name it is registered under.
        connect: Takes the run directory, and what its manifest says of model, tasks and seeds. Called with the first
            score to log, and again by each worker that is started later.
        package: The package that it needs, as Python imports it; empty if it needs no package.
        install: How a user installs that package, for the error that says it is missing.
    """

    name: str
    connect: Callable[[Path, Mapping[str, Any]], Connection]
    package: str = ""
    install: str = ""
