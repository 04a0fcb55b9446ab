"""What summarises graded responses: `Diagnostic`, and the `Sample` it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sftgen_judges.records.schema import Response, Verdict


@dataclass(frozen=True)
class Sample:
    """One graded response of a run, as diagnostics see it."""

    task: str
    step: int | None
    doc_hash: str
    repeat: int
    response: Response
    verdict: Verdict


@dataclass(frozen=True)
class Diagnostic:
    """Summarises the samples of one task at one step.

    Attributes:
        name: The name it is registered under; prefixes its metrics (`name/metric`).
        version: Raised when the summary changes.
        diagnose: Metric name to value; leave a metric out where it cannot be computed.
    """

    name: str
    version: int
    diagnose: Callable[[Sequence[Sample]], Mapping[str, float]]
