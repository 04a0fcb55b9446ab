"""Results of other tools become evaluations of a run: what every format shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Imported, Importer, Log, Sample
from sftgen_judges.records.schema import Verdict
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.results.run import Row, add_results

OWN = frozenset({"score", "coverage", "truncated", "response_tokens"})
"""Metrics that are worked out here: one of another tool's with such a name gives way."""
LONGEST_ANSWER = 500
_STEP = re.compile(r"(\d{1,12})=(.+)", re.DOTALL)


class LogError(SftgenError):
    """Logs that cannot be imported."""


def find_steps(importer: Importer, given: Sequence[str]) -> dict[int, list[Log]]:
    """The logs of each step, of each task the newest.

    Args:
        importer: What reads them.
        given: `STEP=PATH`, or a path whose logs say their step.

    Raises:
        LogError: Not of this form, a step twice, or a log that does not say its step.
    """
    found: dict[int, dict[str, Log]] = {}
    named: set[int] = set()
    for each in given:
        match = _STEP.fullmatch(each)
        if match is None and not Path(each).exists():
            raise LogError(f"{each!r}: expected STEP=PATH, for example 100=results/step-100, or a path that exists")
        step, path = (int(match[1]), Path(match[2])) if match else (None, Path(each))
        if step in named:
            raise LogError(f"step {step} is given twice; expected each once")
        named |= {step} if step is not None else set()
        for log in importer.find(path):
            at = log.step if step is None else step
            if at is None:
                raise LogError(
                    f"{each!r}: expected STEP=PATH, for example 100={each}: {log.path} does not say its step"
                )
            of_step = found.setdefault(at, {})
            if log.task not in of_step or log.time >= of_step[log.task].time:
                of_step[log.task] = log
    return {step: [of[task] for task in sorted(of)] for step, of in sorted(found.items())}


def add_step(
    run: RunFolder, step: int, importer: Importer, logs: Iterable[Log], metric: str | None = None
) -> list[Row]:
    """Add the logs of one checkpoint to a run, as the evaluation of a step.

    Args:
        run: The run directory; it may be new.
        step: The training step.
        importer: What reads the logs.
        logs: One a task.
        metric: What becomes the score; by default what most would name first.

    Returns:
        The metric rows.

    Raises:
        SftgenError: A log cannot be read, or its score is no share.
    """
    results = []
    for log in logs:
        found = importer.read(log, step, metric)
        if not found.samples:
            raise LogError(f"{log.path}: holds no sample")
        if found.prompts:
            run.add_prompts(found.generations, found.prompts)
        run.add_generations(found.generations)
        results.append(_result(log.task, found))
    return add_results(run, step, results, 0.0)


def _result(task: str, found: Imported) -> TaskResult:
    # Of equal keys the last counts, as it does in the records.
    samples = list({(sample.doc_hash, sample.repeat): sample for sample in found.samples}.values())
    documents: dict[str, list[Sample]] = {}
    for sample in samples:
        documents.setdefault(sample.doc_hash, []).append(sample)
    values: dict[str, list[Any]] = {}
    # A log that does not say why responses ended says nothing of truncation, and one without counts nothing of lengths.
    ends = all(sample.response.finish_reason is not None for sample in samples)
    counted = all(sample.response.tokens is not None for sample in samples)
    for of in documents.values():
        numbers: dict[str, list[float]] = {}
        for sample in of:
            own = {"coverage": float(sample.verdict.score is not None), "score": sample.verdict.score}
            own |= {"truncated": float(sample.response.truncated)} if ends else {}
            own |= {"response_tokens": sample.response.tokens} if counted else {}
            measures = {name: value for name, value in sample.verdict.measures.items() if name not in OWN}
            for name, value in {**own, **measures}.items():
                if isinstance(value, int | float):
                    numbers.setdefault(name, []).append(float(value))
        for name, of_document in numbers.items():
            values.setdefault(name, []).append(fmean(of_document))
    return TaskResult(task, values, len(documents), samples, incomplete=found.incomplete)


def chosen_metric(task: str, numbers: Mapping[str, float], asked: str | None, preferred: Sequence[str]) -> str:
    """The metric that becomes the score: the one that was asked for, or the first of those preferred; empty if none.

    Raises:
        LogError: The task has no metric of the name that was asked for.
    """
    if asked is not None and asked not in numbers:
        raise LogError(f"{task}: has no metric {asked!r}; its metrics: {', '.join(numbers) or '(none)'}")
    if asked is not None:
        return asked
    return next((name for name in (*preferred, *numbers) if name in numbers), "")


def verdict_of(
    numbers: Mapping[str, float], chosen: str, *, answer: Any, why_none: str, where: str, reason: str = ""
) -> Verdict:
    """The verdict on a sample: its score, and the other numbers as measures.

    Args:
        numbers: What the log says of the sample.
        chosen: Which of them is the score.
        answer: What was read as the answer.
        why_none: What is said of a sample without a score.
        where: The sample, for messages.
        reason: What is said of one with a score.

    Raises:
        LogError: The score is no share.
    """
    score = numbers.get(chosen)
    if score is not None and not 0 <= score <= 1:
        raise LogError(
            f"{where}: {chosen} is {score:g}; a score is a share between 0 and 1: name such a metric with "
            f"--metric, of {', '.join(numbers)}"
        )
    return Verdict(
        "not_graded" if score is None else "ok",
        score,
        answer=answer[:LONGEST_ANSWER] if isinstance(answer, str) else None,
        reason=reason if score is not None else why_none,
        measures={name: value for name, value in numbers.items() if name not in OWN},
    )


def number_of(value: Any) -> float | None:
    """A number, or None of what is no finite one."""
    try:
        number = float(value) if isinstance(value, bool | int | float) else None
    except OverflowError:
        return None
    return number if number is not None and isfinite(number) else None
