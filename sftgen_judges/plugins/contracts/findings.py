"""What a diagnostic found: `Finding`, its numbers with intervals, its table and its figure.

Nothing here is code or markup: a finding is plain data, so that one in a stranger's run can be shown safely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Certainty = Literal["clear", "unclear", "cannot tell"]
"""`clear`: a test shows what the sentence claims. `unclear`: a test was made and shows nothing.

`cannot tell`: there is no test, too few data, or too many missing.
"""


@dataclass(frozen=True)
class Metric:
    """A number with its 95 % interval.

    Attributes:
        name: For example `repeated_4grams`; the diagnostic's name stands before it where it is shown.
        value: The number; None where there is nothing to take it of.
        low: Lower end; None where nobody can tell.
        high: Upper end.
        n: Of how many independent units it is, usually documents.
        unit: Unit of the value, such as `tokens`; empty for a share or a plain number.
        task: The task; None of several.
        step: The training step; None of several, and outside of training.
        exact: Whether it is counted and not estimated by a rule or a judge: it then needs no validation.
        label: The label of a labelled set that tells how good it is; by default that of its name.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    task: str | None = None
    step: int | None = None
    exact: bool = False
    label: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers.

    Attributes:
        columns: The head.
        rows: As many cells each as there are columns; None is shown as `-`.
        title: Above it, in a report; a finding has its own.
        words: Whether its cells are words: they begin at the left.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    title: str = ""
    words: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells, expected {len(self.columns)}: {', '.join(self.columns)}")


@dataclass(frozen=True)
class Series:
    """A line or a group of bars of a figure.

    Attributes:
        name: Its name in the legend.
        x: Places on the x axis, such as steps; they get equal room, in the order in which they come.
        y: Values; None leaves a gap.
        low: Lower ends of intervals, or empty.
        high: Upper ends.
    """

    name: str
    x: tuple[str | float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Pane:
    """A text whose tokens are coloured by a number.

    Attributes:
        title: For example `step 40`.
        tokens: The pieces of the text, in order.
        values: A number for each.
    """

    title: str
    tokens: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """A figure as a description; the report draws it.

    Attributes:
        kind: `lines` or `bars` of `series`; `tokens` for `panes` side by side, folded at first.
        title: The title.
        x: Title of the x axis.
        y: Title of the y axis, or what the colour of tokens means.
        series: Of lines and bars.
        panes: Of tokens.
    """

    kind: Literal["lines", "bars", "tokens"]
    title: str
    x: str = "training step"
    y: str = ""
    series: tuple[Series, ...] = ()
    panes: tuple[Pane, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Validation:
    """How good a diagnostic's labels are, measured on a labelled set.

    Attributes:
        label: What was labelled, for example `backtracking`.
        labelled_set: Name of the set.
        annotator: What gave the labels that were measured: `rule`, or the judge's model.
        n: Labelled units.
        unit: What was labelled: `segments`, `traces`, `sentences`.
        precision: Share of the found that are labelled.
        recall: Share of the labelled that are found.
        f1: Harmonic mean of the two.
        trivial_f1: F1 of saying "yes" to everything; what a diagnostic must beat.
        split: Part of the set, for example `test`.
    """

    label: str
    labelled_set: str
    annotator: str
    n: int
    unit: str
    precision: Interval
    recall: Interval
    f1: Interval
    trivial_f1: float | None = None
    split: str = "test"


@dataclass(frozen=True)
class Finding:
    """What a diagnostic found.

    Attributes:
        title: What it is about, in a few words; distinguishes the findings of one diagnostic.
        sentence: What was found, in one sentence.
        certainty: How sure the sentence is, by a test and not by eye.
        measured_on: What was measured: documents, responses, checkpoints, and what is missing.
        metrics: The numbers.
        table: A table.
        figure: A figure.
        validation: How good the labels behind it are; empty is shown as "not validated" beside its numbers, but for
            those that are exact.
        task: The task; None of several.
        step: The training step; None of several.
    """

    title: str
    sentence: str
    certainty: Certainty
    measured_on: str
    metrics: tuple[Metric, ...] = ()
    table: Table | None = None
    figure: Figure | None = None
    validation: tuple[Validation, ...] = ()
    task: str | None = None
    step: int | None = None

    def __post_init__(self) -> None:
        if self.certainty not in get_args(Certainty):
            raise ValueError(f"certainty {self.certainty!r}: expected one of {', '.join(get_args(Certainty))}")

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        """A finding from plain data, which may come from a stranger.

        Raises:
            ValueError: It is not the data of a finding.
        """
        try:
            facts = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
            table, figure = facts.get("table"), facts.get("figure")
            return cls(
                **{
                    **facts,
                    "metrics": tuple(_made(Metric, metric) for metric in facts.get("metrics") or ()),
                    "table": table and _made(Table, {**table, "rows": [tuple(cells) for cells in table["rows"]]}),
                    "figure": figure and _figure(figure),
                    "validation": tuple(_validation(given) for given in facts.get("validation") or ()),
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a finding: {type(error).__name__}: {error}") from error


def _made(kind: Any, row: Mapping[str, Any]) -> Any:
    """An instance; lists become tuples, and fields of a later version are ignored."""
    given = {name: row[name] for name in kind.__dataclass_fields__ if name in row}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _figure(row: Mapping[str, Any]) -> Figure:
    series = tuple(_made(Series, given) for given in row.get("series") or ())
    panes = tuple(_made(Pane, given) for given in row.get("panes") or ())
    figure: Figure = _made(Figure, {**row, "series": series, "panes": panes})
    return figure


def _validation(row: Mapping[str, Any]) -> Validation:
    rates = {name: _made(Interval, row[name]) for name in ("precision", "recall", "f1")}
    validation: Validation = _made(Validation, {**row, **rates})
    return validation


def is_validated(of: Any, validation: Iterable[Validation]) -> bool:
    """Whether a number may stand without "not validated": it is counted, or the label that it rests on was measured.

    Args:
        of: A `Metric` or a `Measure`.
        validation: What was measured.
    """
    return of.exact or (of.label or of.name) in {checked.label for checked in validation}
