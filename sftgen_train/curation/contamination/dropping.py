"""A training set without the rows that hold a question of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sftgen_judges.records.schema import content_hash
from sftgen_train.curation.contamination.search import Contamination
from sftgen_train.curation.reading import stream_rows
from sftgen_train.curation.sets import SHARD, TrainingSet, write_set


def write_without(folder: Path, data: str, split: str, found: Contamination, methods: Sequence[str]) -> TrainingSet:
    """Write the rows of a set that nothing was found in, in their order and with all their columns.

    Raises:
        DataError: The set cannot be read.
        SetError: The folder holds something else.
    """
    dropped = found.hit_rows
    rows = (row for number, row in enumerate(stream_rows(data, split)) if number not in dropped)
    kept = found.rows - len(dropped)
    recipe = {
        "without_questions_of": dict(sorted(found.questions.items())),
        "methods": list(methods),
        "of": data,
        "dropped": content_hash(sorted(dropped)),
    }
    card = f"`{data}` without {len(dropped):,} rows that hold a question of a benchmark ({', '.join(methods)})."
    return write_set(folder, recipe, _shards(rows), _as_they_are, shards=max(-(-kept // SHARD), 1), card=card)


def _shards(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while shard := list(islice(rows, SHARD)):
        yield shard


def _as_they_are(index: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows
