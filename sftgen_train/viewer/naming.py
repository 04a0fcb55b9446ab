"""Names and numbers as pages write them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sftgen_train.trajectory.loading import OUTSIDE
from sftgen_train.viewer import address
from sftgen_train.viewer.errors import MissingError
from sftgen_train.viewer.questions import Outline, RunOutline
from sftgen_train.viewer.writing import visible

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def run_of(outline: Outline, run: str) -> RunOutline:
    """A run by its id; the first without one.

    Raises:
        MissingError: No run has this id.
    """
    if not run:
        return next(iter(outline.runs.values()))
    if run not in outline.runs:
        raise MissingError(f"run {run!r} is not open; open are {', '.join(outline.runs)}")
    return outline.runs[run]


def run_names(outline: Outline) -> dict[str, str]:
    """A short name for each run: its folder's, with as many folders above it as tell it from the others."""
    parts = {run: Path(of.folder).resolve().parts for run, of in outline.runs.items()}
    names = {run: path[-1] for run, path in parts.items()}
    for depth in range(2, 1 + max(map(len, parts.values()), default=0)):
        same = [run for run, name in names.items() if list(names.values()).count(name) > 1]
        names |= {run: "/".join(parts[run][-depth:]) for run in same}
    return names


def step_in_address(step: int) -> str:
    """A step as a value of an address."""
    return address.OUTSIDE if step == OUTSIDE else str(step)


def step_name(step: int) -> str:
    """A step for a heading."""
    return "outside training" if step == OUTSIDE else f"step {step}"


def chosen_step(given: str, steps: Iterable[int], default: int) -> int:
    """The step that an address names.

    Raises:
        MissingError: It has no graded answers.
    """
    known = list(steps)
    step = default if not given else OUTSIDE if given == address.OUTSIDE else int(given)
    if given and step not in known:
        raise MissingError(f"step {given} has no graded answers here; {', '.join(map(step_in_address, known))} have")
    return step


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    if value is None:
        return DASH
    shown = f"{value:.{digits}f}"
    return shown.replace("-", MINUS)


def score(value: float | None) -> str:
    """A score of one item: whole numbers without digits."""
    return DASH if value is None else f"{value:.2f}".rstrip("0").rstrip(".").replace("-", MINUS) or "0"


def signed(value: float | None, digits: int = 2) -> str:
    """A change, with its sign."""
    if value is None:
        return DASH
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", MINUS) if float(shown) else f"{0:.{digits}f}"


def count(value: float | None) -> str:
    """A whole number with separators."""
    return DASH if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share in percent."""
    if value is None:
        return DASH
    percent = 100 * value
    if 0 < percent < 1:
        return "<1 %"
    return f"{percent:.0f} %" if not 99 < percent < 100 else ">99 %"


def size(characters: int) -> str:
    """A length in characters."""
    if characters < 10_000:
        return f"{characters:,} characters"
    return (
        f"{characters / 1_000:,.0f} thousand characters"
        if characters < 1_000_000
        else f"{characters / 1e6:.1f} million characters"
    )


def one_line(text: str, longest: int = 120) -> str:
    """The beginning of a text, in one line."""
    words = " ".join(visible(text[: 8 * longest]).split())
    return words if len(words) <= longest else words[:longest].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
