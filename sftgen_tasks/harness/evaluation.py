"""Finding, loading and evaluating tasks in this process."""

from __future__ import annotations

import fnmatch
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lm_eval.api.registry import get_aggregation

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.plugins.manager import task_directories
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.schema import Measure
from sftgen_judges.scoring.grading import too_many_missing
from sftgen_tasks.harness.generation import counter_of, journal_generations
from sftgen_tasks.harness.shards import Shard
from sftgen_tasks.harness.task import FILTER


class UnknownTaskError(SftgenError, ValueError):
    """A task name that no task folder defines."""


def task_manager(metadata: Mapping[str, Any] | None = None) -> Any:
    """A TaskManager over sftgen's and the plugins' tasks, without lm_eval's 13,000 built-in ones."""
    # Not from `lm_eval.tasks`: `sftgen eval` puts this very function under that name.
    from lm_eval.tasks.manager import TaskManager

    return TaskManager(
        include_path=[str(path) for path in task_directories()],
        include_defaults=False,
        metadata=dict(metadata or {}),
    )


def resolve_tasks(names: Sequence[str], manager: Any) -> list[str]:
    """Match names and globs; a glob gives tasks only, since a group would give its tasks again.

    Raises:
        UnknownTaskError: A name matches nothing; tells what there is.
    """
    found: list[str] = []
    unknown = []
    for name in names:
        known = manager.all_subtasks if "*" in name else manager.all_tasks
        matches = fnmatch.filter(known, name)
        found += matches
        unknown += [] if matches else [name]
    if unknown or not names:
        raise UnknownTaskError(
            f"unknown task {', '.join(map(repr, unknown)) or '(none given)'}. Known: {', '.join(manager.all_tasks)}"
        )
    return list(dict.fromkeys(found))


def load_tasks(
    names: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    gen_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Load tasks once, for any number of evaluations.

    Args:
        names: Task and group names; globs are allowed.
        metadata: Handed to every task, as `lm_eval --metadata` does.
        gen_kwargs: Put over every task's generation settings, as `lm_eval --gen_kwargs` does.

    Raises:
        UnknownTaskError: A name matches nothing.
        DataError: A task's documents cannot be read.
    """
    manager = task_manager(metadata)
    with quiet():
        loaded = manager.load(resolve_tasks(names, manager))
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(1234)
        if gen_kwargs:
            task.set_config(key="generation_kwargs", value=dict(gen_kwargs), update=True)
    return loaded


@dataclass(frozen=True)
class TaskResult:
    """One task's outcome: metric name to the values of its documents, in the order of documents.

    Attributes:
        task: The task.
        values: Metric name to one value a document that has it.
        documents: How many documents there were.
        samples: Every graded response.
        aggregations: For metrics that are no mean over documents: what makes one number of the values.
        incomplete: Whether more verdicts are missing than the judge allows (`SFTGEN_JUDGE_MAX_MISSING`); a
            rule allows none.
    """

    task: str
    values: dict[str, list[Measure]]
    documents: int
    samples: list[Sample] = field(repr=False, default_factory=list)
    aggregations: dict[str, Aggregation] = field(repr=False, default_factory=dict)
    incomplete: bool = False


Aggregation = Callable[[Sequence[Any]], float]


def aggregations(task: Any) -> dict[str, Aggregation]:
    """The metrics of a task that are no plain mean, with what aggregates them."""
    named: dict[str, Aggregation] = task.aggregation()
    return {metric: function for metric, function in named.items() if function is not get_aggregation("mean")}


def evaluate(
    lm: Any,
    tasks: Any,
    run: Recording,
    *,
    limit: int | None = None,
    chat_template: bool = True,
    resume: bool = False,
    shard: Shard | None = None,
) -> list[TaskResult]:
    """Evaluate a model in this process and leave the random number generators alone.

    Args:
        lm: An lm_eval model.
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
        parts = [_evaluate(lm, tasks, run, limit=limit, **options)]
    else:
        # Not lm_eval's own sharding: its collectives would wait for a process that failed.
        own = {name: shard.places(len(task.eval_docs), limit) for name, task in tasks["tasks"].items()}
        own = {name: places for name, places in own.items() if places}
        fewer = {"tasks": {name: tasks["tasks"][name] for name in own}}
        parts = shard.collect(lambda: _evaluate(lm, fewer, run, places=own, **options))
    samples: dict[str, list[Sample]] = defaultdict(list)
    rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in tasks["tasks"]}
    for part, kept in parts:
        for task, of_task in part.items():
            rows[task] += of_task
        for sample in kept:
            samples[sample.task].append(sample)
    return [
        task_result(tasks["tasks"][task], metric_values(rows[task]), len(rows[task]), samples[task]) for task in rows
    ]


def _evaluate(
    lm: Any,
    tasks: Any,
    run: Recording,
    *,
    limit: int | None = None,
    places: Mapping[str, list[int]] | None = None,
    chat_template: bool,
    resume: bool,
) -> tuple[dict[str, list[Mapping[str, Any]]], list[Sample]]:
    """Rows of metrics by task, and graded samples."""
    from lm_eval.evaluator import evaluate as lm_eval_evaluate

    kept: list[Sample] = []
    if not tasks["tasks"]:  # fewer documents than processes
        return {}, kept
    [metadata, *_] = [task.config.metadata or {} for task in tasks["tasks"].values()]
    generate = lm.generate_until
    journal_generations(lm, run, counter_of(metadata), resume=resume)
    with recording(replace(run, samples=kept)), quiet(), _restored(lm, generate):
        outcome = lm_eval_evaluate(
            lm,
            tasks,
            limit=limit,
            samples=places,
            log_samples=True,
            apply_chat_template=chat_template,
            bootstrap_iters=0,
        )
    found = outcome["samples"].items()
    return {task: [_slim(row) for row in rows if row["filter"] == FILTER] for task, rows in found}, kept


def _slim(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a sample row its metrics need, without document and responses."""
    return {name: row[name] for name in ("filter", "doc_id", "metrics", *row["metrics"])}


def task_result(task: Any, values: dict[str, list[Measure]], documents: int, samples: list[Sample]) -> TaskResult:
    """The outcome of a task, with what the task itself knows of its metrics."""
    scorer, verdicts = task.grading.scorer(), [sample.verdict for sample in samples]
    incomplete = too_many_missing(scorer, verdicts)
    return TaskResult(task.config.task, values, documents, samples, aggregations(task), incomplete)


def metric_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Measure]]:
    """Metric name to the values of its documents, of the sample rows that lm_eval returns for a task."""
    values: dict[str, list[Measure]] = defaultdict(list)
    for row in sorted((row for row in rows if row["filter"] == FILTER), key=lambda row: row["doc_id"]):
        for metric in row["metrics"]:
            values[metric].append(row[metric])
    return dict(values)


@contextmanager
def _restored(lm: Any, generate: Any) -> Iterator[None]:
    try:
        yield
    finally:
        lm.generate_until = generate


@contextmanager
def quiet() -> Iterator[None]:
    """Silence lm_eval's progress bar a task and its notes on settings that are ours."""
    import lm_eval.api.task as task_module

    loggers = [
        logging.getLogger(name) for name in ("lm_eval.models.huggingface", "lm_eval.evaluator", "lm_eval.api.task")
    ]
    levels = [found.level for found in loggers]
    bar = task_module.tqdm
    task_module.tqdm = partial(bar, disable=True)
    for found in loggers:
        found.setLevel(logging.ERROR)
    try:
        yield
    finally:
        task_module.tqdm = bar
        for found, level in zip(loggers, levels, strict=True):
            found.setLevel(level)
