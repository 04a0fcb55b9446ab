"""Evaluating a model in this process, and what an evaluation found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_aggregation

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.schema import GenerationRecord, Measure
from sftgen_judges.records.shares import is_share
from sftgen_judges.scoring.grading import too_many_missing
from sftgen_tasks.data.documents import loaded
from sftgen_tasks.harness.behind import Behind, Front
from sftgen_tasks.harness.documents import record_documents
from sftgen_tasks.harness.generation import Count, counter_of, counter_of_model
from sftgen_tasks.harness.graded import MANY, as_samples, process_results, records_of, unknown_markers
from sftgen_tasks.harness.guards import guarded, whole_thinking
from sftgen_tasks.harness.loading import LoadedTasks
from sftgen_tasks.harness.model import GenerateUntil, Model
from sftgen_tasks.harness.patches import compiled_once, quiet
from sftgen_tasks.harness.registry import identity_of_model
from sftgen_tasks.harness.shards import Shard
from sftgen_tasks.harness.streaming import journaled
from sftgen_tasks.harness.task import FILTER, Task
from sftgen_tasks.harness.votes import vote_measures


@dataclass(frozen=True)
class TaskResult:
    """One task's outcome: metric name to the values of its documents, in the order of documents.

    Attributes:
        task: The task.
        values: Metric name to one value a document that has it.
        documents: How many documents there were.
        samples: Every graded response.
        aggregations: For metrics that are not a mean over documents: the function that makes one number of the values.
        incomplete: Whether more verdicts are missing than the judge allows (`SFTGEN_JUDGE_MAX_MISSING`); a
            rule allows none.
        paper_prompts: Whether the paper's prompts were asked, of the model or of the judge.
        of: How many documents the benchmark has, whether they were asked or not; None where nobody knows.
    """

    task: str
    values: dict[str, list[Measure]]
    documents: int
    samples: list[Sample] = field(repr=False, default_factory=list)
    aggregations: dict[str, Aggregation] = field(repr=False, default_factory=dict)
    incomplete: bool = False
    paper_prompts: bool = False
    of: int | None = None

    def is_share(self, metric: str) -> bool:
        """Whether a metric lies between 0 and 1 by its meaning."""
        return is_share(metric, self.samples[0].scorer if self.samples else None)


Aggregation = Callable[[Sequence[Any]], float]


def aggregations(task: Task) -> dict[str, Aggregation]:
    """The metrics of a task that are not a plain mean, with the functions that aggregate them."""
    named: dict[str, Aggregation] = task.aggregation()
    return {metric: function for metric, function in named.items() if function is not get_aggregation("mean")}


def evaluate(
    lm: Model | Front,
    tasks: LoadedTasks,
    run: Recording,
    *,
    limit: int | None = None,
    chat_template: bool = True,
    resume: bool = False,
    shard: Shard | None = None,
) -> list[TaskResult]:
    """Evaluate a model in this process and leave the random number generators alone.

    Args:
        lm: An lm_eval model, or what stands before one.
        tasks: What `load_tasks` returned.
        run: Where samples are recorded, and under which step.
        limit: Documents a task, None for all.
        chat_template: Whether prompts go through the model's chat template.
        resume: Whether generations of the same model that stand in the run are used again.
        shard: This process's part, when several share the evaluation; all of them get all results.

    Returns:
        A result a task, values by document: the caller aggregates, so that intervals know the documents.

    Raises:
        ShardError: It failed in one of the processes that share it.
    """
    options: dict[str, Any] = {"chat_template": chat_template, "resume": resume}
    if shard is None:
        return _results(tasks, [_evaluate(lm, tasks, run, limit=limit, **options)])
    results: list[TaskResult] = []

    # Not lm_eval's own sharding: its collectives would wait for a process that failed. For the same reason nothing
    # that can fail stands outside the two calls of `collect`.
    def evaluate_own() -> dict[str, _Found]:
        own = {name: shard.places(len(task.eval_docs), limit) for name, task in tasks.tasks.items()}
        own = {name: places for name, places in own.items() if places}
        return _evaluate(lm, tasks.only(list(own)), replace(run, part=True), places=own, **options)

    parts = shard.collect(evaluate_own)
    shard.collect(lambda: results.extend(_results(tasks, parts, run if shard.index == 0 else None)))
    return results


def _results(
    tasks: LoadedTasks, parts: Sequence[Mapping[str, _Found]], run: Recording | None = None
) -> list[TaskResult]:
    """What the processes found, by task; the manifest of `run` is told of all documents."""
    whole: dict[str, _Found] = {name: _Found() for name in tasks.tasks}
    for part in parts:
        for name, found in part.items():
            whole[name].rows += found.rows
            whole[name].samples += found.samples
            whole[name].records += found.records
    if run:
        for name, found in whole.items():
            markers = unknown_markers([sample.response for sample in found.samples], name)
            record_documents(run, loaded(name), found.records, markers)
    return [found.result(tasks.tasks[name]) for name, found in whole.items()]


@dataclass
class _Found:
    """Rows of metrics, graded responses, and what was written down of them, of one task."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    records: list[GenerationRecord] = field(default_factory=list)

    def result(self, task: Task) -> TaskResult:
        return task_result(task, metric_values(self.rows), len(self.rows), self.samples)


def _evaluate(
    lm: Model | Front,
    tasks: LoadedTasks,
    run: Recording,
    *,
    limit: int | None = None,
    places: Mapping[str, list[int]] | None = None,
    chat_template: bool,
    resume: bool,
) -> dict[str, _Found]:
    from lm_eval import evaluator

    if not tasks.tasks:  # fewer documents than processes
        return {}
    [metadata, *_] = [task.config.metadata or {} for task in tasks.tasks.values()]
    front = lm if isinstance(lm, Front) else Front(lm)  # no name here holds the model: it may be let go meanwhile
    beside = isinstance(front, Behind)
    run = replace(run, count=run.count or counter_of(metadata) or counter_of_model(front.lm, beside=beside))
    run = replace(run, model=run.model or identity_of_model(front.lm, metadata).id)
    front.asked_by(_asking(front.lm, run, counter_of(metadata), resume=resume))
    with recording(run), quiet(), compiled_once():
        outcome = guarded(evaluator.evaluate, Task)(
            front,
            tasks.apart().for_lm_eval(),
            limit=limit,
            samples=places,
            log_samples=True,
            apply_chat_template=chat_template,
            bootstrap_iters=0,
        )
    return {name: _found(rows, records=run.part) for name, rows in outcome["samples"].items()}


def _asking(lm: Model, run: Recording, count: Count | None, *, resume: bool) -> GenerateUntil:
    """What asks a model for whole responses, and writes them down."""
    generate = journaled(lm, run, count, resume=resume)

    def generate_until(requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        with whole_thinking(lm):
            return generate(requests, disable_tqdm=disable_tqdm)

    return generate_until


def results_of(outcome: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[TaskResult]:
    """The results of our tasks in what lm_eval's `evaluate` returned, its log of samples among it.

    Args:
        outcome: What it returned.
        tasks: The tasks that it was given, by name; those that are not ours are passed over.
    """
    ours = {name: task for name, task in tasks.items() if isinstance(task, Task)}
    return [_found(outcome["samples"][name]).result(task) for name, task in ours.items()]


def _found(rows: Sequence[Mapping[str, Any]], *, records: bool = False) -> _Found:
    own = [row for row in rows if row["filter"] == FILTER]
    return _Found(
        [_slim(row) for row in own],
        [sample for row in own for sample in as_samples(row["filtered_resps"])],
        [_without_text(made) for row in own for made in records_of(row["filtered_resps"])] if records else [],
    )


def _without_text(record: GenerationRecord) -> GenerationRecord:
    """The part of a record that the manifest needs: it is sent to another process, which has the response already."""
    return replace(record, text="", reasoning=None)


def _slim(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a sample row its metrics need, without document and responses."""
    if row["metrics"] == ["bypass"]:  # lm_eval's `--predict_only` hides the metrics, but everything is graded
        metrics = process_results(row["doc"], row["filtered_resps"])
        row = {**row, **metrics, "metrics": list(metrics)}
    return {name: row[name] for name in ("filter", "doc_id", "metrics", *row["metrics"])}


def task_result(task: Task, values: dict[str, list[Measure]], documents: int, samples: list[Sample]) -> TaskResult:
    """The outcome of a task, with what the task itself knows of its metrics, and the votes of several samples.

    Unknown markers of thinking are told only where many responses begin with one.
    """
    marked = [value for value in values.get("unknown_markers", ()) if isinstance(value, float)]
    if marked and fmean(marked) < MANY:
        values = {metric: found for metric, found in values.items() if metric != "unknown_markers"}
    scorer, verdicts = task.grading.scorer(), [sample.verdict for sample in samples]
    values = {**vote_measures(samples, getattr(scorer, "canonical", None)), **values}
    incomplete = too_many_missing(scorer, verdicts)
    return TaskResult(
        task.config.task, values, documents, samples, aggregations(task), incomplete,
        paper_prompts=task.paper_prompts, of=loaded(task.config.task).total,
    )  # fmt: skip


def metric_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Measure]]:
    """Metric name to the values of its documents, of the sample rows that lm_eval returns for a task."""
    values: dict[str, list[Measure]] = defaultdict(list)
    for row in sorted((row for row in rows if row["filter"] == FILTER), key=lambda row: row["doc_id"]):
        for metric in row["metrics"]:
            values[metric].append(row[metric])
    return dict(values)
