"""Documents of a hub dataset at a pinned revision, or of local files in its layout.

`SFTGEN_DATA_DIR` (or `--metadata data_dir=...`) takes local files instead of the hub.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.loading import hub_unreachable, note_unreachable, shared, state_of
from sftgen_tasks.data.rows import Rows, check_columns
from sftgen_tasks.data.tables import SUFFIXES, DataError, read_table

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class HubSource:
    """Documents of a hub dataset.

    Attributes:
        task: The sftgen task they are for.
        repo: Hub id of the dataset.
        split: Split to read.
        revision: Commit that the protocol was checked against.
        columns: Columns that every row must have, with their types. Only these and the id are kept.
        id_column: Names a document in a subset manifest.
        config: Hub configuration, if the dataset has several.
        files: Further names for a local file, without suffix, besides the hub's own layout.
        gated: Whether the hub asks for an agreement first.
        data_file: File of the repository that is read directly, because the hub would run a script or misread it. A
            pattern names several files.
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
            metadata: lm_eval's metadata; `data_dir` and `subset` are read here.

        Raises:
            DataError: The rows are missing or malformed.
        """
        rows, origin = self.read(**metadata)
        return finish(self.task, rows, origin, metadata, self.id_column)

    def read(self, **metadata: Any) -> tuple[Rows, str]:
        """The rows and where they come from, for a task that makes its own documents from them.

        Only the declared columns and the id are kept, so that a row has the same hash from every source.
        Other tasks may share the rows: the caller must not change them.

        Raises:
            DataError: The rows are missing or malformed.
        """
        paths, origin = self.files_to_read(**metadata)
        # The key names the data and not the task, so that tasks can share them.
        key = (self.repo, self.config, self.split, self.revision, *self.columns, state_of(paths))
        return shared(key, lambda: self._checked_rows(paths, origin)), origin

    def _checked_rows(self, paths: list[Path], origin: str) -> Rows:
        rows = []
        for path in paths:
            part = read_table(path)
            check_columns(part, self.columns, str(path))
            rows += part
        if not paths:
            rows = self._download()
            check_columns(rows, self.columns, origin)
        kept = dict.fromkeys([*self.columns, self.id_column])
        return [{column: row[column] for column in kept if column in row} for row in rows]

    def files_to_read(self, **metadata: Any) -> tuple[list[Path], str]:
        """The files that hold the rows, and a name of their origin; no files if the hub serves the rows itself.

        Raises:
            DataError: There are no local files for this dataset, or the download failed.
        """
        folder = metadata.get("data_dir") or os.environ.get("SFTGEN_DATA_DIR")
        if folder:
            paths = self.local_files(Path(folder))
            return paths, str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        return self._download_files(self.data_file) if self.data_file else [], f"{self.repo}@{self.revision}"

    def is_here(self) -> bool:
        """Whether files are here, without asking the hub: in the data folder, or where the hub's client keeps them."""
        folder = os.environ.get("SFTGEN_DATA_DIR")
        if folder:
            try:
                return bool(self.local_files(Path(folder)))
            except DataError:
                return False
        from huggingface_hub.constants import HF_HUB_CACHE

        kept = Path(HF_HUB_CACHE) / f"datasets--{self.repo.replace('/', '--')}"
        named = kept / "refs" / self.revision
        snapshot = kept / "snapshots" / (named.read_text().strip() if named.is_file() else self.revision)
        return snapshot.is_dir() and any(snapshot.iterdir())

    def local_files(self, folder: Path) -> list[Path]:
        """The first local file that exists, in the hub's layouts or under its short names, or all its shards.

        Raises:
            DataError: There is no such file (the error names the places), or shards are missing.
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

        with self._explained_failure():
            return [dict(row) for row in load_dataset(self.repo, self.config, split=self.split, revision=self.revision)]

    def _download_files(self, pattern: str) -> list[Path]:
        from huggingface_hub import snapshot_download

        with self._explained_failure():
            folder = snapshot_download(self.repo, repo_type="dataset", revision=self.revision, allow_patterns=[pattern])
            return sorted(Path(folder).glob(pattern))

    @contextmanager
    def _explained_failure(self) -> Iterator[None]:
        """Turn any failure to load from the hub into an error that names the next step."""
        # The hub's client writes six warnings a file while it tries again; the error below is enough.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

        try:
            before = hub_unreachable()
            if before:  # thirty tasks would each try for half a minute
                raise before
            yield
        except Exception as error:
            if isinstance(error, ConnectionError):
                note_unreachable(error)
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
