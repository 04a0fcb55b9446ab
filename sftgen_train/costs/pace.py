"""How fast a run was, by its own records, and what the model of events says of a run of that pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from sftgen_judges.records.columns import EVALUATIONS
from sftgen_judges.records.journal import whole_rows
from sftgen_train.costs.simulation import Checkpoint, Outcome, Site, Stage, Training, simulate
from sftgen_train.costs.throughput import CostError

_MOST = 1e12
"""A larger number in the file, which may be a stranger's, is none that was measured."""
_AT_ONCE = 0.9
"""A run that took less than this share of the seconds of its checkpoints evaluated several of them at once."""
_MEASURED = (
    "seconds", "loading_seconds", "generation_seconds", "waiting_seconds", "grading_seconds", "responses", "tokens"
)  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """How fast checkpoints were evaluated.

    Attributes:
        tokens_per_second: While the model generated, the median of the checkpoints; grading beside it is in that. Other
            tasks, lengths and batches have another one.
        start: Seconds of loading the first checkpoint.
        reload: Seconds of loading each next one.
        grading: Seconds a response from the end of generating to the end of grading.
        beside: Seconds of a checkpoint on its device beside loading and generating, and between two checkpoints.
    """

    tokens_per_second: float
    start: float
    reload: float
    grading: float
    beside: float


@dataclass(frozen=True)
class Amount:
    """What a checkpoint was asked for.

    Attributes:
        responses: Responses.
        tokens: Their tokens.
        requests: Requests to a judge.
    """

    responses: int
    tokens: int
    requests: int = 0


@dataclass(frozen=True)
class Measured:
    """A run that was measured.

    Attributes:
        pace: How fast it was.
        amounts: What each checkpoint was asked for, in the order of evaluation.
        wall: Seconds from the beginning of the first evaluation to the end of the last.
        generating: Seconds in which a model generated.
    """

    pace: Pace
    amounts: tuple[Amount, ...]
    wall: float
    generating: float

    @property
    def idle(self) -> float:
        """Share of the time in which nothing was generated."""
        return 1 - self.generating / self.wall


def read_measured(run: Path, *, one: bool = True) -> Measured:
    """The pace of a sweep, or of a worker.

    Args:
        run: Its run directory.
        one: Whether it has to be of one process: several at once have no pace of one.

    Raises:
        CostError: The run does not tell it.
    """
    rows = [row for row in whole_rows(run / "evaluations.jsonl", EVALUATIONS) if _is_measured(row)]
    if not rows:
        raise CostError(
            f"{str(run)!r}: no evaluation there says how long loading and generating took; name the run directory of "
            "a sftgen sweep or worker that generated with this version"
        )
    rows.sort(key=_begun)
    wall = max(map(_end, rows)) - _begun(rows[0])
    # A checkpoint keeps its worker from others until its responses stand, and then waits for the one before.
    waiting = [float(row["waiting_seconds"]) for row in rows]
    held = [float(row["seconds"]) - waited for row, waited in zip(rows, waiting, strict=True)]
    if one and wall < (sum(held) + sum(waiting)) * _AT_ONCE:
        raise CostError(f"{str(run)!r}: several processes evaluated at once; name a run of one process")
    loading = [float(row["loading_seconds"]) for row in rows]
    generating = [float(row["generation_seconds"]) for row in rows]
    beside = [max(0.0, of - loaded - made) for of, loaded, made in zip(held, loading, generating, strict=True)]
    between = [
        max(0.0, _begun(after) - _begun(row) - of - waited)
        for (row, after), of, waited in zip(pairwise(rows), held, [0.0, *waiting], strict=False)
    ]
    pace = Pace(
        tokens_per_second=median(row["tokens"] / row["generation_seconds"] for row in rows),
        start=loading[0],
        reload=median(loading[1:] or loading),
        grading=sum(float(row["grading_seconds"]) for row in rows) / sum(int(row["responses"]) for row in rows),
        beside=fmean(beside) + _usual(between),
    )
    amounts = tuple(Amount(int(row["responses"]), int(row["tokens"])) for row in rows)
    return Measured(pace, amounts, wall, sum(generating))


def _usual(gaps: Sequence[float]) -> float:
    """The mean, without the long ones: a run that was stopped goes on another day."""
    return fmean(gap for gap in gaps if gap <= 10 * median(gaps) + 1) if gaps else 0.0


def _is_measured(row: dict[str, Any]) -> bool:
    try:
        _end(row), _begun(row)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return False
    numbers = [row.get(name) for name in _MEASURED]
    known = all(isinstance(number, int | float) and 0 <= number < _MOST for number in numbers)
    # What was taken from an earlier start took no time.
    return (
        row.get("status") == "ok" and known and all(row[name] for name in ("generation_seconds", "responses", "tokens"))
    )


def _end(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["ended"]).timestamp()


def _begun(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["begun"]).timestamp()


def predict(pace: Pace, amounts: Sequence[Amount], site: Site | None = None) -> Outcome:
    """What checkpoints take, one after the other on each device, to the end of the last evaluation.

    Args:
        pace: How fast one device is.
        amounts: What each checkpoint is asked for.
        site: Devices, graders, judge and disk; one device and nothing else to wait for by default. Its times of
            loading are those of the pace.
    """
    stages = (
        Stage("all", amount.tokens / pace.tokens_per_second, pace.grading * amount.responses, amount.requests)
        for amount in amounts
    )
    training = Training("measured", tuple(Checkpoint((stage,)) for stage in stages))
    return simulate([training], replace(site or Site(), start=pace.start, reload=pace.reload, beside=pace.beside))
