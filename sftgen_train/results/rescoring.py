"""Scoring a run again from its records, without a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Judge, Sample
from sftgen_judges.records.schema import GenerationRecord, Measure, doc_hash
from sftgen_judges.records.store import Recording, read_generations, read_manifest, recording
from sftgen_tasks import TaskResult, load_tasks
from sftgen_tasks.harness.evaluation import task_result
from sftgen_tasks.harness.generation import GeneratedText
from sftgen_tasks.harness.task import process_results
from sftgen_train.results.run import Run, RunError


def rescore(folder: Path, tasks: Sequence[str] = (), judge: str | None = None) -> list[tuple[int | None, TaskResult]]:
    """Grade the generations of a run again and write its samples and metrics anew.

    Verdicts of the same rule and version are taken from the run; a raised version grades again.

    Args:
        folder: Run directory.
        tasks: Which of its tasks, all by default.
        judge: Another judge than the task's own; there has to be one judged task only.

    Returns:
        A result for each step and task.

    Raises:
        RunError: Not a run directory, or a task that is not in it.
        DataError: A task's documents cannot be read, or are not those of the run.
    """
    documents = read_manifest(folder).get("documents") or {}
    unknown = set(tasks) - set(documents)
    if unknown or not documents:
        raise RunError(f"{str(folder)!r} holds no generations of {', '.join(sorted(unknown)) or 'any task'}")
    chosen = {task: facts for task, facts in documents.items() if not tasks or task in tasks}
    if judge:
        _choose_judge(chosen, judge)
    results = [result for task, facts in chosen.items() for result in _rescore_task(Recording(folder), task, facts)]
    Run(folder).replace_results(results)
    return results


def _choose_judge(documents: dict[str, Any], judge: str) -> None:
    judged = [task for task in documents if isinstance(_load(task, documents[task]).grading.scorer(), Judge)]
    if len(judged) != 1:
        raise RunError(
            f"judge {judge!r}: expected one judged task, found {', '.join(judged) or 'none'}; name it with --tasks"
        )
    [task] = judged
    options = documents[task].get("options") or {}
    documents[task] = {**documents[task], "options": {**options, "judge": {task: judge}}}


def _load(task: str, facts: dict[str, Any]) -> Any:
    options = facts.get("options") or {}
    # A manifest tells no home directory.
    files = {name: str(Path(options[name]).expanduser()) for name in ("data_dir", "subset") if name in options}
    return load_tasks([task], {**options, **files})["tasks"][task]


def _rescore_task(run: Recording, task_name: str, facts: dict[str, Any]) -> Iterator[tuple[int | None, TaskResult]]:
    task = _load(task_name, facts)
    docs = {doc_hash(doc): doc for doc in task.test_docs()}
    steps: dict[int | None, dict[str, dict[int, GenerationRecord]]] = defaultdict(lambda: defaultdict(dict))
    for record in read_generations(run, task_name):
        steps[record.step][record.doc_hash][record.repeat] = record
    for step, by_doc in steps.items():
        foreign = by_doc.keys() - docs.keys()
        if foreign:
            raise RunError(
                f"{task_name}: {len(foreign)} of {len(by_doc)} documents of the run are not in {facts.get('origin')} "
                "as it is now; point SFTGEN_DATA_DIR to the data the run was made with"
            )
        chosen = [name for name in docs if name in by_doc]
        texts = [[GeneratedText.of(record) for _, record in sorted(by_doc[name].items())] for name in chosen]
        kept: list[Sample] = []
        with recording(replace(run, step=step, samples=kept)):
            verdicts = task.grading.apply(texts, [docs[name] for name in chosen])
        values: dict[str, list[Measure]] = defaultdict(list)
        for name, judged in zip(chosen, verdicts, strict=True):
            for metric, value in process_results(docs[name], judged).items():
                values[metric].append(value)
        yield step, task_result(task, dict(values), len(chosen), kept)
