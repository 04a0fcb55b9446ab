"""A run directory as a whole: whether it can be read and written, who writes to it, and what its manifest says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.records import locks
from sftgen_judges.records.columns import METRICS
from sftgen_judges.records.compaction import remove_leftovers
from sftgen_judges.records.errors import RecordError, unreadable
from sftgen_judges.records.journal import append_rows, naming, whole_rows
from sftgen_judges.records.layout import RunFiles
from sftgen_judges.records.manifest import MANIFEST, plain, read_manifest, schema_of, write_manifest
from sftgen_judges.records.migration import migrate
from sftgen_judges.records.provenance import provenance

Row = dict[str, Any]


@dataclass(frozen=True)
class SharedFolder(RunFiles):
    """A run directory that several processes may share.

    Whatever writes takes the write lock for as long as it writes.
    """

    # ---------------------------------------------------------------------------------------- access

    def require_readable(self) -> None:
        """Check that it is a run directory with a known layout.

        Raises:
            RecordError: It is not a run directory, or has a newer layout.
        """
        if not self.path.is_dir():
            raise RecordError(f"run directory {str(self.path)!r}: no such folder")
        schema_of(self.path)
        if not read_manifest(self.path) and not self.metrics.exists():
            raise RecordError(f"{str(self.path)!r} is not a run directory: no readable {MANIFEST}")

    def require_writable(self) -> None:
        """Make the folder, try to write into it, and bring an older layout up to date.

        Raises:
            RecordError: It cannot be written, or is of a newer layout.
        """
        try:
            with self.writing():
                for name in ("generations", "prompts", "verdicts", "labels", "probes"):
                    self.require_inside(self.path / name)
                probe = self.path / ".writable"
                probe.touch()
                probe.unlink(missing_ok=True)
                remove_leftovers(self.path)
                migrate(self.path)
        except OSError as error:
            raise RecordError(f"run directory {str(self.path)!r} cannot be written: {error.strerror}") from error

    def require_usable(self) -> None:
        """Check that everything in it can be read and added to outside training, before anything is generated.

        Raises:
            RecordError: A file that cannot, a newer layout, or the run directory of a training.
        """
        schema_of(self.path)
        files = [self.path / MANIFEST, *self.path.glob("*.jsonl"), *self.path.glob("*.parquet")]
        files += [*self.path.glob("generations/*"), *self.path.glob("prompts/*"), *self.path.glob("verdicts/*")]
        for path in files:
            try:
                path.open("rb+" if path.suffix == ".jsonl" else "rb").close()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unreadable(path, error) from error
        if steps := sorted(self.evaluated_steps()):
            shown = ", ".join(map(str, steps[:5])) + (" and others" if len(steps) > 5 else "")
            raise RecordError(
                f"run directory {str(self.path)!r} holds evaluations of a training (steps {shown}); an evaluation "
                "outside of training has no step and would stand in no table beside them. Name another run directory"
            )
        self.require_writable()

    def writing(self) -> AbstractContextManager[None]:
        """Hold the write lock, for moments."""
        return locks.writing(self.path)

    def sole_writer(self) -> AbstractContextManager[None]:
        """Hold the run directory for as long as a command runs.

        Raises:
            RecordError: Another process holds it.
        """
        return locks.sole_writer(self.path)

    def append(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to one of its journals.

        Raises:
            WriteError: They cannot be written.
        """
        for folder in (path.parent, *path.parent.parents):
            if folder == self.path:
                break
            self.require_inside(folder)
        with naming(path), self.writing():
            append_rows(path, rows)

    def evaluated_steps(self) -> set[int]:
        """Steps with at least one metric."""
        return {
            row["step"]
            for row in whole_rows(self.metrics, METRICS)
            if row["status"] == "ok" and row.get("step") is not None
        }

    # ---------------------------------------------------------------------------------------- manifest

    def read_manifest(self) -> Row:
        """The manifest.

        Raises:
            RecordError: It cannot be read: not a run directory. Or it is of a newer layout.
        """
        schema_of(self.path)
        manifest = read_manifest(self.path)
        if not manifest:
            raise RecordError(f"{str(self.path)!r} is not a run directory: no readable {MANIFEST}")
        return manifest

    def manifest(self) -> Row:
        """The manifest; empty where it is absent or damaged."""
        return read_manifest(self.path)

    def update_manifest(self, **facts: Any) -> None:
        """Add facts to the manifest, with what runs now: command, versions, revisions, hardware."""
        made = provenance()  # before the lock: it asks git
        with self.writing():
            migrate(self.path)
            write_manifest(self.path, read_manifest(self.path) | made, **facts)

    def add_documents(self, task: str, facts: Mapping[str, Any], *, begins: bool) -> None:
        """Tell the manifest on which documents a task was evaluated.

        Args:
            task: The task.
            facts: Origin, number and hashes of the documents, and how to load them again.
            begins: Whether this process began the run, so that the manifest is to tell how it runs.
        """
        given = plain(facts)
        if (self.manifest().get("documents") or {}).get(task) == given:
            return
        made = provenance() if begins or not self.manifest() else {}
        with self.writing():
            migrate(self.path)
            manifest = read_manifest(self.path)
            known = manifest.get("documents") or {}
            write_manifest(self.path, manifest | made, documents={**known, task: given})

    def run_id(self) -> str:
        """The name that the run got when it began; it keeps it wherever the folder goes."""
        named = self.manifest().get("run")
        if named:
            return str(named)
        with self.writing():
            migrate(self.path)
            return str(write_manifest(self.path, read_manifest(self.path))["run"])
