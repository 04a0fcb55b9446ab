"""How fast a run was, by its own records, and what the model of events says of a run of that pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
_MEASURED = ("seconds", "loading_seconds", "generation_seconds", "responses", "tokens")


@dataclass(frozen=True)
class Pace:
    """How fast checkpoints were evaluated.

    Attributes:
        tokens_per_second: While the model generated, the median of the checkpoints; grading beside it is in that. Other
            tasks, lengths and batches have another one.
        start: Seconds of loading the first checkpoint.
        reload: Seconds of loading each next one.
        grading: Seconds a response from the end of generating to the end of the evaluation.
        finish: Seconds from the end of an evaluation to the beginning of the next one.
    """

    tokens_per_second: float
    start: float
    reload: float
    grading: float
    finish: float


@dataclass(frozen=True)
class Amount:
    """What a checkpoint was asked for.

    Attributes:
        responses: Responses.
        tokens: Their tokens.
    """

    responses: int
    tokens: int


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


def read_measured(run: Path) -> Measured:
    """The pace of a sweep, or of a worker, that evaluated with one process.

    Raises:
        CostError: The run does not tell it.
    """
    rows = [row for row in whole_rows(run / "evaluations.jsonl", EVALUATIONS) if _is_measured(row)]
    if not rows:
        raise CostError(
            f"{str(run)!r}: no evaluation there says how long loading and generating took; name the run directory of "
            "a sftgen sweep or worker that generated with this version"
        )
    rows.sort(key=_end)
    seconds = [float(row["seconds"]) for row in rows]
    wall = _end(rows[-1]) - _end(rows[0]) + seconds[0]
    # Times of day are whole seconds.
    if wall < sum(seconds) - len(rows):
        raise CostError(f"{str(run)!r}: several processes evaluated at once; name a run of one process")
    loading = [float(row["loading_seconds"]) for row in rows]
    generating = sum(float(row["generation_seconds"]) for row in rows)
    responses = sum(int(row["responses"]) for row in rows)
    pace = Pace(
        tokens_per_second=median(row["tokens"] / row["generation_seconds"] for row in rows),
        start=loading[0],
        reload=median(loading[1:] or loading),
        grading=max(0.0, sum(seconds) - sum(loading) - generating) / responses,
        finish=_usual([max(0.0, _end(row) - row["seconds"] - _end(before)) for before, row in pairwise(rows)]),
    )
    amounts = tuple(Amount(int(row["responses"]), int(row["tokens"])) for row in rows)
    return Measured(pace, amounts, wall, generating)


def _usual(gaps: Sequence[float]) -> float:
    """The mean, without the long ones: a run that was stopped goes on another day."""
    return fmean(gap for gap in gaps if gap <= 10 * median(gaps) + 1) if gaps else 0.0


def _is_measured(row: dict[str, Any]) -> bool:
    try:
        _end(row)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return False
    numbers = [row.get(name) for name in _MEASURED]
    known = all(isinstance(number, int | float) and 0 <= number < _MOST for number in numbers)
    # What was taken from an earlier start took no time.
    return (
        row.get("status") == "ok" and known and all(row[name] for name in ("generation_seconds", "responses", "tokens"))
    )


def _end(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["at"]).timestamp()


def predict(pace: Pace, amounts: Sequence[Amount]) -> Outcome:
    """What checkpoints take on one device, one after the other, to the end of the last evaluation."""
    stages = (
        Stage("all", amount.tokens / pace.tokens_per_second, pace.grading * amount.responses) for amount in amounts
    )
    training = Training("measured", tuple(Checkpoint((stage,)) for stage in stages))
    site = Site(start=pace.start, reload=pace.reload, finish=pace.finish)
    whole = simulate([training], site)
    held = {**whole.held, "loading": whole.held["loading"] - pace.finish}
    return Outcome(whole.wall - pace.finish, 1, held, whole.grading, whole.judging)
