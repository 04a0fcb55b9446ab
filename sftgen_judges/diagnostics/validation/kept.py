"""What was measured on labelled sets is kept, so that it stands beside every number of the same annotator.

They are in `validations.jsonl` of sftgen's folder among the user's caches. A number counts for one version of the
diagnostic, one annotator, and the very texts and labels that it was measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sftgen_judges.diagnostics.validation.measuring import Measured
from sftgen_judges.diagnostics.validation.reading import SETS, shipped
from sftgen_judges.plugins.contracts import Diagnostic, Interval, Validation
from sftgen_judges.plugins.contracts.labelled import LabelledSet
from sftgen_judges.records.hash_cache import cache_folder
from sftgen_judges.records.journal import append_rows, read_rows


def kept_file() -> Path:
    """Where a user's measurements are kept."""
    return cache_folder() / "validations.jsonl"


def keep(diagnostic: Diagnostic, labelled: LabelledSet, measured: Measured, path: Path | None = None) -> Path:
    """Keep what was measured.

    Args:
        diagnostic: What was measured.
        labelled: On which set.
        measured: The numbers.
        path: The file; by default the user's own.

    Returns:
        The file.

    Raises:
        WriteError: It cannot be written.
    """
    path = path or kept_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"diagnostic": diagnostic.name, "version": diagnostic.version, "set_hash": labelled.hash}
    append_rows(path, [{**about, "coverage": measured.coverage, **asdict(found)} for found in measured.validations])
    return path


def kept(name: str, version: int, annotator: str, path: Path | None = None) -> list[Validation]:
    """The last measurement of each label on each set and split, of one version and annotator.

    Args:
        name: The diagnostic.
        version: Its version.
        annotator: `rule`, or the judge's model.
        path: The file; by default the user's own.
    """
    found: dict[tuple[Any, ...], Validation] = {}
    for row in read_rows(path or kept_file()):
        if (row.get("diagnostic"), row.get("version"), row.get("annotator")) != (name, version, annotator):
            continue
        validation = _of_row(row)
        # A set that comes with sftgen may have other labels since.
        if validation and row.get("set_hash") == _hash_now(validation.labelled_set, row.get("set_hash")):
            found[validation.labelled_set, validation.label, validation.split] = validation
    return list(found.values())


def _hash_now(name: str, then: Any) -> Any:
    stem = name.removeprefix("sftgen/")
    return shipped(stem).hash if stem != name and (SETS / f"{stem}.jsonl").is_file() else then


def validated(name: str, version: int) -> Callable[[str], Sequence[Validation]]:
    """`Diagnostic.validated` of a diagnostic that is measured with `sftgen diagnose --validate`."""
    return lambda annotator: kept(name, version, annotator)


def _of_row(row: dict[str, Any]) -> Validation | None:
    """The measurement of a row; None where the row is damaged."""
    try:
        rates = {rate: Interval(**{end: float(row[rate][end]) for end in ("value", "low", "high")}) for rate in _RATES}
        trivial = row.get("trivial_f1")
        return Validation(
            str(row["label"]), str(row["labelled_set"]), str(row["annotator"]), int(row["n"]), str(row["unit"]),
            **rates, trivial_f1=None if trivial is None else float(trivial), split=str(row["split"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


_RATES = ("precision", "recall", "f1")
