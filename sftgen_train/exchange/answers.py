"""Graded answers of a run with their texts, batch by batch, for formats that hold both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Export
from sftgen_judges.records.schema import GenerationRecord, Response
from sftgen_judges.records.thinking import read_record
from sftgen_train.report.trajectories import mapping

ROWS = 500
"""Answers that are in memory at once."""


@dataclass(frozen=True)
class Evaluated:
    """A task at a step of a run.

    Attributes:
        run: Id of the run.
        folder: Its folder.
        task: The task.
        step: Training step, None outside of training.
        model: Content id of the model.
        sampling_id: Id of the sampling settings.
        scorer: Name of the grader or judge.
        version: Version of the evaluation.
        at: When it was evaluated.
        docs: Documents.
        repeats: Answers to each.
        sampling: The sampling settings; empty where no response is kept.
    """

    run: str
    folder: str
    task: str
    step: int | None
    model: str
    sampling_id: str
    scorer: str
    version: int
    at: str
    docs: int
    repeats: int
    sampling: Mapping[str, Any]


@dataclass(frozen=True)
class GradedAnswer:
    """An answer with its verdict.

    Attributes:
        sample: Its row of the view `samples`.
        response: The response; None where its text may not go along, or is not kept.
        prompt: The prompt as the model got it; None as `response`.
        own: What of the prompt is the document's own.
    """

    sample: Mapping[str, Any]
    response: Response | None
    prompt: str | None
    own: str | None


def evaluated(asked: Export, step: int | None = None) -> list[Evaluated]:
    """Every task at every step of every run, or at one step only."""
    rows = asked.records.sql(
        """SELECT run, folder, task, step, any_value(model) AS model, any_value(sampling_id) AS sampling_id,
            any_value(scorer) AS scorer, max(evaluation_version) AS version, max(evaluated_at) AS at,
            count(DISTINCT doc_hash) AS docs, max(repeat) + 1 AS repeats
        FROM samples GROUP BY ALL ORDER BY run, task, step NULLS FIRST"""
    ).rows()
    settings = asked.records.sql(
        "SELECT run, task, step, any_value(sampling) AS sampling FROM texts GROUP BY ALL"
    ).rows()
    known = {(row["run"], row["task"], row["step"]): mapping(row["sampling"]) for row in settings}
    return [
        Evaluated(
            row["run"], row["folder"], row["task"], row["step"], row["model"] or "", row["sampling_id"] or "",
            row["scorer"] or "unknown", row["version"] or 0, row["at"] or "", row["docs"], row["repeats"],
            known.get((row["run"], row["task"], row["step"]), {}),
        )
        for row in rows
        if step is None or row["step"] == step
    ]  # fmt: skip


def answers(asked: Export, of: Evaluated) -> Iterator[GradedAnswer]:
    """The graded answers of a task at a step, in the order of documents and repeats.

    Texts come along where they were asked for and the task is one whose texts may go along.
    """
    chosen = "run = $run AND task = $task AND step IS NOT DISTINCT FROM $step"
    parameters = {"run": of.run, "task": of.task, "step": of.step}
    with_texts = asked.texts and of.task in asked.tasks
    query = f"SELECT * FROM samples WHERE {chosen}"
    if with_texts:
        query = f"""SELECT s.*, t.text, t.reasoning, t.sampling, t.prompt_tokens, t.prefilled, t.markers, t.turn_end,
                p.prompt, p."begin", p."end"
            FROM ({query}) AS s
            LEFT JOIN (SELECT * FROM texts WHERE {chosen}) AS t
                ON t.doc_hash = s.doc_hash AND t.repeat = s.repeat AND t.model IS NOT DISTINCT FROM s.model
                AND coalesce(t.sampling_id = s.sampling_id, true) AND coalesce(t.prompt_hash = s.prompt_hash, true)
            LEFT JOIN (SELECT doc_hash, prompt_hash, any_value(prompt) AS prompt, any_value("begin") AS "begin",
                any_value("end") AS "end" FROM prompts WHERE run = $run AND task = $task GROUP BY ALL) AS p
                ON p.doc_hash = s.doc_hash AND p.prompt_hash = s.prompt_hash"""
    seen = None
    for batch in asked.records.sql(f"{query} ORDER BY doc_hash, repeat", parameters).batches(ROWS):
        for row in batch.to_pylist():
            # A run of before prompts had hashes may hold two texts of one answer.
            if seen != (seen := (row["doc_hash"], row["repeat"])):
                yield _answer(row)


def _answer(row: Mapping[str, Any]) -> GradedAnswer:
    prompt, text = row.get("prompt"), row.get("text")
    own = prompt[row["begin"] or 0 : row["end"] or len(prompt)].strip() if prompt else None
    return GradedAnswer(row, None if text is None else response_of(row), prompt, own)


def response_of(row: Mapping[str, Any]) -> Response:
    """The response of a row of the view `texts`, split into thinking and answer."""
    fields = {name: row.get(name) for name in GenerationRecord.__dataclass_fields__}
    fields |= {"sampling": mapping(row.get("sampling")), "prefilled": bool(row.get("prefilled"))}
    return read_record(GenerationRecord(**{**fields, "text": row.get("text") or ""}))  # type: ignore[arg-type]


def checkpoint_of(of: Evaluated) -> str:
    """A name for what was evaluated: the run's folder and the step. No path of this machine is part of it."""
    name = re.sub(r"[^\w.-]", "-", Path(of.folder).resolve().name)[:100] or "run"
    return f"{name}-step-{of.step}" if of.step is not None else name
