"""The answers of a run that are in force, read a few at a time, as those who label them need them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Diagnostic, Sample
from sftgen_judges.records.columns import literal
from sftgen_judges.records.markers import ThinkMarkers
from sftgen_judges.records.query import Records
from sftgen_judges.records.schema import GenerationRecord, Response, Verdict, doc_hash
from sftgen_judges.records.tables import hash_ranges
from sftgen_judges.records.thinking import read_record

logger = logging.getLogger(__name__)

ROWS = 200
"""Answers that are read at once: a text may have a megabyte."""
JOINED = 32 << 20
"""Bytes of samples and texts that are joined at once."""
_ROW, _TOKEN = 500, 5  # bytes: of a row beside its text, of a token
_TEXTS = (
    "text", "reasoning", "prompt_tokens", "budget", "prefilled", "exact", "markers", "turn_end", "template_hash",
)  # fmt: skip
# Which text a sample is of; runs from before schema 3 do not say all of it.
_SAME = """t.task = s.task AND t.doc_hash = s.doc_hash AND t.repeat = s.repeat AND t.step IS NOT DISTINCT FROM s.step
    AND (s.model IS NULL OR t.model = s.model) AND (s.sampling_id IS NULL OR t.sampling_id = s.sampling_id)
    AND (s.prompt_hash IS NULL OR t.prompt_hash = s.prompt_hash)"""


def tasks_of(records: Records) -> list[str]:
    """The tasks of a run that have graded answers."""
    return [row["task"] for row in records.sql("SELECT DISTINCT task FROM samples ORDER BY task").rows()]


def answers_of(records: Records, task: str, facts: Mapping[str, Any], *, texts: bool) -> Iterator[Sample]:
    """The graded answers to a task at every step. Memory is that of some of them.

    Args:
        records: The run.
        task: The task.
        facts: What its manifest tells of the documents of the task.
        texts: Whether their texts are read; an answer whose text is lost is then left out, and told.
    """
    from sftgen_tasks.harness.loading import reading_of  # lm_eval: 140 MB

    markers, prefilled = reading_of(task, facts.get("options") or {})
    lost = damaged = 0
    for row in _with_texts(records, task) if texts else _rows(records, "SELECT * FROM samples WHERE task = ?", (task,)):
        if texts and row["text"] is None:
            lost += 1
            continue
        try:
            yield _sample(row, markers, prefilled, texts=texts)
        except (ValueError, TypeError):  # a damaged row, or one of a later version
            damaged += 1
    if lost:
        logger.warning("%s: the texts of %d answers are lost: they have no labels", task, lost)
    if damaged:
        logger.warning("%s: %d answers cannot be read: they have no labels", task, damaged)


def _with_texts(records: Records, task: str) -> Iterator[dict[str, Any]]:
    """The rows of a task with their texts, some documents at a time: to join them takes memory."""
    [size] = records.sql("SELECT count(*) AS n, sum(tokens) AS tokens FROM samples WHERE task = ?", (task,)).rows()
    named = ", ".join(f't."{name}"' for name in _TEXTS)
    for low, high in hash_ranges((size["n"] * _ROW + (size["tokens"] or 0) * _TOKEN) / JOINED):
        upper = f"doc_hash < {literal(high)}" if high else "TRUE"
        of = f"(SELECT * FROM {{}} WHERE task = ? AND doc_hash >= {literal(low)} AND {upper})"
        query = f"SELECT s.*, {named} FROM {of.format('samples')} AS s LEFT JOIN {of.format('texts')} AS t ON {_SAME}"
        yield from _rows(records, query, (task, task))


def _rows(records: Records, query: str, parameters: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for batch in records.sql(query, parameters).batches(ROWS):
        yield from batch.to_pylist()


def _sample(row: Mapping[str, Any], markers: ThinkMarkers | None, prefilled: bool | None, *, texts: bool) -> Sample:
    if texts:
        facts = {**row, "sampling": {}, "schema": 2}
        facts["prefilled"], facts["exact"] = bool(row["prefilled"]), bool(row["exact"])
        response = read_record(GenerationRecord.from_dict(facts), markers, prefilled)
    else:
        response = Response("", row["think"] or "none", "", "", row["tokens"], row["finish_reason"])
    measures = json.loads(row["measures"]) if row["measures"] else {}
    return Sample(
        row["task"], row["step"], row["doc_hash"], row["repeat"], response,
        Verdict(row["status"], row["score"], row["paper"], row["answer"], measures=measures),
        model=row["model"], sampling_id=row["sampling_id"], doc_id=row["doc_id"],
        thinking_tokens=row["thinking_tokens"], answer_tokens=row["answer_tokens"], scorer=row["scorer"],
        evaluation_version=row["evaluation_version"], prompt_hash=row["prompt_hash"], cluster=row["cluster"],
    )  # fmt: skip


Seen = Callable[[Sample], tuple[Mapping[str, Any], str]]


class Documents:
    """The documents of tasks, loaded for the diagnostics that need them, each task once."""

    def __init__(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what the manifest says of each task's documents."""
        self._facts = facts
        self._load = cache(self._loaded)

    def seen_by(self, diagnostic: Diagnostic, task: str) -> Seen:
        """What a diagnostic sees beside the response: the document and the prompt.

        Raises:
            DiagnosticError: The documents cannot be loaded.
        """
        if not {"question", "prompt"} & {*diagnostic.needs}:
            return lambda _: ({}, "")
        docs, prompt = self._load(task)

        def seen(sample: Sample) -> tuple[Mapping[str, Any], str]:
            doc = docs.get(sample.doc_hash)
            if doc is None:
                raise DiagnosticError(
                    f"needs the documents of {task}, and that of {sample.doc_id} is not in the task as it is now; "
                    "point SFTGEN_DATA_DIR to the data the run was made with"
                )
            return doc, prompt(doc) if "prompt" in diagnostic.needs else ""

        return seen

    def _loaded(self, task: str) -> tuple[Mapping[str, Mapping[str, Any]], Callable[[Mapping[str, Any]], str]]:
        from sftgen_train.results.rescoring import load_task

        try:
            loaded = load_task(task, self._facts.get(task) or {})
        except SftgenError as error:
            raise DiagnosticError(f"needs the documents of {task}: {error}") from error
        return {doc_hash(doc): doc for doc in loaded.test_docs()}, lambda doc: str(loaded.doc_to_text(dict(doc)))


def documents_facts(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a manifest, which may be a stranger's, says of the documents of each task."""
    known = manifest.get("documents")
    return {task: facts for task, facts in known.items() if isinstance(facts, dict)} if isinstance(known, dict) else {}
