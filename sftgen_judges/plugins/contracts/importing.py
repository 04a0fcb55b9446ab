"""What reads results of other tools: `Importer`, the `Log`s that it finds, and what one holds, `Imported`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftgen_judges.plugins.contracts.diagnosing import Sample
    from sftgen_judges.records.schema import GenerationRecord


@dataclass(frozen=True)
class Log:
    """The results of one task at one checkpoint.

    Attributes:
        task: The task.
        path: The file.
        time: When it was written, so that a later text is a later time: of a task at a step the newest log counts.
        step: The training step, where the log says it; None where only the user knows.
    """

    task: str
    path: Path
    time: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Imported:
    """What a log holds.

    Attributes:
        samples: Graded responses. A number beside the score is a measure of the verdict, and becomes a metric.
        generations: The responses themselves, in any order.
        prompts: The prompt of each generation; empty where the log holds none.
        incomplete: Whether samples that belong to the evaluation are missing.
    """

    samples: Sequence[Sample]
    generations: Sequence[GenerationRecord] = field(default=(), repr=False)
    prompts: Sequence[str] = field(default=(), repr=False)
    incomplete: bool = False


@dataclass(frozen=True)
class Importer:
    """Reads results of another tool, chosen by `sftgen import NAME`.

    Attributes:
        name: The name it is registered under.
        find: The logs at a path, which is a file or a folder. It raises an `SftgenError` where there are none.
        read: What a log holds, as results of a training step. Its last argument is the metric that the user chose as
            the score, None for the usual one. It raises an `SftgenError` for a log that cannot be read.
        package: The package that it needs, as Python imports it; empty if it needs no package.
    """

    name: str
    find: Callable[[Path], Sequence[Log]]
    read: Callable[[Log, int, str | None], Imported]
    package: str = ""
