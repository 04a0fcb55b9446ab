"""The questions of benchmarks, as contamination looks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import doc_hash
from sftgen_tasks import load_tasks
from sftgen_tasks.data.loading import one_load

QUESTION = ("problem", "Question", "question", "question_content", "user_query", "instruction", "prompt")
"""Columns of a document that hold its question; the first that there is."""
PASSAGE = ("knowledge", "dialogue_history", "document", "passage", "context")
"""Columns with a text that the question is about. Others than the benchmark may use it too."""
ANSWER = ("answer", "Correct Answer", "best_answer", "right_answer", "right_response", "right_summary")


@dataclass(frozen=True)
class Item:
    """A question of a benchmark.

    Attributes:
        task: The task.
        benchmark: The benchmark that the task is a part of.
        doc_hash: Hash of the document, as in records.
        question: Its question, without the benchmark's instructions.
        passage: The text that it is about, or nothing.
        answer: The right answer, or nothing where there is none to compare.
    """

    task: str
    benchmark: str
    doc_hash: str
    question: str
    passage: str = ""
    answer: str = ""


def load_items(
    names: Sequence[str], metadata: Mapping[str, Any] | None = None, limit: int | None = None
) -> tuple[list[Item], dict[str, str]]:
    """The questions of tasks, and the benchmarks that cannot be loaded with the reason.

    Args:
        names: Task and group names.
        metadata: Options of the tasks, as an evaluation gives them.
        limit: Only the first documents of each task.

    Raises:
        UnknownTaskError: A name matches nothing.
    """
    from sftgen_tasks.harness.catalogue import benchmarks
    from sftgen_tasks.harness.loading import OwnTaskManager, resolve_tasks

    manager = OwnTaskManager(dict(metadata or {}))
    leaves = [leaf for name in resolve_tasks(names, manager) for leaf in manager.leaves(name)]
    of = benchmarks({group: manager.members(group) or () for group in manager.all_groups})
    items: list[Item] = []
    left_out: dict[str, str] = {}
    # One after the other: a task without its data must not take the others with it. A hub that cannot be reached is
    # tried once.
    with one_load():
        for leaf in leaves:
            try:
                with without_hints():
                    loaded = load_tasks([leaf], manager=manager)
            except SftgenError as error:
                left_out[of.get(leaf, leaf)] = str(error)
                continue
            for name, task in loaded.tasks.items():
                found = [item_of(name, doc, of.get(name, name)) for doc in islice(task.test_docs(), limit)]
                items += filter(None, found)
                if not any(found):
                    left_out[of.get(name, name)] = (
                        f"{name}: no column of its documents is named {' or '.join(QUESTION)}"
                    )
    return items, left_out


def item_of(task: str, doc: Mapping[str, Any], benchmark: str | None = None) -> Item | None:
    """The question of a document; None where no column holds one."""
    question = _first(doc, QUESTION)
    if not question:
        return None
    return Item(task, benchmark or task, doc_hash(doc), question, _first(doc, PASSAGE), _first(doc, ANSWER))


@contextmanager
def without_hints() -> Iterator[None]:
    """For what judges nothing: no task says which settings its judge needs."""
    hints = logging.getLogger("sftgen_tasks")
    level = hints.level
    hints.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hints.setLevel(level)


def _first(doc: Mapping[str, Any], columns: Sequence[str]) -> str:
    return next((doc[name] for name in columns if isinstance(doc.get(name), str) and doc[name].strip()), "")
