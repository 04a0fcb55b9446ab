"""A judge on an existing run: its verdicts on the stored responses become a measure of their own, beside the score."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from sftgen_judges.asking.settings import missing_settings, with_options
from sftgen_judges.plugins.contracts import Item, Judge
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.evaluations import Origin
from sftgen_judges.records.schema import doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.scoring.grading import allowed_missing, grade_batch
from sftgen_tasks import Task
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.aggregation import METRICS
from sftgen_train.results.rescoring import documents_of, load_task, require_documents, warn_of_several
from sftgen_train.results.run import Row, finite, judged_measures
from sftgen_train.results.stored import Answers, Place, chunks, find_answers
from sftgen_train.trajectory.statistics import estimate

logger = logging.getLogger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OF_SAMPLES = frozenset({"paper", "tokens", "answer", "status", "step", "repeat", "task"})
"""Names that columns of samples have: a measure of that name could not be asked for."""


@dataclass
class _Judged:
    """What a judge said of answers that belong together.

    Attributes:
        answers: The answers.
        scores: Its score of each, None where there is no judgement.
        version: Of the evaluation that graded them.
    """

    answers: Answers
    scores: dict[Place, float | None] = field(default_factory=dict)
    version: int | None = None

    def means(self) -> list[float]:
        """The mean score of each document; one without a judgement has none."""
        by_document: dict[str, list[float]] = defaultdict(list)
        for (document, _), score in self.scores.items():
            if score is not None:
                by_document[document].append(score)
        return [fmean(by_document[document]) for document in sorted(by_document)]

    def coverage(self) -> list[float]:
        """The share of each document's responses that have a judgement."""
        by_document: dict[str, list[bool]] = defaultdict(list)
        for (document, _), score in self.scores.items():
            by_document[document].append(score is not None)
        return [fmean(by_document[document]) for document in sorted(by_document)]


def judge_run(
    folder: Path, judge: str, name: str, tasks: Sequence[str] = (), judge_options: Mapping[str, Any] | None = None
) -> list[Row]:
    """Ask a judge about the stored responses of a run, and write its scores beside those of the tasks.

    Verdicts are kept by content: a command that was killed goes on, and nothing is asked twice. A judgement that fails
    is missing, never a score. The task's own scores, samples and verdicts stay.

    Args:
        folder: Run directory.
        judge: A registered judge.
        name: The measure.
        tasks: Which of its tasks, all by default.
        judge_options: Settings of the judge, named `judge_<field>`. The run does not keep them.

    Returns:
        The metric rows that were written: `name`, and `name/coverage`, the share of responses with a judgement.

    Raises:
        RecordError: Not a run directory, a task that is not in it, a name that is taken, or nothing to judge.
        SettingsError: The judge lacks a setting.
        DataError: A task's documents cannot be read, or differ from those of the run.
    """
    run = RunFolder(folder)
    chosen = documents_of(run, tasks, {})
    _require_free(run, name, judge, list(chosen))
    asked = with_options(lookup("judge", judge), judge_options or {})
    if missing := missing_settings(asked):
        raise RecordError(f"judge {judge!r} cannot be asked: {missing}")
    run.require_writable()
    run.compact()
    written: list[Row] = []
    with one_load():
        for task_name, facts in chosen.items():
            found = _judge_task(run, load_task(task_name, facts), task_name, facts, asked)
            if not found:
                logger.warning("%s: %s holds no responses of it", task_name, run.path)
                continue
            written += _write(run, task_name, name, asked, found)
    if not written:
        raise RecordError(f"{str(folder)!r}: no responses to judge, see above")
    return written


def _require_free(run: RunFolder, name: str, judge: str, tasks: Sequence[str]) -> None:
    """Check that a name can be the measure's.

    Raises:
        RecordError: It has another form, or is taken.
    """
    if not NAME.fullmatch(name):
        raise RecordError(f"--as {name!r}: expected a name of small letters, digits and _, for example helpful")
    mine = judged_measures(run.read_manifest())
    others = {found["judge"] for task in tasks for known, found in mine.get(task, {}).items() if known == name}
    if others - {judge}:
        raise RecordError(
            f"--as {name}: it is the measure of judge {', '.join(sorted(others - {judge}))!r}; name another"
        )
    rows = run.metric_rows()
    taken = {str(row.get("metric")) for row in rows if name not in mine.get(str(row.get("task")), {})}
    if name in taken | set(METRICS) | _OF_SAMPLES:
        raise RecordError(f"--as {name}: the run has a measure of that name, which is not this judge's; name another")


def _judge_task(run: RunFolder, task: Task, name: str, facts: Mapping[str, Any], judge: Judge) -> dict[Origin, _Judged]:
    docs = {doc_hash(doc): doc for doc in task.test_docs()}
    answers = [found for found in find_answers(run, name, list(docs), facts.get("template_sha256")) if found.prompts]
    warn_of_several(name, answers)
    require_documents(name, facts, answers, docs)
    judged = {each.origin: _Judged(each) for each in answers}
    for chunk in chunks(run, name, answers):
        places: list[tuple[Origin, Place]] = []
        items: list[Item] = []
        for origin, by_doc in chunk.items():
            for document, records in by_doc.items():
                for record in records:
                    places.append((origin, (document, record.repeat)))
                    items.append(Item(docs[document], task.grading.read(record)))
        verdicts = grade_batch(judge, items, journal=run.verdicts(name), writing=run.writing, label=name)
        for (origin, place), verdict in zip(places, verdicts, strict=True):
            judged[origin].scores[place] = None if verdict.score is None else float(verdict.score)
    for each in judged.values():  # a text may be damaged where the key beside it is not
        each.scores |= dict.fromkeys(each.answers.prompts.keys() - each.scores.keys())
    return judged


def _write(run: RunFolder, task: str, name: str, judge: Judge, judged: Mapping[Origin, _Judged]) -> list[Row]:
    """Write the measure of a task's answers in place of an earlier one."""
    rows: list[Row] = []
    samples: list[Row] = []
    known = {(Origin.of(row), (row["doc_hash"], row["repeat"])): row for row in run.sample_rows(task)}
    for origin, of in judged.items():
        graded = {place: known[origin, place] for place in of.scores if (origin, place) in known}
        for place, sample in graded.items():
            score = of.scores[place]
            others = {key: value for key, value in (sample.get("measures") or {}).items() if key != name}
            samples.append({**sample, "measures": {**others, **({name: score} if score is not None else {})}})
        _tell_missing(task, origin, judge, of)
        of.version = next((sample.get("evaluation_version") for sample in graded.values()), None)
        rows += _metric_rows(run, task, name, judge, of)
    renewed = {Origin.of(row) for row in rows}

    def replaced(row: Mapping[str, Any]) -> bool:
        mine = row.get("task") == task and row.get("metric") in _metrics(name)
        return mine and Origin.of(row) in renewed

    run.replace_results(samples, replaced, rows)
    run.compact()
    measures = judged_measures(run.read_manifest())
    facts = {"judge": judge.name, "version": judge.version, "scale": list(judge.scale)}
    run.update_manifest(judged={**measures, task: {**measures.get(task, {}), name: facts}})
    return rows


def _tell_missing(task: str, origin: Origin, judge: Judge, of: _Judged) -> None:
    missing = sum(score is None for score in of.scores.values())
    if missing:
        many = missing > allowed_missing(judge) * len(of.scores)
        logger.warning(
            "%s, step %s: %d of %d responses have no judgement of %s%s. The same command asks about them again",
            task, origin.step, missing, len(of.scores), judge.name, ": the measure is incomplete" * many,
        )  # fmt: skip


def _metrics(name: str) -> tuple[str, str]:
    return name, f"{name}/coverage"


def _metric_rows(run: RunFolder, task: str, name: str, judge: Judge, of: _Judged) -> list[Row]:
    many = sum(score is None for score in of.scores.values()) > allowed_missing(judge) * len(of.scores)
    share = judge.scale[0] >= 0 and judge.scale[1] <= 1
    rows = []
    for metric, values in zip(_metrics(name), (of.means(), of.coverage()), strict=True):
        if not values:
            continue
        found = estimate(values, share=share or metric != name)
        rows.append(
            {
                "run": run.run_id(), **of.answers.origin._asdict(), "task": task, "status": "ok", "metric": metric,
                **{end: finite(getattr(found, end)) for end in ("mean", "low", "high")}, "n": found.n,
                "docs": len(of.answers.documents), "evaluation_version": of.version, "evaluated_at": of.answers.at,
                **({"incomplete": True} if many else {}),
            }
        )  # fmt: skip
    return rows
