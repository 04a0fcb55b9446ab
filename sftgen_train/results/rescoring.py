"""Scoring a run again from its records, without a model."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Judge, Sample
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.schema import GenerationRecord, Measure, doc_hash, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import Task, TaskResult, load_tasks
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.evaluation import task_result
from sftgen_tasks.harness.generation import GeneratedText
from sftgen_tasks.harness.graded import as_samples, process_results
from sftgen_train.results.run import replace_results

logger = logging.getLogger(__name__)

Origin = tuple[int | None, str, str]
"""Step, content id of the model, id of the sampling settings: answers that belong together."""


def rescore(
    folder: Path,
    tasks: Sequence[str] = (),
    judge: str | None = None,
    judge_options: Mapping[str, Any] | None = None,
) -> list[tuple[int | None, TaskResult]]:
    """Grade the generations of a run again and write its samples and metrics anew.

    Verdicts of the same rule and version are taken from the run; a raised version grades again. Answers of
    several models, or of several sampling settings, at one step are scored apart.

    Args:
        folder: Run directory.
        tasks: Which of its tasks, all by default.
        judge: Another judge than the task's own; exactly one of the tasks must be judged.
        judge_options: Settings of the judges, named `judge_<field>`. The run does not keep them.

    Returns:
        A result for each step, model and task.

    Raises:
        RecordError: Not a run directory, or a task that is not in it.
        DataError: A task's documents cannot be read, or differ from those of the run.
    """
    run = RunFolder(folder)
    documents = run.read_manifest().get("documents") or {}
    unknown = set(tasks) - set(documents)
    if unknown or not documents:
        raise RecordError(f"{str(folder)!r} holds no generations of {', '.join(sorted(unknown)) or 'any task'}")
    given = judge_options or {}
    chosen = {
        task: {**facts, "options": {**(facts.get("options") or {}), **given}}
        for task, facts in documents.items()
        if not tasks or task in tasks
    }
    run.require_writable()
    with one_load():
        if judge:
            _choose_judge(chosen, judge)
        results = [found for task, facts in chosen.items() for found in _rescore_task(run, task, facts)]
    replace_results(run, results)
    run.compact()
    return results


def _choose_judge(documents: dict[str, Any], judge: str) -> None:
    judged = [task for task in documents if isinstance(_load(task, documents[task]).grading.scorer(), Judge)]
    if len(judged) != 1:
        raise RecordError(
            f"judge {judge!r}: expected one judged task, found {', '.join(judged) or 'none'}; name it with --tasks"
        )
    [task] = judged
    options = documents[task].get("options") or {}
    documents[task] = {**documents[task], "options": {**options, "judge": {task: judge}}}


def _load(task: str, facts: Mapping[str, Any]) -> Task:
    options = facts.get("options") or {}
    # A manifest holds `~` in place of the home directory.
    files = {name: str(Path(options[name]).expanduser()) for name in ("data_dir", "subset") if name in options}
    return load_tasks([task], {**options, **files}).tasks[task]


def _rescore_task(run: RunFolder, task_name: str, facts: Mapping[str, Any]) -> Iterator[tuple[int | None, TaskResult]]:
    task = _load(task_name, facts)
    docs = {doc_hash(doc): doc for doc in task.test_docs()}
    answers: dict[Origin, dict[str, dict[int, GenerationRecord]]] = defaultdict(lambda: defaultdict(dict))
    for record in run.read_generations(task_name):
        answers[record.step, record.model, sampling_id(record.sampling)][record.doc_hash][record.repeat] = record
    _warn_of_several(task_name, answers)
    lengths = _known_lengths(run, task_name)
    for (step, model, _), by_doc in answers.items():
        foreign = by_doc.keys() - docs.keys()
        if foreign:
            raise RecordError(
                f"{task_name}: {len(foreign)} of {len(by_doc)} documents of the run are not in {facts.get('origin')} "
                "as it is now; point SFTGEN_DATA_DIR to the data the run was made with"
            )
        chosen = [name for name in docs if name in by_doc]
        texts = [[GeneratedText.of(record) for _, record in sorted(by_doc[name].items())] for name in chosen]
        kept: list[Sample] = []
        with recording(Recording(run, step, model)):
            verdicts = task.grading.apply(texts, [docs[name] for name in chosen])
        values: dict[str, list[Measure]] = defaultdict(list)
        for name, judged in zip(chosen, verdicts, strict=True):
            kept += as_samples(judged)
            for metric, value in process_results(docs[name], judged).items():
                values[metric].append(value)
        samples = [_with_length(sample, lengths) for sample in kept]
        yield step, task_result(task, dict(values), len(chosen), samples)


def _warn_of_several(task: str, answers: Mapping[Origin, Mapping[str, Any]]) -> None:
    """Warn about a step that holds answers of several models or settings: they are scored apart."""
    by_step: dict[int | None, list[Origin]] = defaultdict(list)
    for origin in answers:
        by_step[origin[0]].append(origin)
    for step, origins in by_step.items():
        if len(origins) > 1:
            counts = ", ".join(f"{len(answers[origin])} documents of {origin[1]}" for origin in origins)
            logger.warning(
                "%s: step %s holds answers of several models or sampling settings, scored apart: %s. "
                "Tables show those of the last evaluation",
                task, step, counts,
            )  # fmt: skip


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("model", "sampling_id", "step", "doc_hash", "repeat"))


def _known_lengths(run: RunFolder, task: str) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Tokens of thinking and answer, as the model's tokenizer counted them."""
    found = {}
    for row in run.sample_rows(task):
        if row.get("thinking_tokens") is not None:
            found[_key(row)] = (row["thinking_tokens"], row["answer_tokens"])
    return found


def _with_length(sample: Sample, lengths: Mapping[tuple[Any, ...], tuple[int, int]]) -> Sample:
    key = (sample.model, sample.sampling_id, sample.step, sample.doc_hash, sample.repeat)
    if sample.thinking_tokens is not None or key not in lengths:
        return sample
    thinking, answer = lengths[key]
    return replace(sample, thinking_tokens=thinking, answer_tokens=answer)
