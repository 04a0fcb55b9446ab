"""Scores at token budgets: each stored response is truncated after so many tokens and scored again, without a model.

So does the paper's code for its math benchmarks (arXiv 2604.06628, `evaluation/math_eval/math_eval_budget.py`).
Thinking counts as the model wrote it. The samples of the run stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftgen_judges.errors import first_line
from sftgen_judges.plugins.contracts import Judge, Sample
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.evaluations import Origin
from sftgen_judges.records.schema import GenerationRecord, doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import Task
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.graded import process_results
from sftgen_train.results.rescoring import (
    Found,
    choose_judge,
    documents_of,
    graded,
    load_task,
    require_documents,
    warn_of_several,
)
from sftgen_train.results.run import at_budget, budget_of, estimate_rows
from sftgen_train.results.stored import Chunk, chunks, find_answers

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Hear = Callable[[str, "int | None", int, Sequence[Sample]], None]
FAR = 0.02
"""Share by which a tokenizer may count other than the records do before it is told."""


def parse_budgets(text: str) -> list[int]:
    """`500,1000,2000`, in order, each once.

    Raises:
        RecordError: Something else than whole numbers from 1 on.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or any(not word.isascii() or not word.isdigit() or not 0 < len(word) < 10 for word in words):
        raise RecordError(f"--budgets {text!r}: expected whole numbers of tokens, for example 500,1000,2000")
    if not all(map(int, words)):
        raise RecordError(f"--budgets {text!r}: a budget has at least 1 token")
    return sorted(set(map(int, words)))


def rescore_at_budgets(
    folder: Path,
    budgets: Sequence[int],
    tasks: Sequence[str] = (),
    *,
    tokenizer: str | None = None,
    judge: str | None = None,
    judge_options: Mapping[str, Any] | None = None,
    hear: Hear | None = None,
) -> list[Row]:
    """Score a run's responses as if each had ended after so many tokens, and add the scores to its metrics.

    A response that is not longer stays as it is; a longer one counts as truncated. Verdicts are kept by content: a
    command that was killed goes on. The metrics are written when a task is done.

    Args:
        folder: Run directory.
        budgets: Numbers of tokens.
        tasks: Which of its tasks; by default those that no judge's model scores.
        tokenizer: Folder or hub id of the responses' model.
        judge: Another judge than the task's own; exactly one of the tasks must be judged.
        judge_options: Settings of the judges, named `judge_<field>`.
        hear: Called with each task, step and budget, and the samples at it: they are not stored.

    Returns:
        The metric rows that were written; their metrics begin with `budget=N/`.

    Raises:
        RecordError: Not a run directory, a task that is not in it, no tokenizer, or nothing to score.
        DataError: A task's documents cannot be read, or differ from those of the run.
    """
    run, budgets = RunFolder(folder), sorted(set(budgets))
    chosen = documents_of(run, tasks, judge_options)
    tokens_of = ModelTokenizer.of(tokenizer, run)
    run.require_writable()
    run.compact()
    written: list[Row] = []
    with one_load():
        if judge:
            choose_judge(chosen, judge)
        for name, facts in chosen.items():
            task = load_task(name, facts)
            if _asks(task.grading.scorer()) and name not in tasks:
                logger.warning(
                    "%s: left out, since its judge would be asked about every truncated response; name it with "
                    "--tasks to ask", name,
                )  # fmt: skip
                continue
            scored = _rescore_task(run, task, facts, budgets, tokens_of)
            rows = _rows(run, task, scored)
            for (origin, budget), found in scored.items():
                (hear or _ignore)(name, origin.step, budget, list(found.samples.values()))
            _write(run, budgets, rows)
            written += rows
    if not written:
        raise RecordError(f"{str(folder)!r}: no responses to score at a budget, see above")
    return written


def _ignore(*_: Any) -> None:
    """Nobody hears the samples."""


def _asks(scorer: object) -> bool:
    """Whether a scorer asks a model."""
    return isinstance(scorer, Judge) and bool(scorer.needs or any(map(_asks, scorer.parts)))


def _rescore_task(
    run: RunFolder, task: Task, facts: Mapping[str, Any], budgets: Sequence[int], tokens_of: ModelTokenizer
) -> dict[tuple[Origin, int], Found]:
    name = task.config.task
    docs = {doc_hash(doc): doc for doc in task.test_docs()}
    answers = [found for found in find_answers(run, name, list(docs), facts.get("template_sha256")) if found.prompts]
    for found in answers:
        if found.lost:
            logger.warning(
                "%s, step %s: %d responses are lost; the scores are of the others", name, found.origin.step, found.lost
            )
    warn_of_several(name, answers)
    require_documents(name, facts, answers, docs)
    scored = {(each.origin, budget): Found(each) for each in answers for budget in budgets}
    for chunk in chunks(run, name, answers):
        for origin, by_doc in chunk.items():
            for budget, shorter in _truncated(by_doc, budgets, tokens_of):
                for document, judged in graded(run, task, origin, shorter, docs):
                    scored[origin, budget].add(document, judged, process_results(docs[document], judged))
    tokens_of.tell(name)
    return scored


def _rows(run: RunFolder, task: Task, scored: Mapping[tuple[Origin, int], Found]) -> list[Row]:
    begun, docs = run.run_id(), [doc_hash(doc) for doc in task.test_docs()]
    rows: list[Row] = []
    for (origin, budget), each in scored.items():
        about = {"run": begun, "evaluated_at": each.answers.at}
        rows += estimate_rows(origin.step, each.result(task, docs), about, at_budget(budget))
    return rows


def _truncated(by_doc: Chunk, budgets: Sequence[int], tokens_of: ModelTokenizer) -> Iterator[tuple[int, Chunk]]:
    """The answers to some documents at each budget; each text is taken apart once."""
    places = {id(record): tokens_of.places(record, budgets[0]) for records in by_doc.values() for record in records}
    for budget in budgets:
        shorter = {
            document: [truncate(record, budget, *places[id(record)]) for record in records]
            for document, records in by_doc.items()
        }
        yield budget, shorter


def truncate(record: GenerationRecord, budget: int, thinking: Sequence[int], text: Sequence[int]) -> GenerationRecord:
    """A generation as it would be, had it ended after `budget` tokens.

    Args:
        record: The generation. One that is not longer comes back as it is.
        budget: Number of tokens.
        thinking: Where the tokens of its `reasoning` begin, if a server sent it apart: it was written first.
        text: Where the tokens of its `text` begin.
    """
    counted = len(thinking) + len(text)
    tokens = counted if record.tokens is None else record.tokens
    if tokens <= budget:
        return record
    ended = replace(record, tokens=budget, finish_reason="length")
    if record.reasoning is None:
        return replace(ended, text=_first(record.text, text, budget))
    # Tokens that are in neither part are thinking that the server hides, and markers.
    left = budget - len(thinking) - max(0, tokens - counted)
    if left > 0:
        return replace(ended, text=_first(record.text, text, left))
    return replace(ended, reasoning=_first(record.reasoning, thinking, budget), text="")


def _first(text: str, places: Sequence[int], number: int) -> str:
    return text[: places[number]] if number < len(places) else text


class ModelTokenizer:
    """Takes texts apart into tokens as a model does."""

    def __init__(self, name: str, encode: Any) -> None:
        """Keep what encodes.

        Args:
            name: Of the model or folder that it is of.
            encode: From a text to an encoding with `offsets`.
        """
        self.name, self._encode = name, encode
        self._counted = self._recorded = self._texts = 0

    @classmethod
    def of(cls, name: str | None, run: RunFolder) -> ModelTokenizer:
        """The tokenizer of a folder or hub id.

        What a run's manifest names is told and not followed: a run may be a stranger's.

        Raises:
            RecordError: None is named, or it cannot be loaded. No code that comes with it is run.
        """
        if not name:
            named = str(run.read_manifest().get("model") or "")
            raise RecordError(
                "--budgets truncates responses with the tokenizer of their model: name its folder or hub id, "
                f"--tokenizer {repr(named) if named else 'PATH'}" + (", as the run's manifest does" if named else "")
            )
        path = str(Path(name).expanduser()) if name.startswith("~") else name
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            backend = tokenizer.backend_tokenizer
            known = bool(backend.encode("0 a", add_special_tokens=False).offsets)
            why = "" if known else "it has no tokens"
        except Exception as error:  # no such folder, no network, code of its own, no fast tokenizer
            why = first_line(error)
        if why:
            raise RecordError(
                f"--tokenizer {name!r}: it cannot be loaded ({why}); name the folder or hub id of the responses' model"
            )
        logger.info("responses are truncated with the tokenizer of %s", name)
        return cls(name, lambda text: backend.encode(text, add_special_tokens=False))

    def places(self, record: GenerationRecord, smallest: int) -> tuple[list[int], list[int]]:
        """Where the tokens of a generation's `reasoning` and `text` begin.

        Nothing where no budget cuts it, since it is not longer than the smallest.
        """
        if record.tokens is not None and record.tokens <= smallest:
            return [], []
        found = self._starts(record.reasoning or ""), self._starts(record.text)
        if record.exact and record.tokens and record.reasoning is None:
            self._counted += len(found[1])
            self._recorded += record.tokens
            self._texts += 1
        return found

    def _starts(self, text: str) -> list[int]:
        return [start for start, _ in self._encode(text).offsets] if text else []

    def tell(self, task: str) -> None:
        """Warn if the records counted other tokens: then the tokenizer is hardly the model's."""
        off = abs(self._counted - self._recorded) - self._texts  # the end token is in no text
        if off > FAR * self._recorded:
            logger.warning(
                "%s: the tokenizer of %s counts %d tokens where the records say %d: is it the model's? Name that with "
                "--tokenizer", task, self.name, self._counted, self._recorded,
            )  # fmt: skip
        self._counted = self._recorded = self._texts = 0


def _write(run: RunFolder, budgets: Sequence[int], rows: Sequence[Row]) -> None:
    """Put metric rows in place of earlier ones of the same answers and budgets."""
    renewed = {(row["task"], Origin.of(row)) for row in rows}

    def replaced(row: Mapping[str, Any]) -> bool:
        found = budget_of(row)
        return found is not None and found[0] in budgets and (row.get("task"), Origin.of(row)) in renewed

    run.replace_results([], replaced, rows)
