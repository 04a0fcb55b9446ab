"""A run directory: what a run leaves behind, written so that no row is ever lost. Its files: `layout`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.records import locks
from sftgen_judges.records.columns import FINDINGS, METRICS, PROMPTS, SAMPLES, TEXTS, TRAINING_TOKENS
from sftgen_judges.records.compaction import (
    compact_generations,
    compact_labels,
    compact_samples,
    generation_rows,
    remove_leftovers,
    sample_rows,
)
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.heads import other_model
from sftgen_judges.records.journal import append_rows, naming, rewrite_rows, whole_rows
from sftgen_judges.records.layout import RunFiles
from sftgen_judges.records.manifest import MANIFEST, now, plain, read_manifest, schema_of, write_manifest
from sftgen_judges.records.migration import migrate
from sftgen_judges.records.prompts import shared_ends
from sftgen_judges.records.provenance import provenance, tally
from sftgen_judges.records.schema import READABLE, GenerationRecord
from sftgen_judges.records.tables import table_rows

Row = dict[str, Any]
LONG_JOURNAL = 4 << 20
"""Bytes of samples from which on they are compacted while the run goes on, so that a question to it stays fast."""


@dataclass(frozen=True)
class RunFolder(RunFiles):
    """A run directory, to read and to write.

    Whatever writes takes the write lock for as long as it writes: several processes may share a folder.
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
                raise _unreadable(path, error) from error
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

    # ---------------------------------------------------------------------------------------- generations

    def add_generations(self, records: Sequence[GenerationRecord]) -> None:
        """Write down generations before anything is done with them.

        Raises:
            WriteError: They cannot be written; what was written before stands.
        """
        by_task: dict[str, list[GenerationRecord]] = {}
        for record in records:
            by_task.setdefault(record.task, []).append(record)
        for task, rows in by_task.items():
            self.append(self.generations(task), (record.to_dict() for record in rows))
        tally(records)

    def add_prompts(self, records: Iterable[GenerationRecord], prompts: Iterable[str]) -> None:
        """Write down the prompts of generations that do not stand in the run yet; checkpoints share them.

        Args:
            records: What is generated.
            prompts: The prompt of each, as the model gets it.

        Raises:
            WriteError: They cannot be written.
        """
        by_task: dict[str, dict[str, Row]] = {}
        for record, prompt in zip(records, prompts, strict=True):
            row = {"task": record.task, "doc_hash": record.doc_hash, "prompt_hash": record.prompt_hash}
            by_task.setdefault(record.task, {})[record.prompt_hash] = {**row, "prompt": prompt}
        for task, rows in by_task.items():
            known = {row["prompt_hash"] for row in whole_rows(self.prompts(task), PROMPTS)}
            begin, end = shared_ends([row["prompt"] for row in rows.values()])
            fresh = [
                {**row, "begin": begin, "end": len(row["prompt"]) - end} for row in rows.values()
                if row["prompt_hash"] not in known
            ]  # fmt: skip
            if fresh:
                self.append(self.prompts(task), fresh)

    def read_generations(self, task: str, model: str | None = None) -> list[GenerationRecord]:
        """The generations of a task, each once.

        Args:
            task: The task.
            model: Only those of this model; the others are passed over unread.

        Raises:
            RecordError: They were written by another version of sftgen, or cannot be read.
        """
        records: dict[tuple[str, int | None], GenerationRecord] = {}
        # The journal is read first: during a compaction each row is in the journal, the Parquet file, or both.
        live = list(self._live_generations(task, model))
        for record in (*self.compacted_generations(task, model), *live):
            records[record.key, record.step] = record
        return list(records.values())

    def _live_generations(self, task: str, model: str | None) -> Iterator[GenerationRecord]:
        path = self.generations(task)
        other = other_model(model) if model else None
        return _as_records(path, whole_rows(path, TEXTS, other))

    def compacted_generations(self, task: str, model: str | None = None) -> Iterator[GenerationRecord]:
        """The generations of a task up to the last compaction, one after the other, sorted by document.

        Args:
            task: The task.
            model: Only those of this model.

        Raises:
            RecordError: As `read_generations`.
        """
        path = self.generations(task)
        return _as_records(path.with_suffix(".parquet"), generation_rows(path, model))

    def generation_keys(self, task: str) -> Iterator[Row]:
        """What tells the generations of a task apart, up to the last compaction, without their texts."""
        names = ("step", "model", "sampling", "doc_hash", "repeat", "prompt_hash", "template_hash")
        return table_rows(self.generations(task).with_suffix(".parquet"), TEXTS.only(*names))

    def sample_keys(self, task: str) -> Iterator[Row]:
        """Of the graded responses of a task, up to the last compaction: which they are, when evaluated, how long."""
        names = (*SAMPLES.key, "prompt_hash", "evaluated_at", "thinking_tokens", "answer_tokens")
        return table_rows(self.sample_index, SAMPLES.only(*names), {"task": task})

    def compact(self) -> None:
        """Turn the journals of generations and samples into Parquet files of the same rows, each row once."""
        with naming(self.path), self.writing():
            for path in sorted((self.path / "generations").glob("*.jsonl")):
                compact_generations(path)
            compact_samples(self.samples, self.sample_index)

    def compact_labels(self, diagnostic: str, task: str, *, least: int = LONG_JOURNAL) -> None:
        """Turn the journal of a diagnostic's labels of a task into a Parquet file, if it is long.

        Args:
            diagnostic: The diagnostic.
            task: The task.
            least: Bytes from which on it is long.
        """
        path = self.labels(diagnostic, task)
        if not path.exists() or path.stat().st_size < least:
            return
        self.require_inside(path.parent)
        with naming(path), self.writing():
            compact_labels(path)

    # ---------------------------------------------------------------------------------------- metrics

    def metric_rows(self) -> list[Row]:
        """The metric rows of the answers in force; of a step that was evaluated again, the last.

        Where the same step was evaluated with several models or sampling settings, the last evaluation counts.
        """
        rows = {
            _metric_key(row): row
            for row in whole_rows(self.metrics, METRICS)
            if row["status"] != "ok" or row.get("metric") is not None
        }
        last: dict[tuple[Any, Any], tuple[str, Any, Any]] = {}
        for row in rows.values():
            if row.get("status") == "ok":
                found = _evaluation(row)
                if found[0] >= last.get(_place(row), found)[0]:
                    last[_place(row)] = found
        return [row for row in rows.values() if row.get("status") != "ok" or _evaluation(row) == last[_place(row)]]

    def evaluated_steps(self) -> set[int]:
        """Steps with at least one metric."""
        return {
            row["step"]
            for row in whole_rows(self.metrics, METRICS)
            if row["status"] == "ok" and row.get("step") is not None
        }

    def add_evaluation(
        self, samples: Iterable[Mapping[str, Any]], metrics: Iterable[Mapping[str, Any]], evaluation: Mapping[str, Any]
    ) -> None:
        """Write the samples and metrics of one evaluation, and that it was made."""
        with self.writing():
            migrate(self.path)
            append_rows(self.samples, samples)
            append_rows(self.metrics, metrics)
            append_rows(self.evaluations, [evaluation])
            if self.samples.exists() and self.samples.stat().st_size > LONG_JOURNAL:
                compact_samples(self.samples, self.sample_index)

    def replace_results(
        self,
        samples: Iterable[Mapping[str, Any]],
        replaced: Callable[[Mapping[str, Any]], bool],
        metrics: Iterable[Mapping[str, Any]],
    ) -> None:
        """Write samples and metrics of answers that were scored again; what comes meanwhile from others stays.

        Args:
            samples: Sample rows; each stands in for the earlier one of the same key.
            replaced: Whether a metric row goes.
            metrics: The metric rows that take their place.
        """
        with self.writing():
            migrate(self.path)
            append_rows(self.samples, samples)
            kept = [row for row in whole_rows(self.metrics, METRICS) if not replaced(row)]
            rewrite_rows(self.metrics, (*kept, *metrics))

    def replace_findings(self, diagnostic: str, steps: Collection[int | None] | None, rows: Iterable[Row]) -> None:
        """Write the findings of a diagnostic in place of its earlier ones.

        Args:
            diagnostic: Its name.
            steps: Only the earlier findings of these steps go; all by default.
            rows: The findings.
        """
        with self.writing():
            kept = [
                row
                for row in whole_rows(self.findings, FINDINGS)
                if row["diagnostic"] != diagnostic or (steps is not None and row.get("step") not in steps)
            ]
            rewrite_rows(self.findings, (*kept, *rows))

    def finding_rows(self) -> list[Row]:
        """What diagnostics found, in the order in which it was found."""
        return list(whole_rows(self.findings, FINDINGS))

    def begin_training_tokens(self, step: int) -> list[Row]:
        """The rows on training tokens up to a step at which a training begins or goes on; later ones are removed."""
        with self.writing():
            rows = list(whole_rows(self.training_tokens, TRAINING_TOKENS))
            kept = [row for row in rows if row["step"] <= step and row["tokens"]]
            if len(kept) < len(rows):
                rewrite_rows(self.training_tokens, kept)
        return kept

    def sample_rows(self, task: str | None = None) -> list[Row]:
        """The graded responses of a task, or of all, of equal keys the last. For much, ask `records.query`."""
        live = [row for row in whole_rows(self.samples, SAMPLES) if task in {None, row.get("task")}]
        rows = (*sample_rows(self.sample_index, task), *live)
        return list({tuple(row.get(name) for name in SAMPLES.key): row for row in rows}.values())

    def add_failure(self, step: int, tasks: Iterable[str], reason: str) -> None:
        """Record that an evaluation failed, and why."""
        at = now()
        with self.writing():
            failed = {"status": "failed", "reason": reason}
            append_rows(self.metrics, [{"step": step, "task": task, **failed, "evaluated_at": at} for task in tasks])
            append_rows(self.evaluations, [{"step": step, **failed, "at": at}])


def _metric_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in METRICS.key)


def _place(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("step"), row.get("task")


def _evaluation(row: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """Time, model and sampling settings: rows of one evaluation of a task agree in them."""
    return str(row.get("evaluated_at") or ""), row.get("model"), row.get("sampling_id")


def _as_records(path: Path, rows: Iterable[Row]) -> Iterator[GenerationRecord]:
    try:
        for row in rows:
            if row.get("schema") not in READABLE:
                raise RecordError(
                    f"{path}: schema {row.get('schema')!r}, this sftgen reads {' and '.join(map(str, READABLE))}; "
                    "use the version that wrote it, or another run directory"
                )
            yield GenerationRecord.from_dict(row)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"{error.filename or path} cannot be read or added to: {error.strerror or error}. It was left as it is; "
        "give this user the right to read and write it, or use another run directory"
    )
