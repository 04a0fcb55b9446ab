"""reasoning-gym's generators as sources of prompts with answers that can be verified.

A row asks a question of one of the library's tasks and answers it between `<answer>` tags. `metadata` keeps what the
task's scorer needs as JSON, so that the grader `reasoning-gym` scores any response to the row later, for example a
teacher's in `sftgen curate`, with the library's own rule.

A response is a stranger's text. Scorers that evaluate it as code or as a formula are never called with one: of tasks
whose module calls `eval`, `exec`, sympy's parser or the like, a response is right if it equals the library's answer.
A score below 1 is wrong: the library's part marks are for reinforcement learning.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.readers.boxed import last_boxed, last_tag
from sftgen_train.curation.sets import TrainingSet, write_rows

PROMPT = "{question}\n\nGive the final answer between <answer> and </answer>."
LONGEST = 20_000
"""Characters of an answer that a scorer is given."""
_UNSAFE = {
    "eval", "exec", "compile", "parse_expr", "sympify", "S", "parse_latex", "lambdify", "loads", "__import__", "system",
    "run", "Popen", "check_output", "simplify",
}  # fmt: skip
_IN_VAIN = 20
"""So many draws a row wanted end the search."""

Score = Callable[[str, Mapping[str, Any]], float]


class GymError(SftgenError):
    """No such task, or too few of its questions."""


def write_gym(
    folder: Path, task: str, *, rows: int, seed: int = 0, options: Mapping[str, Any] | None = None
) -> TrainingSet:
    """Make different questions of a task and write them, see `write_rows`.

    Args:
        folder: Where to.
        task: A task of reasoning-gym, for example `leg_counting`.
        rows: How many questions.
        seed: Seed of the generator.
        options: Fields of the task's own configuration.

    Raises:
        GymError: The library is absent, has no such task, or the task takes no such options or has too few questions.
        SetError: The folder holds something else.
    """
    made = _rows(task, rows, seed, dict(options or {}))
    first = next(made)  # mistakes are told before anything is written
    recipe = {"reasoning_gym": task, "rows": rows, "seed": seed, "options": dict(options or {}), "version": 1}
    card = f"Questions of the task `{task}` of reasoning-gym, each with the library's answer."
    return write_rows(folder, {**recipe, "library": _library().__version__}, chain([first], made), rows, card=card)


def _rows(task: str, rows: int, seed: int, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    source = _source(task, seed=seed, size=_IN_VAIN * rows, **options)
    seen: set[str] = set()
    unverified = 0
    for place in range(_IN_VAIN * rows):
        if len(seen) == rows:
            return
        row = _row(task, seed, place, source[place])
        key = content_hash(row["question"])
        if key in seen:
            continue
        if grade(row, Response(row["completion"], answer=row["completion"])).score != 1:
            unverified += 1
            continue
        seen.add(key)
        yield row
    if len(seen) < rows:
        raise GymError(
            f"{task}: {_IN_VAIN * rows:,} draws gave {len(seen):,} different questions whose own answer is verified, "
            f"not {rows:,} ({unverified:,} answers did not pass); ask for fewer rows or set other options"
        )


def _row(task: str, seed: int, place: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    question, answer = str(entry["question"]), str(entry["answer"])
    return {
        "id": f"reasoning-gym-{task}-{seed}-{place}",
        "prompt": PROMPT.format(question=question),
        "completion": f"<answer>\n{answer}\n</answer>",
        "question": question,
        "answer": answer,
        "task": task,
        "metadata": json.dumps(entry.get("metadata", {}), sort_keys=True, default=str),
    }


# ------------------------------------------------------------------------------ grading


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score a response by the rule of the task that asked."""
    answer = last_tag(response.answer, "answer") or last_boxed(response.answer)
    if answer is None or len(answer) > LONGEST:
        return Verdict.of(response, None, 0, reason="no answer" if answer is None else f"above {LONGEST:,} characters")
    if answer.strip() == str(doc["answer"]).strip():
        return Verdict.of(response, answer, 1)
    score = scorer(str(doc["task"]))
    if score is None:
        return Verdict.of(response, answer, 0, reason="is not the answer; other forms of it are not known")
    entry = {"question": doc["question"], "answer": doc["answer"], "metadata": json.loads(doc["metadata"])}
    try:
        found = float(score(answer.strip(), entry))
    except Exception as error:  # a stranger's answer, read by a stranger's code
        return Verdict.of(response, answer, 0, reason=f"the scorer of {doc['task']} fails: {type(error).__name__}")
    return Verdict.of(response, answer, found >= 1, reason=f"scores {found:.2f}")


GRADER = Grader("reasoning-gym", version=1, grade=grade)


@cache
def scorer(task: str) -> Score | None:
    """The library's scorer of a task; None where it could run what it is given.

    Raises:
        GymError: There is no such task.
    """
    source = _source(task, seed=0, size=1)
    scores: Score = source.score_answer
    owner = next(each for each in type(source).__mro__ if "score_answer" in vars(each))
    return scores if is_safe(inspect.getsource(sys.modules[owner.__module__])) else None


def is_safe(code: str) -> bool:
    """Whether a module calls nothing that evaluates text, by the names that it calls.

    >>> is_safe("json.loads(x)"), is_safe("def f(x): return eval(x)"), is_safe("sympy.parse_expr(x)")
    (True, False, False)
    """
    called = [call.func for call in ast.walk(ast.parse(code)) if isinstance(call, ast.Call)]
    return not _UNSAFE & {_name(function) for function in called}


def _name(function: ast.expr) -> str:
    """The last part of what is called; nothing for `json.loads`, which only reads."""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return "" if isinstance(owner, ast.Name) and owner.id == "json" else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _library() -> Any:
    try:
        return import_module("reasoning_gym")
    except ImportError as error:
        raise GymError(f"reasoning-gym cannot be imported ({error}): pip install 'sftgen[reasoning-gym]'") from error


def _source(task: str, **options: Any) -> Any:
    library = _library()
    known = library.factory.DATASETS
    if task not in known:
        raise GymError(f"reasoning-gym has no task {task!r}{did_you_mean(task, known)}")
    try:
        return library.create_dataset(task, **options)
    except (TypeError, ValueError, AssertionError, AttributeError) as error:
        raise GymError(f"reasoning-gym's task {task!r} does not take these options: {error}") from error
