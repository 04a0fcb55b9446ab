"""Where documents come from: the hub at a pinned revision, local files, or a seed.

`SFTGEN_DATA_DIR` (or `--metadata data_dir=...`) takes local files instead of the hub. Documents are
plain rows; what was loaded for a task, with a hash of its content, is remembered for the run's
manifest.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.records.schema import content_hash, doc_hash
from sftgen_tasks.data.tables import SUFFIXES, DataError, read_table

if TYPE_CHECKING:
    from datasets import Dataset

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Loaded:
    """What a task's documents were loaded from, last time in this process."""

    task: str
    origin: str
    rows: int
    sha256: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None


_loaded: dict[str, Loaded] = {}
_unreachable: list[ConnectionError] = []


def loaded(task: str) -> Loaded:
    """What was loaded for a task; lm_eval shows a filter neither the model nor the data source."""
    return _loaded.get(task) or Loaded(task, "unknown", 0, "")


def digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of a set of documents, whatever their order."""
    return content_hash(sorted(doc_hash(row) for row in rows))


@dataclass(frozen=True)
class HubSource:
    """Documents of a hub dataset.

    Attributes:
        task: The sftgen task they are for.
        repo: Hub id of the dataset.
        split: Split to read.
        revision: Commit the protocol was checked against.
        columns: Columns that must be there, with their types; no others are kept but the id.
        id_column: Names a document in a subset manifest.
        config: Hub configuration, if the dataset has several.
        files: Further names for a local file, without suffix, besides the hub's own layout.
        gated: Whether the hub asks for an agreement first.
        data_file: File of the repository to read itself, where the hub's viewer would run a script or misread
            it; a pattern stands for several.
    """

    task: str
    repo: str
    split: str
    revision: str
    columns: Mapping[str, type]
    id_column: str
    config: str | None = None
    files: tuple[str, ...] = ()
    gated: bool = False
    data_file: str | None = None

    def documents(self, **metadata: Any) -> dict[str, Dataset]:
        """Load the documents as lm_eval's `custom_dataset` wants them.

        Args:
            metadata: lm_eval's metadata: `data_dir` and `subset` are read here.

        Raises:
            DataError: Nothing to read, or it is malformed.
        """
        rows, origin = self.read(**metadata)
        return finish(self.task, rows, origin, metadata, self.id_column)

    def read(self, **metadata: Any) -> tuple[Rows, str]:
        """Read the rows and tell where they come from, for a task that makes its documents of them.

        Only the declared columns and the id are kept, so that a row has one hash wherever it was read from.

        Raises:
            DataError: Nothing to read, or it is malformed.
        """
        paths, origin = self.files_to_read(**metadata)
        rows = []
        for path in paths:
            part = read_table(path)
            check_columns(part, self.columns, str(path))
            rows += part
        if not paths:
            rows = self._download()
            check_columns(rows, self.columns, origin)
        kept = dict.fromkeys([*self.columns, self.id_column])
        return [{column: row[column] for column in kept if column in row} for row in rows], origin

    def files_to_read(self, **metadata: Any) -> tuple[list[Path], str]:
        """The files that hold the rows, and what to call their origin; none if the hub serves the rows itself.

        Raises:
            DataError: There is no such file.
        """
        folder = metadata.get("data_dir") or os.environ.get("SFTGEN_DATA_DIR")
        if folder:
            paths = self.local_files(Path(folder))
            return paths, str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        return self._download_files(self.data_file) if self.data_file else [], f"{self.repo}@{self.revision}"

    def local_files(self, folder: Path) -> list[Path]:
        """The first local file that stands, in the hub's layouts or under its short names, or all its shards.

        Raises:
            DataError: None does; names every place that was looked at. Or shards are missing.
        """
        if not folder.is_dir():
            raise DataError(f"{self.task}: data folder {str(folder)!r} does not exist (SFTGEN_DATA_DIR or data_dir)")
        cached = f"datasets--{self.repo.replace('/', '--')}/snapshots/{self.revision}"
        shards = f"{self.split}-*-of-*"
        stems = [self.split, shards, f"data/{self.split}", f"data/{shards}"]
        if self.config:
            stems = [f"{self.config}/{self.split}", f"{self.config}/{shards}", self.config, *stems]
        patterns = [f"{root}/{stem}" for root in (self.repo, cached) for stem in stems]
        patterns += [self.task, self.task.removeprefix("sftgen_"), *self.files]
        for pattern in patterns:
            for suffix in SUFFIXES:
                found = sorted(folder.glob(pattern + suffix))
                numbered = re.search(r"-of-(\d+)", found[0].name) if found else None
                if numbered and len(found) != int(numbered[1]):
                    raise DataError(f"{self.task}: {len(found)} of {int(numbered[1])} shards like {found[0]} are there")
                if found:
                    return found
        looked = ", ".join(f"{pattern}{{{','.join(SUFFIXES)}}}" for pattern in (patterns[0], *patterns[-2:]))
        raise DataError(
            f"{self.task}: no file for {self.repo} under {str(folder)!r}. Looked for {looked}"
            f" and {len(patterns) - 3} more places. Put the hub's files into {self.repo}/ there, "
            "or unset SFTGEN_DATA_DIR to download them."
        )

    def _download(self) -> Rows:
        from datasets import load_dataset

        with self._told():
            return [dict(row) for row in load_dataset(self.repo, self.config, split=self.split, revision=self.revision)]

    def _download_files(self, pattern: str) -> list[Path]:
        from huggingface_hub import snapshot_download

        with self._told():
            folder = snapshot_download(self.repo, repo_type="dataset", revision=self.revision, allow_patterns=[pattern])
            return sorted(Path(folder).glob(pattern))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of any failure to load from the hub what to do about it."""
        # Six warnings a file while it tries to reach the hub; the error below says it once.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

        try:
            if _unreachable:  # told once: thirty tasks would each try for half a minute
                raise _unreachable[0]
            yield
        except Exception as error:
            if isinstance(error, ConnectionError) and not _unreachable:
                _unreachable.append(error)
            agreement = (
                f" It is gated: accept its terms at https://huggingface.co/datasets/{self.repo} and set HF_TOKEN."
                if self.gated
                else ""
            )
            raise DataError(
                f"{self.task}: cannot load {self.repo} (split {self.split}, revision {self.revision[:12]}) "
                f"from the hub: {type(error).__name__}.{agreement} Without internet, set SFTGEN_DATA_DIR "
                f"to a folder that holds {self.repo}/{self.data_file or f'{self.split}.jsonl or .parquet'}."
            ) from error


@dataclass(frozen=True)
class Generated:
    """Documents made from a seed.

    Attributes:
        task: The sftgen task they are for.
        make: Makes the rows; its parameters can be set through lm_eval's metadata, for one task as
            `{"sftgen_countdown": {"counts": [3]}}`, for all generated tasks as `{"docs_seed": 1}`.
    """

    task: str
    make: Callable[..., Rows]

    def documents(self, **metadata: Any) -> dict[str, Dataset]:
        """Make the documents as lm_eval's `custom_dataset` wants them.

        Raises:
            DataError: An option of the task that it does not have.
        """
        own = metadata.get(self.task) or {}
        if not isinstance(own, Mapping):
            raise DataError(f"{self.task}: expected its options by name in the metadata, found {own!r}")
        # Not `seed`: model arguments come with the metadata, and a model's seed must not change the questions.
        shared = {name: metadata[f"docs_{name}"] for name in ("seed", "size") if f"docs_{name}" in metadata}
        given = {**shared, **own}
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        try:
            rows = self.make(**options)
        except (TypeError, ValueError, IndexError) as error:
            raise DataError(f"{self.task}: cannot make documents with {options}: {error}") from error
        return finish(self.task, rows, f"generated {options or 'by default'}", metadata, None)


def distinct(draw: Callable[[], dict[str, Any]], size: int) -> Rows:
    """Draw documents until there are `size` with different questions.

    Raises:
        ValueError: There do not seem to be as many.
    """
    docs: dict[str, dict[str, Any]] = {}
    in_vain = 0
    while len(docs) < size:
        doc = draw()
        in_vain = in_vain + 1 if doc["question"] in docs else 0
        if in_vain == 100_000:
            raise ValueError(f"found {len(docs)} different questions, not {size}")
        docs.setdefault(doc["question"], doc)
    return list(docs.values())


def make_manifest(task: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A subset manifest: which documents of a loaded task, by id and content, so that others can use the same."""
    id_column = loaded(task).id_column
    return {
        "task": task,
        "origin": loaded(task).origin,
        "docs": [{"id": _name(row, id_column), "sha256": doc_hash(row)} for row in rows],
        "sha256": digest(rows),
    }


def apply_manifest(rows: Rows, manifest: Mapping[str, Any], where: str) -> Rows:
    """The documents a manifest names, in its order.

    Raises:
        DataError: One is absent or its content has changed.
    """
    by_hash = {doc_hash(row): row for row in rows}
    wanted = manifest.get("docs")
    if not isinstance(wanted, list) or not all(isinstance(doc, dict) and "sha256" in doc for doc in wanted):
        raise DataError(f"{where}: not a subset manifest, expected a list `docs` of {{id, sha256}}")
    absent = [doc.get("id") for doc in wanted if doc["sha256"] not in by_hash]
    if absent:
        raise DataError(
            f"{where}: {len(absent)} of {len(wanted)} documents are absent or have other content, "
            f"first id {absent[0]!r}. Was the manifest made from the same data?"
        )
    return [by_hash[doc["sha256"]] for doc in wanted]


def finish(
    task: str, rows: Rows, origin: str, metadata: Mapping[str, Any], id_column: str | None
) -> dict[str, Dataset]:
    """Make a task's dataset of rows, apply the subset of the metadata, and remember what was loaded.

    Raises:
        DataError: There are no rows, a column holds values of several kinds, or the subset does not fit.
    """
    from datasets import Dataset

    if not rows:
        raise DataError(f"{task}: {origin} holds no documents")
    # As a task will see them: with absent columns filled in, which changes a document's hash.
    try:
        rows = Dataset.from_list(rows).to_list()
    except (ValueError, TypeError) as error:
        raise DataError(f"{task}: {origin}: a column holds values of several kinds: {error}") from error
    subset = metadata.get("subset")
    if subset:
        [manifest] = read_table(Path(str(subset)), single=True)
        if not isinstance(manifest.get("task"), str):
            raise DataError(f"{subset}: not a subset manifest, expected the name of a `task`")
        if manifest["task"] == task:
            rows = apply_manifest(rows, manifest, str(subset))
            origin = f"{origin}, subset {subset}"
    _loaded[task] = Loaded(task, origin, len(rows), digest(rows), dict(metadata), id_column)
    return {"test": Dataset.from_list(rows)}


def check_columns(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, type], origin: str) -> None:
    """Check that every row has its columns, each of its type and no `str` empty; `object` takes anything.

    Raises:
        DataError: Names the first row and column that differ.
    """
    for number, row in enumerate(rows, 1):
        for column, kind in columns.items():
            if column not in row:
                raise DataError(
                    f"{origin}, row {number}: column {column!r} is missing; found {', '.join(map(str, row))}"
                )
            value = row[column]
            if not isinstance(value, kind) or (kind is str and not str(value).strip()):
                shown = "empty text" if isinstance(value, str) else type(value).__name__
                raise DataError(f"{origin}, row {number}, column {column!r}: expected {kind.__name__}, found {shown}")


def _name(row: Mapping[str, Any], id_column: str | None) -> str:
    name = row.get(id_column) if id_column else None
    return doc_hash(row)[:16] if name is None else str(name)
