"""The `training_tokens` diagnostic: how well the model in training predicts the tokens of its own batches.

The numbers are those that `HarnessCallback` took from the trainer's own forward passes. Token accuracy that reaches 1
on data that come again is the signal of arXiv 2602.11149 that further repetition adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sftgen_judges.plugins.contracts import Diagnostic, Figure, Finding, History, Metric, Series, Table
from sftgen_judges.plugins.contracts.findings import Certainty
from sftgen_train.diagnosing.course import FEWEST, LEVEL, p_text

REACHED = 0.995
"""Token accuracy that is 1 when it is rounded to two digits."""
MOST_WINDOWS = 100
"""Windows of a figure and of the metrics; the records have all."""
MOST_ROWS = 8
"""Windows of the table."""
_QUANTILES = ("p5", "p25", "p50", "p75", "p95")
_SHARES = ("accuracy", "rising", "falling")
_NUMBERS = ("accuracy", "loss", *_QUANTILES, "rising", "falling")
_SAID = {
    "accuracy": "the share of training tokens that the model predicts right",
    "p50": "the median loss of the tokens that the model drew itself",
}

Row = Mapping[str, Any]


def diagnose(history: History) -> Iterator[Finding]:
    """What the training left of its tokens."""
    yield from findings_of(history.records.sql("SELECT * FROM training_tokens ORDER BY step").rows())


def findings_of(rows: Sequence[Row]) -> list[Finding]:
    """A finding for each kind of token, from the windows of a training.

    Args:
        rows: The rows of `training_tokens.jsonl`, in the order of their steps.
    """
    kinds = dict.fromkeys(row["kind"] for row in rows if row["tokens"])
    if not kinds:
        return [_nothing(str(row.get("reason") or "the trainer's output says why")) for row in rows[-1:]]
    return [_finding(kind, [row for row in rows if row["kind"] == kind and row["tokens"]]) for kind in kinds]


def _nothing(reason: str) -> Finding:
    said = f"Nothing is known of the tokens of the training batches: {reason}."
    return Finding("training tokens", said, "cannot tell", "no token")


def _finding(kind: str, rows: Sequence[Row]) -> Finding:
    shown = _spread(rows, MOST_WINDOWS)
    tokens = sum(row["tokens"] for row in rows)
    measured = f"{tokens:,} tokens of the training batches of steps {rows[0].get('first_step')} to {rows[-1]['step']}"
    if strange := sum(row.get("not_finite") or 0 for row in rows):
        measured += f"; {strange:,} losses were no finite number and are in none of the means"
    if again := sum(row.get("again") or 0 for row in rows):
        measured += f"; rising and falling: {again:,} comparisons of a sample of them with the last time they were seen"
    sentence, certainty = _told(kind, rows)
    metrics = tuple(
        Metric(
            named(kind, name),
            row[name],
            n=_count(row, name),
            unit="" if name in _SHARES else "nats",
            step=row["step"],
            exact=True,
        )
        for row in shown
        for name in _NUMBERS
        if row.get(name) is not None
    )
    title = "training tokens" if kind == "trained" else f"training tokens, {kind}"
    return Finding(title, sentence, certainty, measured, metrics, _table(rows), _figure(title, shown))


def named(kind: str, name: str) -> str:
    """The name of a number of a kind of token."""
    return name if kind == "trained" else f"{kind}/{name}"


def _count(row: Row, name: str) -> int:
    return int((row.get("again") or 0) if name in {"rising", "falling"} else row["tokens"])


def _told(kind: str, rows: Sequence[Row]) -> tuple[str, Certainty]:
    name = "accuracy" if all(row.get("accuracy") is not None for row in rows) else "p50"
    course = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if not course:
        return "No loss of a training token was a finite number.", "cannot tell"
    of = _SAID[name] if kind in {"trained", "sampled"} else f"{_SAID[name]} in {kind} responses"
    before, after = course[0][1], course[-1][1]
    ends = f"from {before:.3g} to {after:.3g} between steps {_window(rows[0])} and {_window(rows[-1])}"
    p = _p_of_trend(course)
    certainty: Certainty
    if len(course) < FEWEST:
        sentence, certainty = (
            f"With {len(course)} windows nobody can tell a trend from noise: {of} went {ends}",
            "cannot tell",
        )
    elif p < LEVEL:
        moved = "rose" if after > before else "fell"
        sentence, certainty = f"{of} {moved} {ends} (Kendall's test over {len(course)} windows, p {p_text(p)})", "clear"
    else:
        sentence, certainty = f"{of} shows no trend, {ends} (Kendall's test, p {p_text(p)})", "unclear"
    parts = [sentence[0].upper() + sentence[1:]]
    if kind == "sampled":
        parts.append("there is no token accuracy, since no token is the right one")
    if signal := next((row for row in rows if row.get("signal")), None):
        parts.append(
            f"at step {signal['step']} token accuracy reached {signal['accuracy']:.3f} on repeated data, the published "
            "signal that more repetition adds nothing"
        )
    return "; ".join(parts) + ".", certainty


def _p_of_trend(course: Sequence[tuple[int, float]]) -> float:
    """p-value of Kendall's test of numbers against their steps; 1 where all are equal."""
    from scipy.stats import kendalltau  # takes a while to import, so only where it is needed

    return float(kendalltau(*zip(*course, strict=True)).pvalue) if len({value for _, value in course}) > 1 else 1.0


def _window(row: Row) -> str:
    first = row.get("first_step")
    return str(row["step"]) if first in {None, row["step"]} else f"{first} to {row['step']}"


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows at equal distances, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (most - 1))] for place in range(most)]


def _table(rows: Sequence[Row]) -> Table:
    shown = _spread(rows, MOST_ROWS)
    names = [name for name in _NUMBERS if any(row.get(name) is not None for row in shown)]
    cells = tuple(
        (_window(row), row["tokens"], *(None if row.get(name) is None else f"{row[name]:.3g}" for name in names))
        for row in shown
    )
    return Table(("steps", "tokens", *names), cells)


def _figure(title: str, shown: Sequence[Row]) -> Figure:
    shares = any(row.get("accuracy") is not None for row in shown)
    steps = tuple(str(row["step"]) for row in shown)
    courses = {name: tuple(row.get(name) for row in shown) for name in (_SHARES if shares else _QUANTILES)}
    series = tuple(Series(name, steps, of) for name, of in courses.items() if any(value is not None for value in of))
    return Figure("lines", title, y="share of tokens" if shares else "loss (nats)", series=series)


TRAINING_TOKENS = Diagnostic("training_tokens", version=1, level="trajectory", diagnose=diagnose)
