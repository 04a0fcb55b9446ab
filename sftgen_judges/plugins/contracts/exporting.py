"""What writes runs in the format of other tools: `Exporter`, and the `Export` that it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftgen_judges.records.query import Records


@dataclass(frozen=True)
class Export:
    """What shall be written.

    Attributes:
        records: The runs, open for queries; see docs/queries.md.
        folder: Where to. It exists.
        step: The training step of formats that hold one model; None for the last step of each task.
        texts: Whether prompts and responses go along.
        tasks: The tasks whose texts may go along: those of harmful prompts are among them only when they are asked for.
    """

    records: Records
    folder: Path
    step: int | None = None
    texts: bool = False
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Exporter:
    """Writes runs in another format, chosen by `sftgen export NAME`.

    Attributes:
        name: The name it is registered under.
        write: Writes into the folder of what it is given, and returns the files.
        package: The package that it needs, as Python imports it; empty if it needs no package.
    """

    name: str
    write: Callable[[Export], Sequence[Path]]
    package: str = ""
