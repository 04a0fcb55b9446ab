"""Numbers as the cells of tables."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any

from sftgen_train.trajectory.churn import Churn
from sftgen_train.trajectory.landmarks import EXTREMES, STEPS, Landmark
from sftgen_train.trajectory.loading import OUTSIDE

LIKELY = 3
"""So many steps of a distribution are shown, the likeliest first."""


def number(value: float, sign: str = "+") -> str:
    """A number with three digits; `-` where there is none."""
    return f"{value:{sign}.3f}" if isfinite(value) else "-"


def span(low: float, high: float, sign: str = "+") -> str:
    """An interval; `-` where there is none."""
    if isnan(low) or isnan(high):
        return "-"
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def step_name(step: int | None) -> str:
    """A step; an evaluation outside training has none."""
    return "-" if step in {None, OUTSIDE} else str(step)


def landmark_value(mark: Landmark) -> str:
    """A landmark: a number, or a step with the share of draws of the likeliest steps."""
    if mark.name not in STEPS or mark.distribution is None:
        return number(mark.seen.value, "+" if mark.name == "dip depth" else "")
    likely = sorted(mark.distribution.items(), key=lambda item: -item[1])[:LIKELY]
    shares = ", ".join(f"{'none' if step is None else step} {share:.0%}" for step, share in likely)
    return f"{'none' if mark.step is None else mark.step} ({shares})"


MORE_OFTEN = "*"
"""Behind an interval that holds the truth more often than in 95 of 100."""
ABOUT_MORE_OFTEN = (
    f"{MORE_OFTEN} of the lowest or highest of several steps: holds more often than 95 % if they are close"
)


def extreme_span(name: str, low: float, high: float, sign: str = "+") -> str:
    """The interval of a landmark, marked where it is of the lowest or highest of several steps."""
    told = span(low, high, sign)
    return f"{told} {MORE_OFTEN}" if name in EXTREMES and told != "-" else told


def landmark_span(mark: Landmark) -> str:
    """Its interval; the sign is shown of what may be below 0."""
    return extreme_span(mark.name, mark.seen.low, mark.seen.high, "+" if mark.name == "dip depth" else "")


CHURN = ("won", "lost", "kept", "by chance", "excess churn", "95 % interval", "moved")
"""The columns of `churn_cells`."""


def churn_cells(of: Churn) -> tuple[str, ...]:
    """Answers won, lost and kept, and what of it is beyond chance."""
    shown = (of.won, of.lost, of.kept, of.by_chance)
    excess = (number(of.excess.value), span(of.excess.low, of.excess.high))
    return (*(number(part.value, "") for part in shown), *excess, number(of.moved.value, ""))


def named_keys(value: Any) -> Any:
    """What JSON can hold: a step that is none has the name `none`."""
    if isinstance(value, Mapping):
        return {"none" if key is None else str(key): named_keys(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [named_keys(entry) for entry in value]
    return value
