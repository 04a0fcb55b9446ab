"""The part of `sftgen diagnose --validate` that measures a diagnostic on a labelled set and prints how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_train.cli.console import console
from sftgen_train.cli.judge import INCOMPLETE

if TYPE_CHECKING:
    from sftgen_judges.diagnostics.validation.measuring import Measured
    from sftgen_judges.diagnostics.validation.scores import Scores
    from sftgen_judges.plugins.contracts import Diagnostic, Interval, LabelledSet

SPLITS = ("dev", "test", "all")
MOST_MISSING: float = JudgeSettings.model_fields["max_missing"].default
WORDS = "word lists"


class ValidateError(SftgenError, ValueError):
    """Options of `--validate` that cannot be used."""


def validate(
    name: str,
    options: Mapping[str, Any],
    labels: Path | None = None,
    split: str = "test",
    as_json: bool = False,
) -> None:
    """Measure a diagnostic on a labelled set, print precision, recall and F1, and keep them for its findings.

    Args:
        name: The diagnostic.
        options: Settings of its judge, named `judge_<field>`.
        labels: A file of labels, of sftgen's form or of a public set; by default the diagnostic's own set.
        split: The part of the set: `dev`, `test` or `all`.
        as_json: Whether JSON is printed.

    Raises:
        SftgenError: The diagnostic, its judge or the file cannot be used.
        Exit: With code 3, if too many documents have no labels.
    """
    from sftgen_judges.diagnostics.labelling import DiagnosticError, annotator_of
    from sftgen_judges.diagnostics.pattern_words import measure_words
    from sftgen_judges.diagnostics.validation.kept import keep
    from sftgen_judges.diagnostics.validation.measuring import measure
    from sftgen_judges.plugins.manager import lookup

    if split not in SPLITS:
        raise ValidateError(f"--split {split!r}: expected one of {', '.join(SPLITS)}{did_you_mean(split, SPLITS)}")
    part: Any = None if split == "all" else split
    diagnostic: Diagnostic = lookup("diagnostic", name)
    labelled = _set(diagnostic, labels)
    words = measure_words(labelled, part) if name == "patterns" else {}
    try:
        annotator = annotator_of(diagnostic, options)
    except DiagnosticError:
        if words and not as_json:  # they cost nothing, and are the floor that a judge has to beat
            console.print(escape(f"{WORDS} on {labelled.name} ({split})"))
            console.print(_table([(label, scores, None) for label, scores in words.items()]))
        raise
    measured = measure(diagnostic, labelled, annotator.name, annotator.ask, part)
    path = keep(diagnostic, labelled, measured)
    missing = 1 - measured.coverage
    if as_json:
        print(json.dumps(_as_json(diagnostic, labelled, measured, words), indent=2))
    else:
        title = f"{diagnostic.name} v{diagnostic.version} by {annotator.name} on {labelled.name} ({split})"
        _print(title, labelled, measured, words)
        console.print(f"kept in {path}", soft_wrap=True)
        if missing > MOST_MISSING:
            console.print(
                f"incomplete: {missing:.1%} of the documents have no labels, more than {MOST_MISSING:.0%}; "
                "the numbers are about the others"
            )
    if missing > MOST_MISSING:
        raise typer.Exit(INCOMPLETE)


def _set(diagnostic: Diagnostic, labels: Path | None) -> LabelledSet:
    if labels:
        from sftgen_judges.diagnostics.validation.public import read_labels

        return read_labels(labels)
    if diagnostic.labelled is None:
        raise ValidateError(f"diagnostic {diagnostic.name!r} comes without a labelled set: name one with --labels FILE")
    return diagnostic.labelled()


def _print(title: str, labelled: LabelledSet, measured: Measured, words: Mapping[str, Scores]) -> None:
    from sftgen_judges.records.schema import printable

    console.print(escape(printable(title)), soft_wrap=True)
    origin = "; ".join(filter(None, (labelled.origin, labelled.licence and f"licence: {labelled.licence}")))
    console.print(escape(printable(origin)), soft_wrap=True)
    failed = sum(measured.failed.values())
    console.print(f"{measured.asked - failed} of {measured.asked} documents labelled, {measured.coverage:.1%}")
    for reason, count in measured.failed.items():
        console.print(f"  missing, {count} times: {escape(printable(reason))}", soft_wrap=True)
    console.print(_table([(label, scores, words.get(label)) for label, scores in measured.scores.items()]))
    if no_better := [label for label, scores in measured.scores.items() if not _beats(scores, words.get(label))]:
        floors = f"finding all{', or of the word lists' * bool(words)}"
        console.print(
            f"not shown to be better than the F1 of {floors}: {', '.join(map(escape, no_better))}", soft_wrap=True
        )


def _beats(scores: Scores, words: Scores | None) -> bool:
    """Whether the whole interval of F1 is above what costs nothing: finding all, and the interval of the words."""
    return scores.f1.low > max(scores.trivial_f1, words.f1.high if words else 0.0)


def _table(rows: Sequence[tuple[str, Scores, Scores | None]]) -> Table:
    """Labels with their scores and, below them, those of the word lists, where there are such."""
    told = "with it: of so many segments or responses; F1 of all: of finding it everywhere"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption=told, caption_justify="left")
    for column in ("label", "with it", "found", "precision", "recall", "F1", "F1 of\nall"):
        table.add_column(column, no_wrap=True)
    for label, scores, words in rows:
        table.add_row(escape(label), *_cells(scores))
        if words:
            table.add_row(f"  by {WORDS}", *_cells(words))
    return table


def _cells(scores: Scores) -> Sequence[str]:
    counts = (f"{scores.positives}/{scores.units}", str(scores.found))
    rates = (_shown(scores.precision), _shown(scores.recall), _shown(scores.f1))
    return *counts, *rates, f"{scores.trivial_f1:.2f}"


def _shown(share: Interval) -> str:
    return f"{share.value:.2f}\n{share.low:.2f}-{share.high:.2f}"


def _as_json(
    diagnostic: Diagnostic, labelled: LabelledSet, measured: Measured, words: Mapping[str, Scores]
) -> dict[str, Any]:
    return {
        "diagnostic": diagnostic.name,
        "version": diagnostic.version,
        "labelled_set": labelled.name,
        "origin": labelled.origin,
        "licence": labelled.licence,
        "documents": measured.asked,
        "coverage": measured.coverage,
        "failed": dict(measured.failed),
        "validations": [asdict(found) for found in measured.validations],
        "words": {label: asdict(scores) for label, scores in words.items()},
    }
