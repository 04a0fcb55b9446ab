"""`--model sftgen-replay`: stored outputs through the whole harness, as if a model had just written them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.evaluations import Origin, in_force
from sftgen_judges.records.schema import GenerationRecord, doc_hash, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.data.tables import SUFFIXES, stream_table
from sftgen_tasks.harness.generation import GeneratedText, repeat_numbers

Answers = Callable[[str, Mapping[str, Any]], list[str]]


class ReplayError(SftgenError):
    """Stored outputs that cannot be replayed."""


class ReplayLM(LM):  # type: ignore[misc]
    """Answers from what is stored: a run directory, lm_eval's samples, or any file with a column map."""

    takes_repeats = True

    def __init__(self, path: str, text: str = "", key: str = "", step: int | None = None, **_: Any) -> None:
        """Read stored outputs.

        Args:
            path: A run directory of sftgen, a folder or file of lm_eval's `samples_TASK_*.jsonl`, or any
                jsonl, json, csv or parquet file with `text` and `key`.
            text: Column of the output; a list is several repeats.
            key: `COLUMN:DOC_COLUMN`, which column of the file equals which one of the document.
            step: Of a run directory with several steps, which one.
            _: Batch size and device, which lm_eval passes to every model.

        Raises:
            ReplayError: Nothing there to replay.
            DataError: A file that cannot be read.
        """
        super().__init__()
        source = Path(path)
        if bool(text) != bool(key) or (key and ":" not in key):
            raise ReplayError("sftgen-replay: give both text=COLUMN and key=COLUMN:DOC_COLUMN, or neither")
        if text:
            self._answers = _from_columns(source, text, *key.split(":", 1))
        elif (source / "generations").is_dir():
            self._answers = _from_run(source, step)
        else:
            self._answers = _from_lm_eval(source)

    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False, repeats: Sequence[int] | None = None
    ) -> list[str]:
        """Look every request up.

        Raises:
            ReplayError: A document, or a repeat of one, for which nothing is stored.
        """
        numbers = repeat_numbers(requests) if repeats is None else repeats
        found, absent = [], []
        for request, repeat in zip(requests, numbers, strict=True):
            stored = self._answers(request.task_name or "", request.doc)
            if repeat < len(stored):
                found.append(stored[repeat])
            else:
                absent.append(f"{request.task_name}, document {request.doc_id}, repeat {repeat}")
        if absent:
            raise ReplayError(f"nothing stored for {len(absent)} of {len(requests)} samples, first {absent[0]}")
        return found

    def loglikelihood(self, requests: Sequence[Instance], **_: Any) -> Any:
        """Not stored.

        Raises:
            ReplayError: Always.
        """
        raise ReplayError("sftgen-replay holds generations, no likelihoods")

    loglikelihood_rolling = loglikelihood

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as they are: there is no model to format them for."""
        return "\n".join(message["content"] for message in chat_history)

    @property
    def tokenizer_name(self) -> str:
        """A replay has no tokenizer."""
        return ""


def _from_run(folder: Path, step: int | None) -> Answers:
    run = RunFolder(folder)
    tasks: dict[str, dict[str, dict[int, GenerationRecord]]] = {}

    def answers(task: str, doc: Mapping[str, Any]) -> list[str]:
        if task not in tasks:
            tasks[task] = _last_asked(run, task, step)
        stored = tasks[task].get(doc_hash(doc), {})
        return [GeneratedText.of(stored[repeat]) for repeat in sorted(stored)]

    return answers


def _last_asked(run: RunFolder, task: str, step: int | None) -> dict[str, dict[int, GenerationRecord]]:
    """The answers to a task by document and repeat: those that its last evaluation was about."""
    shown = in_force(run, task)
    prompts = {
        (row["doc_hash"], row["repeat"]): row.get("prompt_hash")
        for row in run.sample_rows(task)
        if Origin.of(row) in shown.values() and row.get("prompt_hash")
    }
    found: dict[str, dict[int, GenerationRecord]] = {}
    steps = set()
    for record in run.read_generations(task):
        if step is not None and record.step != step:
            continue
        steps.add(record.step)
        asked = shown.get(record.step)
        place = record.doc_hash, record.repeat
        # The metrics of an older run do not say what generated the answers.
        if asked and {asked.model, asked.sampling_id} - {None, record.model, sampling_id(record.sampling)}:
            continue
        if prompts.get(place, record.prompt_hash) == record.prompt_hash:
            found.setdefault(record.doc_hash, {})[record.repeat] = record
    if len(steps) > 1:
        raise ReplayError(f"{run.path}: {task} has steps {sorted(steps, key=str)}; choose one with step=N")
    return found


def _from_lm_eval(source: Path) -> Answers:
    files = sorted(source.rglob("samples_*.jsonl")) if source.is_dir() else [source]
    if not files or not files[0].is_file():
        raise ReplayError(f"{str(source)!r}: neither a run directory nor lm_eval's samples_TASK_*.jsonl")

    @cache
    def stored() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in files:  # by name, so that a later run's files win
            for row in stream_table(path):
                if "doc" not in row or "resps" not in row:
                    raise ReplayError(f"{path}: not lm_eval's samples; pass text=COLUMN and key=COLUMN:DOC_COLUMN")
                found[doc_hash(row["doc"])] = list(_flat(row["resps"]))
        return found

    return lambda task, doc: stored().get(doc_hash(doc), [])


def _from_columns(path: Path, text: str, column: str, doc_column: str) -> Answers:
    if not path.name.endswith(SUFFIXES):
        raise ReplayError(f"{str(path)!r}: expected a file with one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ReplayError(f"{str(path)!r}: no such file")

    @cache
    def stored() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for number, row in enumerate(stream_table(path), 1):
            for wanted in (text, column):
                if wanted not in row:
                    raise ReplayError(f"{path}, row {number}: no column {wanted!r}; found {', '.join(row)}")
            found.setdefault(str(row[column]), []).extend(_flat(row[text]))
        return found

    return lambda task, doc: stored().get(str(doc.get(doc_column)), [])


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield "" if value is None else str(value)
