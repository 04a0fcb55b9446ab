"""Scoring a run again from its records, without a model."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Judge, Sample
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.evaluations import Origin
from sftgen_judges.records.schema import Measure, doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import Task, TaskResult, load_tasks
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.documents import FILES
from sftgen_tasks.harness.evaluation import task_result
from sftgen_tasks.harness.graded import as_samples, process_results
from sftgen_train.results.run import Scored, replace_results
from sftgen_train.results.stored import Answers, Chunk, Place, WholeSamples, chunks, find_answers

logger = logging.getLogger(__name__)


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
    chosen = documents_of(run, tasks, judge_options)
    run.require_writable()
    run.compact()
    results: list[tuple[int | None, TaskResult]] = []
    with one_load():
        if judge:
            choose_judge(chosen, judge)
        for task, facts in chosen.items():
            scored = rescored(run, load_task(task, facts), facts)
            replace_results(run, scored)
            # What is written need not be held.
            results += [(found.step, replace(found.result, samples=[])) for found in scored]
    run.compact()
    return results


def documents_of(
    run: RunFolder, tasks: Sequence[str], judge_options: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """What the manifest says of the documents of tasks, with options of this command over it.

    Args:
        run: The run.
        tasks: Which of its tasks, all if none is named.
        judge_options: Settings of the judges, named `judge_<field>`.

    Raises:
        RecordError: Not a run directory, or a task that is not in it.
    """
    known = run.read_manifest().get("documents") or {}
    documents = {task: facts for task, facts in known.items() if isinstance(facts, dict)}
    unknown = set(tasks) - set(documents)
    if unknown or not documents:
        stock = sorted(path.stem for path in (run.path / "generations").glob("*.jsonl") if path.stem not in documents)
        raise RecordError(
            f"{str(run.path)!r} holds no generations of {', '.join(sorted(unknown)) or 'any task of sftgen'}"
            + (
                f"; {', '.join(stock)}: lm_eval scores its own tasks, `sftgen eval` with the same arguments"
                * bool(stock)
            )
        )
    given = judge_options or {}
    return {
        task: {**facts, "options": {**(facts.get("options") or {}), **given}}
        for task, facts in documents.items()
        if not tasks or task in tasks
    }


def choose_judge(documents: dict[str, Any], judge: str) -> None:
    """Give the one judged task another judge.

    Raises:
        RecordError: None of the tasks is judged, or several are.
    """
    judged = [task for task in documents if isinstance(load_task(task, documents[task]).grading.scorer(), Judge)]
    if len(judged) != 1:
        raise RecordError(
            f"judge {judge!r}: expected one judged task, found {', '.join(judged) or 'none'}; name it with --tasks"
        )
    [task] = judged
    options = documents[task].get("options") or {}
    documents[task] = {**documents[task], "options": {**options, "judge": {task: judge}}}


def load_task(task: str, facts: Mapping[str, Any]) -> Task:
    """A task with the documents that the manifest tells of."""
    options = facts.get("options") or {}
    # A manifest holds `~` in place of the home directory.
    files = {name: str(Path(options[name]).expanduser()) for name in FILES if name in options}
    return load_tasks([task], {**options, **files}).tasks[task]


def rescored(run: RunFolder, task: Task, facts: Mapping[str, Any]) -> list[Scored]:
    """The generations of one task, graded again; nothing of it is written yet but verdicts.

    Args:
        run: The run; it is compacted.
        task: The task.
        facts: What the manifest says of its documents.

    Raises:
        RecordError: A document of the run is none of the task.
    """
    task_name = task.grading.task
    docs = {doc_hash(doc): doc for doc in task.test_docs()}
    answers = find_answers(run, task_name, list(docs), facts.get("template_sha256"))
    if not answers:
        logger.warning("%s: %s holds no responses of it; what was scored before stays", task_name, run.path)
    answers = [found for found in answers if _can_be_scored(run, task_name, found)]
    warn_of_several(task_name, answers)
    require_documents(task_name, facts, answers, docs)
    found = {each.origin: Found(each) for each in answers}
    for chunk in chunks(run, task_name, answers):
        for origin, by_doc in chunk.items():
            for name, judged in graded(run, task, origin, by_doc, docs):
                found[origin].add(name, judged, process_results(docs[name], judged))
    found = {origin: each for origin, each in found.items() if _could_be_read(run, task_name, each)}
    if any(each.lengths_lost for each in found.values()):
        logger.warning(
            "%s: how many tokens of a response are thinking and how many are answer stood in the samples, which are "
            "gone; they are counted when the model generates, so they stay unknown", task_name,
        )  # fmt: skip
    return [each.scored(run, task, docs) for each in found.values()]


def graded(
    run: RunFolder, task: Task, origin: Origin, by_doc: Chunk, docs: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Documents with their graded answers.

    Args:
        run: Where verdicts are kept.
        task: The task.
        origin: What generated the answers.
        by_doc: The answers.
        docs: The task's documents by their hashes.
    """
    alike: dict[int, list[str]] = defaultdict(list)
    for name, records in by_doc.items():  # lm_eval has as many answers to each document: to fewer, some are lost
        alike[len(records)].append(name)
    for chosen in alike.values():
        with recording(Recording(run, origin.step, origin.model, part=True)):
            verdicts = task.grading.apply([by_doc[name] for name in chosen], [docs[name] for name in chosen])
        yield from zip(chosen, verdicts, strict=True)


@dataclass
class Found:
    """What was found of some answers, without their texts.

    Attributes:
        answers: The answers.
        samples: Their samples.
        values: By document and metric.
        lengths_lost: Whether the lengths of thinking and answer are not known any more.
    """

    answers: Answers
    samples: dict[Place, Sample] = field(default_factory=dict)
    values: dict[str, dict[str, Measure]] = field(default_factory=dict)
    lengths_lost: bool = False

    def add(self, document: str, judged: Any, values: dict[str, Measure]) -> None:
        """Add a document that was graded."""
        self.values[document] = values
        for sample in as_samples(judged):
            place = (document, sample.repeat)
            thinking, answer = sample.thinking_tokens, sample.answer_tokens
            if thinking is None:
                thinking, answer = self.answers.lengths.get(place, (None, None))
                self.lengths_lost |= thinking is None and sample.response.tokens is not None
            read = replace(sample.response, text="", thinking="", answer="")
            self.samples[place] = replace(sample, response=read, thinking_tokens=thinking, answer_tokens=answer)

    @property
    def unread(self) -> int:
        """How many answers were not read: texts may be damaged where the keys beside them are not."""
        return len(self.answers.prompts) - len(self.samples)

    def result(self, task: Task, docs: Iterable[str]) -> TaskResult:
        """The outcome, its samples without texts."""
        values: dict[str, list[Measure]] = defaultdict(list)
        for document in docs:
            for metric, value in self.values.get(document, {}).items():
                values[metric].append(value)
        result = task_result(task, dict(values), len(self.values), list(self.samples.values()))
        return replace(result, incomplete=True) if self.answers.lost or self.unread else result

    def scored(self, run: RunFolder, task: Task, docs: Iterable[str]) -> Scored:
        """What takes the place of the earlier result."""
        whole = WholeSamples(run, task, self.answers, self.samples)
        return Scored(self.answers.origin.step, self.result(task, docs), self.answers.at, whole)


def _could_be_read(run: RunFolder, task: str, found: Found) -> bool:
    """Whether answers that were chosen by their keys are scored, once their texts are read."""
    answers = replace(found.answers, lost=found.answers.lost + found.unread)
    return not found.unread or (_can_be_scored(run, task, answers) and bool(found.samples))


def _can_be_scored(run: RunFolder, task: str, answers: Answers) -> bool:
    """Whether answers are scored again: not where some are lost and the score of all of them stands."""
    if not answers.lost and answers.prompts:
        return True
    stands = any(Origin.of(row) == answers.origin for row in run.metric_rows() if row["task"] == task)
    where = f"{run.generations(task).with_suffix('')}.*"
    if stands or not answers.prompts:
        logger.warning(
            "%s, step %s: %d responses of its last evaluation are lost (%s); its samples and metrics stay as they "
            "were. The command that made them makes them again", task, answers.origin.step, answers.lost, where,
        )  # fmt: skip
        return False
    logger.warning(
        "%s, step %s: %d responses of its last evaluation are lost (%s): the result of the others is incomplete. "
        "The command that made them makes them again", task, answers.origin.step, answers.lost, where,
    )  # fmt: skip
    return True


def require_documents(task: str, facts: Mapping[str, Any], answers: Sequence[Answers], docs: Mapping[str, Any]) -> None:
    """Check that the documents of a run are those of the task as it is now.

    Raises:
        RecordError: Some are not.
    """
    for found in answers:
        foreign = found.documents - docs.keys()
        if foreign:
            raise RecordError(
                f"{task}: {len(foreign)} of {len(found.documents)} documents of the run are not in "
                f"{facts.get('origin')} as it is now; point SFTGEN_DATA_DIR to the data the run was made with"
            )


def warn_of_several(task: str, answers: Sequence[Answers]) -> None:
    """Warn about a step that holds answers of several models or settings: they are scored apart."""
    by_step: dict[int | None, list[Answers]] = defaultdict(list)
    for found in answers:
        by_step[found.origin.step].append(found)
    for step, several in by_step.items():
        if len(several) > 1:
            counts = ", ".join(f"{len(found.documents)} documents of {found.origin.model}" for found in several)
            logger.warning(
                "%s: step %s holds answers of several models or sampling settings, scored apart: %s. "
                "Tables show those of the last evaluation",
                task, step, counts,
            )  # fmt: skip
