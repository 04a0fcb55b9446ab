"""Without what was found: a training set without the rows, or a trajectory without the questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sftgen_judges.records.schema import content_hash
from sftgen_train.curation.contamination.search import Contamination, ContaminationError
from sftgen_train.curation.reading import stream_rows
from sftgen_train.curation.sets import TrainingSet, write_rows


def write_without(folder: Path, data: str, split: str, found: Contamination, methods: Sequence[str]) -> TrainingSet:
    """Write the rows of a set that nothing was found in, in their order and with all their columns.

    Raises:
        DataError: The set cannot be read.
        SetError: The folder holds something else.
    """
    dropped = found.hit_rows
    rows = (row for number, row in enumerate(stream_rows(data, split)) if number not in dropped)
    recipe = {
        "without_questions_of": dict(sorted(found.questions.items())),
        "methods": list(methods),
        "of": data,
        "dropped": content_hash(sorted(dropped)),
    }
    card = f"`{data}` without {len(dropped):,} rows that hold a question of a benchmark ({', '.join(methods)})."
    return write_rows(folder, recipe, rows, found.rows - len(dropped), card=card)


def read_questions(path: Path) -> frozenset[tuple[str, str]]:
    """The questions that a file of matches names, as task and hash of the document.

    Raises:
        ContaminationError: It is no file of `sftgen data contamination --out`.
    """
    try:
        matches = json.loads(path.read_text())["matches"]
        return frozenset((str(match["task"]), str(match["doc_hash"])) for match in matches)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContaminationError(
            f"{path}: expected a file of `sftgen data contamination SET --out FILE` ({type(error).__name__})"
        ) from error
