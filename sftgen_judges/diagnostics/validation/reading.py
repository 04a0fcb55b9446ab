r"""Labelled sets as files: one JSON object a line, first the set, then its documents.

    {"labelled_set": "mine", "segment_labels": ["backtracking"], "origin": "...", "licence": "CC0-1.0"}
    {"id": "1", "question": "...", "thinking": "...", "spans": [{"label": "backtracking", "start": 10, "end": 52}]}

docs/validation.md has all fields. A file may be a stranger's: it is read as data, and what is wrong with it is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts.labelled import GoldSpan, LabelledDocument, LabelledSet, Split
from sftgen_judges.records.schema import text_hash

SETS = Path(__file__).parent / "sets"
"""The sets that come with sftgen."""
MOST_BYTES = 2 << 30
"""Size of a file of labels."""
LONGEST = 16 << 20
"""Bytes of a line, and characters of an element of a list: a longer one is no document."""
HELD_BYTES = 16 << 20
"""Up to this size the documents of a file are held in memory; those of a larger one are read again each time."""


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
    head = next(read_lines(path), (1, {}))[1]
    if not isinstance(head.get("labelled_set"), str):
        raise LabelsError(f"{path}, line 1: expected the set's own line, with its name as 'labelled_set'")
    labels = {kind: _texts(head.get(kind, []), f"{path}, line 1: {kind}") for kind in _KINDS}
    if not any(labels.values()):
        raise LabelsError(f"{path}, line 1: no labels; name them as 'segment_labels' or 'response_labels'")
    documents = documents_of(path, lambda: _documents(path, **labels))
    if not documents:
        raise LabelsError(f"{path}: no documents after the first line")
    return LabelledSet(
        head["labelled_set"], documents, **labels,
        origin=str(head.get("origin", "")), licence=str(head.get("licence", "")),
    )  # fmt: skip


_KINDS = ("segment_labels", "response_labels")


def _documents(path: Path, **labels: tuple[str, ...]) -> Iterator[LabelledDocument]:
    seen: set[str] = set()
    for number, row in islice(read_lines(path), 1, None):
        document = document_of(row, f"{path}, line {number}", labels["segment_labels"], labels["response_labels"])
        name = text_hash(document.id)  # a name may be long
        if name in seen:
            raise LabelsError(f"{path}, line {number}: a second document {document.id[:200]!r}; names are given once")
        seen.add(name)
        yield document


@dataclass(frozen=True)
class DocumentsOfFile(Collection[LabelledDocument]):
    """The documents of a large file, read from it whenever they are asked for.

    Attributes:
        read: Reads them.
        size: How many they are.
    """

    read: Callable[[], Iterator[LabelledDocument]]
    size: int

    def __iter__(self) -> Iterator[LabelledDocument]:
        return self.read()

    def __len__(self) -> int:
        return self.size

    def __contains__(self, document: object) -> bool:
        return any(document == one for one in self.read())


def documents_of(path: Path, read: Callable[[], Iterator[LabelledDocument]]) -> Collection[LabelledDocument]:
    """The documents of a file, all of them checked; those of a large one are not held.

    Args:
        path: The file.
        read: Reads them from the first one on.
    """
    if size_of(path) <= HELD_BYTES:
        return tuple(read())
    return DocumentsOfFile(read, sum(1 for _ in read()))


def size_of(path: Path) -> int:
    """The size of a file of labels in bytes.

    Raises:
        LabelsError: It cannot be read, or is too large.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise LabelsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if size > MOST_BYTES:
        raise LabelsError(f"{path}: {size / 1e6:.0f} MB; a file of labels has at most {MOST_BYTES / 1e6:.0f} MB")
    return size


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with the numbers of their lines; blank lines are left out.

    Raises:
        LabelsError: It cannot be read, is too large, or a line is no JSON object, or too long.
    """
    size_of(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
                if len(line) > LONGEST:
                    raise LabelsError(
                        f"{path}, line {number}: longer than {LONGEST / 1e6:.0f} MB; expected one document a line"
                    )
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, _object(text, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise LabelsError(f"{where}: expected one JSON object")
    return row


def read_list(path: Path) -> Iterator[Any]:
    """The elements of a file that is one JSON list, one at a time.

    Raises:
        LabelsError: It cannot be read, is too large, or is no JSON list, or an element is too long.
    """
    size_of(path)
    decoder, held, more, inside = json.JSONDecoder(), "", True, False
    try:
        with path.open(encoding="utf-8-sig") as file:
            while True:
                held = held.lstrip(_BETWEEN if inside else _SPACE)
                if not inside and held:
                    if held[0] != "[":
                        raise LabelsError(f"{path}: expected a JSON list")
                    held, inside = held[1:], True
                    continue
                if held[:1] == "]":
                    return
                try:
                    element, end = decoder.raw_decode(held)
                except (ValueError, RecursionError) as error:
                    if not more or len(held) > LONGEST or isinstance(error, RecursionError):
                        raise LabelsError(f"{path}: no JSON") from error
                else:
                    if end < len(held) or not more:  # else it may go on
                        yield element
                        held = held[end:]
                        continue
                piece = file.read(max(_PIECE, len(held)))
                held, more = held + piece, bool(piece)
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


_PIECE = 1 << 20
_SPACE, _BETWEEN = " \t\r\n", " \t\r\n,"


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
