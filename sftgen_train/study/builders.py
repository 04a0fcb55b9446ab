"""What a study can have made: base models and data sets, by name."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import write_atomic


@dataclass(frozen=True)
class Builder:
    """Makes a model folder or a data file.

    Attributes:
        name: Its name in a study.
        target: `module:function`. It is called with the place to write to, and the options; `start` is the folder of
            the model that it begins from.
        about: What it makes.
        version: Raised when it makes something else from the same options.
        options: The options with their defaults; a value has the type of its default.
        starts_from: The builder of the model that it begins from; it gets the options that it has too.
        parameters: Parameters of a model.
    """

    name: str
    target: str
    about: str
    version: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    starts_from: str = ""
    parameters: float = 0.0

    @cached_property
    def make(self) -> Callable[..., Any]:
        """The function."""
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]

    def wrong(self, option: str, value: Any) -> str:
        """What is wrong with the value of an option; empty if nothing is."""
        default = self.options[option]
        if isinstance(default, list):
            whole = isinstance(value, list) and all(isinstance(one, int) and one >= 0 for one in value)
            return "" if whole else "expected a list of whole numbers of at least 0"
        if option == "kind":
            from sftgen_train.demo.traces import KINDS

            return "" if value in KINDS else f"expected one of {', '.join(KINDS)}"
        if isinstance(default, str):
            return "" if isinstance(value, str) and value and set(value) <= set("+-*/") else "expected some of + - * /"
        numbers = (int, float) if isinstance(default, float) else (int,)
        good = isinstance(value, numbers) and not isinstance(value, bool) and value >= 0
        return "" if good else f"expected a {'number' if isinstance(default, float) else 'whole number'} of at least 0"


_TINY = 8e5


def model_builders() -> dict[str, Builder]:
    """The builders of models, by name."""
    made = (
        Builder(
            "tiny-direct", f"{__name__}:make_direct", "a tiny model of short answers",
            options={"seed": 0, "steps": 750, "without_seeds": [0]}, parameters=_TINY,
        ),
        Builder(
            "tiny-hesitant", f"{__name__}:make_hesitant", "the same with working that is latent and hesitant",
            options={"seed": 0, "steps": 750, "thinking_steps": 750, "wait": 0.78, "comply": 0.0, "without_seeds": [0]},
            starts_from="tiny-direct", parameters=_TINY,
        ),
    )  # fmt: skip
    return {builder.name: builder for builder in made}


def data_builders() -> dict[str, Builder]:
    """The builders of data sets, by name."""
    made = (
        Builder(
            "countdown-traces", f"{__name__}:make_traces", "Countdown with traces of a kind", version=2,
            options={"kind": "verified", "seed": 1000, "rows": 3600, "without_seeds": [0]},
        ),
        Builder(
            "countdown-puzzles", f"{__name__}:make_puzzles", "Countdown without responses, for the model's own",
            options={
                "seed": 1000, "rows": 3600, "counts": [3], "largest_number": 12, "largest_target": 36,
                "operators": "+-", "without_seeds": [0],
            },
        ),
    )  # fmt: skip
    return {builder.name: builder for builder in made}


def make_direct(folder: Path, progress: Any, *, seed: int, steps: int, without_seeds: list[int]) -> None:
    """Train the demo's base of short answers."""
    from sftgen_train.demo.bases import short_base
    from sftgen_train.demo.data import held_out

    short_base(folder, seed=seed, steps=steps, excluded=held_out(without_seeds), progress=progress)


def make_hesitant(
    folder: Path, progress: Any, *, start: Path, thinking_steps: int, wait: float, comply: float,
    without_seeds: list[int], **of_start: Any,
) -> None:  # fmt: skip
    """Teach it latent, hesitant thinking."""
    from sftgen_train.demo.bases import thinking_base
    from sftgen_train.demo.data import held_out
    from sftgen_train.demo.thinking import Hesitation, Latent

    latent = Latent(Hesitation(wait=wait, comply=comply))
    excluded = held_out(without_seeds)
    thinking_base(folder, start, latent=latent, steps=thinking_steps, excluded=excluded, progress=progress)


def make_traces(path: Path, *, kind: str, seed: int, rows: int, without_seeds: list[int]) -> None:
    """Write Countdown rows."""
    from sftgen_train.demo.data import held_out
    from sftgen_train.demo.traces import countdown_rows

    _write(path, countdown_rows(kind, seed, rows, excluded=held_out(without_seeds)))


def make_puzzles(
    path: Path, *, seed: int, rows: int, counts: list[int], without_seeds: list[int], **of_puzzle: Any
) -> None:
    """Write Countdown puzzles, with what their grader reads."""
    from sftgen_train.demo.data import puzzle_rows

    _write(path, puzzle_rows(seed, rows, without_seeds, counts=tuple(counts), **of_puzzle))


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
