"""The documents of a task: its rows as a dataset, and a note of where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.records.schema import content_hash, doc_hash
from sftgen_tasks.data.rows import Rows, apply_manifest, digest
from sftgen_tasks.data.tables import DataError, read_table

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Loaded:
    """Where the documents of a task came from when this process last loaded them.

    Attributes:
        task: The task.
        origin: Where they came from, in words.
        metadata: lm_eval's.
        id_column: The column with the benchmark's own names of them.
        total: How many the benchmark has, whether the task asks all of them or some; None where nobody loaded them.
        cluster: The columns that documents share which are not independent of each other.
        prompts: Which prompts are asked; None where the task has only one.
    """

    task: str
    origin: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None
    total: int | None = None
    prompts: Mapping[str, Any] | None = None
    cluster: Sequence[str] = ()


_loaded: dict[str, Loaded] = {}


def loaded(task: str) -> Loaded:
    """Where the documents of a task came from; lm_eval passes neither the model nor the data source to a filter."""
    return _loaded.get(task) or Loaded(task, "unknown")


def note_prompts(task: str, facts: Mapping[str, Any]) -> None:
    """Note which prompts a task asks, beside where its documents came from."""
    _loaded[task] = replace(loaded(task), prompts=facts)


def finish(
    task: str,
    rows: Rows,
    origin: str,
    metadata: Mapping[str, Any],
    id_column: str | None,
    *,
    total: int | None = None,
    cluster: Sequence[str] = (),
) -> dict[str, Dataset]:
    """Make a dataset from a task's rows, apply the subset that the metadata names, and note where the rows came from.

    Args:
        task: The task.
        rows: What it asks.
        origin: Where they come from.
        metadata: lm_eval's.
        id_column: The column with the benchmark's own names of them.
        total: How many documents the benchmark has, if the task itself asks only some of them.
        cluster: Columns whose values documents share that are not independent of each other, for example two
            candidates for one question: statistics resample such documents together.

    Raises:
        DataError: There are no rows, a column holds values of several kinds, or the subset does not fit.
    """
    from datasets import Dataset

    if not rows:
        raise DataError(f"{task}: {origin} holds no documents")
    try:
        dataset = Dataset.from_list(rows)
    except (ValueError, TypeError) as error:
        raise DataError(f"{task}: {origin}: a column holds values of several kinds: {error}") from error
    subset = metadata.get("subset")
    if subset:
        [manifest] = read_table(Path(str(subset)), single=True)
        if not isinstance(manifest.get("task"), str):
            raise DataError(f"{subset}: not a subset manifest, expected the name of a `task`")
        if manifest["task"] == task:
            # From the dataset: it fills in absent columns, and this changes a document's hash.
            dataset = Dataset.from_list(apply_manifest(dataset.to_list(), manifest, str(subset)))
            origin = f"{origin}, subset {subset}"
    known = Loaded(task, origin, dict(metadata), id_column, total or len(rows), cluster=tuple(cluster))
    _loaded[task] = known
    return {"test": dataset}


def make_manifest(task: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A subset manifest: ids and content hashes of documents of a loaded task, so that others can use the same ones."""
    known = loaded(task)
    return {
        "task": task,
        "origin": known.origin,
        "docs": [{"id": name_of(row, known.id_column), "sha256": doc_hash(row)} for row in rows],
        "sha256": digest(rows),
    }


def cluster_of(row: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """What a document shares with others, as a hash; None where it stands alone."""
    return content_hash([row.get(column) for column in columns])[:16] if columns else None


def name_of(row: Mapping[str, Any], id_column: str | None) -> str:
    """The benchmark's own name of a document, or the beginning of its hash."""
    name = row.get(id_column) if id_column else None
    return doc_hash(row)[:16] if name is None else str(name)
