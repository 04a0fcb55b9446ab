"""What lm_eval runs for us: the task class and the grading filter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval.api.filter import Filter

from sftgen_judges.asking.settings import judge_options, missing_settings, with_options
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Grader, Item, Judge, Sample
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.current import Recording, current
from sftgen_judges.records.markers import think_markers as named_markers
from sftgen_judges.records.markers import unknown_marker
from sftgen_judges.records.schema import GenerationRecord, Response, Verdict, doc_hash, sampling_id
from sftgen_judges.records.thinking import read_record, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.data.documents import cluster_of, loaded, name_of, note_prompts
from sftgen_tasks.data.paper_prompts import asked_prompts
from sftgen_tasks.harness.aggregation import METRICS
from sftgen_tasks.harness.ahead import ALONE, Answers, may_run_beside, note_grading
from sftgen_tasks.harness.budgets import fit_responses
from sftgen_tasks.harness.categories import mistake_in
from sftgen_tasks.harness.documents import record_documents, several_ranks
from sftgen_tasks.harness.generation import (
    DEFAULT_MAX_GEN_TOKS,
    complete,
    counter_of,
    describe,
    note_template,
    noted_record,
    prompt_text,
)
from sftgen_tasks.harness.graded import GradedText, lengths, process_results, unknown_markers
from sftgen_tasks.harness.guards import evaluated_model, guard_evaluations, refuse_caches
from sftgen_tasks.harness.limits import limit_of, limits_of
from sftgen_tasks.harness.prompts import PAPER_VERSION, with_prompts, with_template
from sftgen_tasks.harness.registry import identity_of_model
from sftgen_tasks.harness.sampling import for_stock_model
from sftgen_tasks.harness.version import ConfigurableTask

FILTER = "sftgen"
Examples = Callable[[Mapping[str, Any]], tuple[str, str] | None]
"""A right and a wrong answer to a document; None where none can be made."""
logger = logging.getLogger(__name__)


class TaskError(SftgenError, ValueError):
    """A task definition that cannot work."""


class Task(ConfigurableTask):
    """An lm_eval task whose YAML names only what is its own: documents, prompt, grader or judge.

    It also knows what lm_eval hides from a filter: the prompt and the settings each response was generated
    with, and so whether a response was cut and whether it began inside thinking.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build a task from its YAML.

        Args:
            config: The YAML's keys; `grader` or `judge` names what scores a response, `paper_prompt` a `PaperPrompt`,
                `examples` a function that makes a right and a wrong answer to a document, for `sftgen try`.

        Raises:
            SftgenError: Something that is asked for is missing, for example the paper's prompts.
        """
        own = {"class", "grader", "judge", "paper_prompt", "examples"}
        given = {key: value for key, value in config.items() if key not in own}
        metadata = given.get("metadata") or {}
        if wrong := mistake_in(metadata):
            raise TaskError(f"{given['task']}: {wrong}")
        asked = asked_prompts(config.get("paper_prompt"), metadata)
        self.paper_prompts = asked is not None and asked.template is not None
        given = with_prompts(given, asked)
        scoring = {
            "task": given["task"],
            "grader": config.get("grader"),
            "judge": config.get("judge") and _chosen_judge(given["task"], metadata, config["judge"]),
            "think_markers": metadata.get("think_markers"),
            "think_prefilled": metadata.get("think_prefilled"),
            "options": judge_options(metadata),
            "paper_prompts": self.paper_prompts,
            "judge_template": asked and asked.judge_template,
        }
        # lm_eval makes filters when everything has been generated: too late for a wrong name or setting.
        self.grading = GradeFilter(**scoring)
        scorer = self.grading.scorer()
        missing = missing_settings(scorer) if isinstance(scorer, Judge) else ""
        if missing:
            logger.warning(
                "%s: no judge, responses are kept and not graded: %s; then `sftgen rescore`", given["task"], missing
            )
        self.examples: Examples | None = config.get("examples")
        self.limit = limit_of(given["task"], limits_of(metadata))
        defaults = {
            "test_split": "test",
            "output_type": "generate_until",
            "num_fewshot": 0,
            "filter_list": [{"name": FILTER, "filter": [{"function": GradeFilter, **scoring}]}],
            "process_results": process_results,
        }
        metrics = [
            {"metric": metric, "aggregation": "mean", "higher_is_better": higher} for metric, higher in METRICS.items()
        ]
        guard_evaluations(Task)
        super().__init__(config={**defaults, **given, "metric_list": [*metrics, *given.get("metric_list", [])]})
        if asked:
            note_prompts(given["task"], asked.facts)

    def build_all_requests(self, **options: Any) -> None:
        """Build the prompts, and see to it that each leaves room for its response.

        Raises:
            PromptTooLongError: A prompt leaves none.
            CacheError: Requests of another command would be served.
        """
        refuse_caches(None, options.get("cache_requests") or options.get("rewrite_requests_cache"))
        if self.limit is not None:  # over --gen_kwargs, which is for every task
            self.set_config(key="generation_kwargs", value={"max_gen_toks": self.limit}, update=True)
        super().build_all_requests(**options)
        lm = self.model_of(options)
        for instance in self._instances:
            prompt, settings = instance.arguments
            instance.arguments = (prompt, for_stock_model(settings, lm))
        note_template(self._instances, options.get("chat_template"))
        note_grading(self._instances, self.grading.grade_ahead if may_run_beside(self.grading.scorer()) else None)
        fit_responses(self.config.task, self._instances, self.max_gen_toks, lm, self.config.metadata or {})

    @staticmethod
    def model_of(options: Mapping[str, Any]) -> Any:
        """The model that requests are built for by `build_all_requests(**options)`; None where nobody tells."""
        return evaluated_model() or getattr(options.get("chat_template"), "__self__", None)

    def apply_filters(self) -> Any:
        """Write down what was not written yet, then read and grade everything."""
        metadata = self.config.metadata or {}
        run = current()
        if run.model is None:
            run = replace(run, model=identity_of_model(evaluated_model(), metadata).id)
        count = counter_of(metadata)
        fresh: list[GenerationRecord] = []
        prompts: list[str] = []
        for instance in self._instances:
            # On several ranks lm_eval pads by giving the last document extra responses.
            for repeat, text in enumerate(instance.resps[: instance.repeats]):
                record = noted_record(instance, repeat)
                if record is None:
                    record = complete(describe(run, instance, repeat), prompt_text(instance), text, count)
                    fresh.append(record)
                    prompts.append(prompt_text(instance))
                instance.resps[repeat] = record
            del instance.resps[instance.repeats :]
        run.folder.add_generations(fresh)
        run.folder.add_prompts(fresh, prompts)
        filtered = super().apply_filters()
        # The text of the record itself: each response is kept once.
        for instance in self._instances:
            instance.resps = [record.text for record in instance.resps]
        return filtered

    @property
    def max_gen_toks(self) -> int:
        """How many tokens a response may have."""
        return self.limit or int((self.config.generation_kwargs or {}).get("max_gen_toks", DEFAULT_MAX_GEN_TOKS))


def _chosen_judge(task: str, metadata: Mapping[str, Any], own: str) -> str:
    """The judge that the metadata names for a task, or its own."""
    named = metadata.get("judge") or {}
    if not isinstance(named, Mapping):
        raise TaskError(f"metadata judge {named!r}: expected judges by task, for example {{{task!r}: {own!r}}}")
    return str(named.get(task, own))


def _scorer(kind: str, name: str, options: Mapping[str, Any], template: Path | None) -> Any:
    found = lookup(kind, name)
    if not isinstance(found, Judge):
        return found
    judge = with_options(found, options)
    return with_template(judge, template) if template else judge


class GradeFilter(Filter):  # type: ignore[misc]
    """Reads, records and grades all responses of a task at once.

    Each response leaves as JSON text with its verdict, so that lm_eval's sample log shows it.
    """

    def __init__(
        self,
        task: str,
        *,
        grader: str | None = None,
        judge: str | None = None,
        think_markers: str | None = None,
        think_prefilled: bool | None = None,
        options: Mapping[str, Any] | None = None,
        paper_prompts: bool = False,
        judge_template: Path | None = None,
    ) -> None:
        """Set up one task's filter.

        Args:
            task: The task's name.
            grader: Registered grader, or
            judge: registered judge; exactly one of the two.
            think_markers: Name or `OPENER,CLOSER`, see `sftgen_judges.records.markers.think_markers`; by default, or
                as `auto`, those of the family that writes like a response.
            think_prefilled: Whether responses begin inside thinking, if not what the prompts say.
            options: Settings of the judge, named `judge_<field>`; they hold for this task only.
            paper_prompts: Whether the responses are to the paper's prompts, or judged with the paper's.
            judge_template: File with the prompt of the judge, if not its own.

        Raises:
            TaskError: Neither or both of grader and judge, or unknown markers.
        """
        if (grader is None) == (judge is None):
            raise TaskError(f"task {task!r}: its YAML needs exactly one of `grader` and `judge`")
        self.task, self.think_prefilled = task, think_prefilled
        kind, name = ("grader", grader) if grader else ("judge", judge or "")
        self.scorer = partial(_scorer, kind, name, options or {}, judge_template)
        self.added_version = PAPER_VERSION if paper_prompts else 0
        try:
            self.markers = None if think_markers in (None, "auto") else named_markers(think_markers)
        except ValueError as error:
            raise TaskError(f"task {task!r}: {error}") from error

    def apply(
        self, resps: Iterable[Sequence[str | GenerationRecord]], docs: Iterable[Mapping[str, Any]]
    ) -> list[list[GradedText]]:
        """Grade responses.

        Args:
            resps: For each document, its responses, one a repeat: as text, or as they were written down.
            docs: The documents.

        Returns:
            The same shape, graded.
        """
        answers, documents = [list(repeats) for repeats in resps], list(docs)
        repeats = min(map(len, answers), default=0)
        items = [
            [Item(doc, self.read(text)) for text in texts[:repeats]]
            for doc, texts in zip(documents, answers, strict=True)
        ]
        records = [
            [text if isinstance(text, GenerationRecord) else None for text in texts[:repeats]] for texts in answers
        ]
        run, scorer = current(), self.scorer()
        flat = [item for of_doc in items for item in of_doc]
        # Of a part nobody can say whether many responses of the whole begin with a marker: `task_result` does.
        markers = {} if run.part else unknown_markers([item.response for item in flat], self.task)
        if not run.part:
            made = [record for of_doc in records for record in of_doc if record]
            record_documents(run, loaded(self.task), made, markers, others=several_ranks())
        with ALONE:
            verdicts = iter(self._verdicts(run, scorer, flat))
        return [
            self._graded(run, scorer, of_doc, [next(verdicts) for _ in of_doc], kept, told=bool(markers) or run.part)
            for of_doc, kept in zip(items, records, strict=True)
        ]

    def verdicts_of(self, answers: Sequence[tuple[Mapping[str, Any], str]]) -> list[Verdict]:
        """Grade texts that no model wrote, each with its document, and write nothing down."""
        return list(grade_batch(self.scorer(), [Item(doc, self.read(text)) for doc, text in answers]))

    def grade_ahead(self, run: Recording, answers: Answers) -> None:
        """Grade responses while others are generated, so that `apply` finds their verdicts.

        Args:
            run: Where verdicts are written.
            answers: Documents with what was written down of a response to each.
        """
        items = [Item(doc, self.read(record)) for doc, record in answers]
        self._verdicts(run, self.scorer(), items, final=False)

    def _verdicts(
        self, run: Recording, scorer: Grader | Judge, items: Sequence[Item], *, final: bool = True
    ) -> list[Verdict]:
        journal = run.folder.verdicts(self.task)
        return grade_batch(scorer, items, journal=journal, writing=run.folder.writing, label=self.task, final=final)

    def _graded(
        self,
        run: Recording,
        scorer: Grader | Judge,
        items: Sequence[Item],
        verdicts: Sequence[Verdict],
        records: Sequence[GenerationRecord | None],
        *,
        told: bool,
    ) -> list[GradedText]:
        """The responses to one document as they leave; `told` is whether their unknown markers are told."""
        doc = items[0].doc if items else {}
        source = loaded(self.task)
        hashed, named, shared = doc_hash(doc), name_of(doc, source.id_column), cluster_of(doc, source.cluster)
        graded = []
        for number, (item, verdict, record) in enumerate(zip(items, verdicts, records, strict=True)):
            repeat = record.repeat if record else number
            thinking, answer = lengths(item.response, run.count)
            sample = Sample(
                self.task, run.step, hashed, repeat, item.response, verdict,
                model=record.model if record else run.model,
                sampling_id=sampling_id(record.sampling) if record else None,
                prompt_hash=record.prompt_hash if record else None,
                doc_id=named, cluster=shared, thinking_tokens=thinking, answer_tokens=answer,
                scorer=scorer.name, evaluation_version=scorer.version + self.added_version,
            )  # fmt: skip
            marked = unknown_marker(item.response) is not None if told else None
            graded.append(GradedText(sample, record, marked))
        return graded

    def read(self, text: str | GenerationRecord) -> Response:
        """A response taken apart into thinking and answer, as it is graded."""
        if isinstance(text, GenerationRecord):
            return read_record(text, self.markers, self.think_prefilled)
        return split_thinking(text, markers=self.markers, prefilled=bool(self.think_prefilled))
