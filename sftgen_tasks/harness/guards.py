"""What lm_eval lets through and would change a result without a word: refused, or undone and said.

lm_eval has no place for a plugin to look at what it evaluates, so its `evaluate` is wrapped, once a process.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording, current
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.heads import documents_of
from sftgen_judges.records.schema import content_hash, doc_hash
from sftgen_tasks.data.documents import loaded
from sftgen_tasks.harness.behind import Front
from sftgen_tasks.harness.patches import replaced

logger = logging.getLogger(__name__)

DOCUMENT_OPTIONS = ("subset", "docs_seed")
"""Metadata that chooses the documents of any task; a task's own name may hold more."""

_evaluated: ContextVar[Any] = ContextVar("evaluated", default=None)


class CacheError(SftgenError, ValueError):
    """A cache of lm_eval's that would serve responses or prompts of something else."""


def evaluated_model() -> Any:
    """The lm_eval model that is evaluated at the moment, None where lm_eval was not asked to, or does not need it."""
    found = _evaluated.get()
    return found.lm if isinstance(found, Front) else found


def refuse_caches(use_cache: Any, cache_requests: Any) -> None:
    """Refuse the caches of lm_eval for our tasks.

    Args:
        use_cache: `--use_cache`.
        cache_requests: Whether `--cache_requests` is to be used or rewritten.

    Raises:
        CacheError: One is asked for.
    """
    if use_cache:
        raise CacheError(
            "--use_cache: its key is the prompt alone, so that it serves the responses of another model. Leave it out; "
            "`sftgen eval --run DIR` makes every generation once, by model, prompt and sampling"
        )
    if cache_requests:
        raise CacheError(
            "--cache_requests: its key leaves out --gen_kwargs and the documents, so that it serves the requests of "
            "another command. Leave it out: our tasks build their requests in seconds"
        )


def guard_evaluations(kind: type[Any]) -> None:
    """Guard lm_eval's `evaluate`, if it is loaded: plain lm_eval calls it by its name."""
    evaluator: Any = sys.modules.get("lm_eval.evaluator")
    if evaluator is not None:
        evaluator.evaluate = guarded(evaluator.evaluate, kind)


def guarded(original: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    """lm_eval's `evaluate`, looking first at what it is given for tasks of a kind."""
    if getattr(original, "_sftgen", False):
        return original

    @wraps(original)
    def evaluate(lm: Any, task_dict: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        tasks = task_dict.get("tasks", {})
        ours: dict[str, Any] = {name: task for name, task in tasks.items() if isinstance(task, kind)}
        if not ours:
            return original(lm, task_dict, *arguments, **options)
        # lm_eval puts its cache around the model.
        refuse_caches(type(lm).__name__ == "CachingLM", options.get("cache_requests"))
        for name, task in ours.items():
            check_documents(current(), name, task.eval_docs)
        with _as_evaluated(lm), whole_thinking(lm, [name for name in tasks if name not in ours]):
            return original(lm, task_dict, *arguments, **options)

    evaluate._sftgen = True  # type: ignore[attr-defined]
    return evaluate


def check_documents(run: Recording, task: str, documents: Any) -> None:
    """Check that a run holds no responses to other documents of a task than those that are loaded.

    Args:
        run: The run.
        task: The task.
        documents: Its documents.

    Raises:
        RecordError: It does; names the options that differ.
    """
    if not run.folder.path.is_dir():
        return
    facts = (run.folder.manifest().get("documents") or {}).get(task)
    facts = facts if isinstance(facts, dict) else {}
    hashes = [doc_hash(doc) for doc in documents]
    if facts.get("sha256") == content_hash(sorted(hashes[: _number(facts.get("n"))])):
        return
    before, now = facts.get("options") or {}, loaded(task).metadata
    changed = [
        f"{name} was {before.get(name)!r}, is now {now.get(name)!r}"
        for name in (*DOCUMENT_OPTIONS, task)
        if facts and _without_size(before.get(name)) != _without_size(now.get(name))
    ]
    stored = documents_of(run.folder.path, task)
    missing = stored - set(hashes)
    if stored and (missing or changed):
        raise RecordError(
            f"run directory {str(run.folder.path)!r} holds responses to other documents of {task}: {len(missing)} of "
            f"{len(stored)} are not among those that are loaded now ({'; '.join(changed) or loaded(task).origin}). "
            "Use another run directory, or the documents that it was begun with"
        )


def _without_size(options: Any) -> Any:
    """More documents of the same kind are no other documents."""
    if not isinstance(options, Mapping):
        return options
    return {name: value for name, value in options.items() if name != "size"} or None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


@contextmanager
def _as_evaluated(lm: Any) -> Iterator[None]:
    token = _evaluated.set(lm)
    try:
        yield
    finally:
        _evaluated.reset(token)


def whole_thinking(lm: Any, others: Sequence[str] = ()) -> Any:
    """Inside, a model does not take the thinking off its responses: we read it ourselves.

    Args:
        lm: The model.
        others: Tasks that are not ours.

    Raises:
        SftgenError: Tasks that are not ours are evaluated with it, and may need it.
    """
    if getattr(lm, "think_end_token", None) is None:
        return nullcontext()
    if others:
        raise SftgenError(
            f"think_end_token={lm.think_end_token!r} takes the thinking off before sftgen can read it, and "
            f"{', '.join(others)} may need it: evaluate them in a command of their own"
        )
    logger.warning(
        "think_end_token=%r is not applied: it would take the thinking off the responses before they are counted and "
        "judged. sftgen tells thinking and answer apart itself (think_markers in docs/tasks.md)",
        lm.think_end_token,
    )
    return replaced(lm, "think_end_token", None)
