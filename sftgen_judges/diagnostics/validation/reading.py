r"""Labelled sets as files: one JSON object a line, first the set, then its documents.

    {"labelled_set": "mine", "segment_labels": ["backtracking"], "origin": "...", "licence": "CC0-1.0"}
    {"id": "1", "question": "...", "thinking": "...", "spans": [{"label": "backtracking", "start": 10, "end": 52}]}

docs/validation.md has all fields. A file may be a stranger's: it is read as data, and what is wrong with it is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts.labelled import GoldSpan, LabelledDocument, LabelledSet, Split

SETS = Path(__file__).parent / "sets"
"""The sets that come with sftgen."""
MOST_BYTES = 256 << 20
"""Size of a file of labels."""


class LabelsError(SftgenError, ValueError):
    """A file of labels that cannot be used."""


@cache
def shipped(name: str) -> LabelledSet:
    """A set that comes with sftgen, for example `patterns`."""
    return read_set(SETS / f"{name}.jsonl")


def read_set(path: Path) -> LabelledSet:
    """A labelled set from its file.

    Raises:
        LabelsError: The file cannot be read, or a document is not as it should be: it names file and line.
    """
    rows = read_lines(path)
    head = rows[0][1] if rows else {}
    if not isinstance(head.get("labelled_set"), str):
        raise LabelsError(f"{path}, line 1: expected the set's own line, with its name as 'labelled_set'")
    labels = {kind: _texts(head.get(kind, []), f"{path}, line 1: {kind}") for kind in _KINDS}
    if not any(labels.values()):
        raise LabelsError(f"{path}, line 1: no labels; name them as 'segment_labels' or 'response_labels'")
    documents = [
        document_of(row, f"{path}, line {number}", labels["segment_labels"], labels["response_labels"])
        for number, row in rows[1:]
    ]
    if not documents:
        raise LabelsError(f"{path}: no documents after the first line")
    seen: set[str] = set()
    for (number, _), document in zip(rows[1:], documents, strict=True):
        if document.id in seen:
            raise LabelsError(f"{path}, line {number}: a second document {document.id!r}; names are given once")
        seen.add(document.id)
    return LabelledSet(
        head["labelled_set"], tuple(documents), **labels,
        origin=str(head.get("origin", "")), licence=str(head.get("licence", "")),
    )  # fmt: skip


_KINDS = ("segment_labels", "response_labels")


def read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with the numbers of their lines; blank lines are left out.

    Raises:
        LabelsError: It cannot be read, is too large, or a line is no JSON object.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise LabelsError(f"{path}: {size / 1e6:.0f} MB; a file of labels has at most {MOST_BYTES / 1e6:.0f} MB")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise LabelsError(f"{path}, line {number}: expected one JSON object")
        rows.append((number, row))
    return rows


def document_of(
    row: Mapping[str, Any], where: str, segment_labels: tuple[str, ...], response_labels: tuple[str, ...] = ()
) -> LabelledDocument:
    """A document from its row.

    Args:
        row: The row.
        where: File and line, for the errors.
        segment_labels: Labels that spans may have.
        response_labels: Labels that `holds` must tell.

    Raises:
        LabelsError: A field is missing or wrong, or a span is not in the text.
    """
    texts = {}
    for name in ("id", "question", "thinking", "answer"):
        value = row.get(name, "" if name == "answer" else None)
        if not isinstance(value, str):
            raise LabelsError(f"{where}: {name} {value!r}: expected a text")
        texts[name] = value
    length = len(texts["thinking"])
    spans = []
    for span in _list(row.get("spans", []), f"{where}: spans"):
        label, start, end = (span.get(name) if isinstance(span, dict) else None for name in ("label", "start", "end"))
        if label not in segment_labels:
            raise LabelsError(
                f"{where}: label {label!r}: the set has {', '.join(segment_labels) or 'no segment labels'}"
            )
        spans.append(GoldSpan(label, *_within(start, end, length, f"{where}: span of {label}")))
    holds = row.get("holds", {})
    if not isinstance(holds, dict) or any(not isinstance(holds.get(label), bool) for label in response_labels):
        raise LabelsError(f"{where}: holds: expected true or false for each of {', '.join(response_labels)}")
    segments = []
    for pair in _list(row.get("segments", []), f"{where}: segments"):
        if not isinstance(pair, list) or len(pair) != 2:
            raise LabelsError(f"{where}: segments: expected pairs of start and end")
        segments.append(_within(pair[0], pair[1], length, f"{where}: segment"))
    measures = row.get("measures", {})
    if not isinstance(measures, dict) or not all(isinstance(value, int | float) for value in measures.values()):
        raise LabelsError(f"{where}: measures: expected numbers by name")
    split = row.get("split", "test")
    if split not in get_args(Split):
        raise LabelsError(f"{where}: split {split!r}: expected dev or test")
    return LabelledDocument(
        **texts, spans=tuple(spans), holds={label: holds[label] for label in response_labels},
        segments=tuple(segments), measures=measures, split=split,
    )  # fmt: skip


def _within(start: Any, end: Any, length: int, where: str) -> tuple[int, int]:
    if isinstance(start, bool) or isinstance(end, bool) or not isinstance(start, int) or not isinstance(end, int):
        raise LabelsError(f"{where} from {start!r} to {end!r}: expected whole numbers")
    if not 0 <= start < end <= length:
        raise LabelsError(f"{where} from {start} to {end} is not in the text, which has {length} characters")
    return start, end


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise LabelsError(f"{where}: expected a list")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise LabelsError(f"{where}: expected a list of names")
    return tuple(value)
