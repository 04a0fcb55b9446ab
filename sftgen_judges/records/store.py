"""The rows of a run directory, written so that none is lost: texts, samples, metrics, findings. Its files: `layout`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.records.columns import FINDINGS, METRICS, PROMPTS, SAMPLES, TEXTS, TRAINING_TOKENS
from sftgen_judges.records.compaction import (
    compact_generations,
    compact_labels,
    compact_samples,
    generation_rows,
    sample_rows,
)
from sftgen_judges.records.errors import RecordError, unreadable
from sftgen_judges.records.folder import SharedFolder
from sftgen_judges.records.heads import other_model
from sftgen_judges.records.journal import append_rows, naming, rewrite_rows, whole_rows
from sftgen_judges.records.manifest import now
from sftgen_judges.records.migration import migrate
from sftgen_judges.records.prompts import shared_ends
from sftgen_judges.records.provenance import tally
from sftgen_judges.records.schema import READABLE, GenerationRecord
from sftgen_judges.records.tables import table_rows

Row = dict[str, Any]
LONG_JOURNAL = 4 << 20
"""Bytes of samples from which on they are compacted while the run goes on, so that a question to it stays fast."""


@dataclass(frozen=True)
class RunFolder(SharedFolder):
    """A run directory, to read and to write: the rows in it."""

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
        raise unreadable(path, error) from error
