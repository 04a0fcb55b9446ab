"""Runs with the texts of their responses, as an evaluation leaves them, for tests of diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sftgen_judges import Sample, Verdict
from sftgen_judges.records.schema import GenerationRecord, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_tasks import TaskResult
from sftgen_tasks.harness.graded import lengths
from sftgen_train.results.run import add_results

SAMPLING = {"temperature": 0.6, "max_gen_toks": 100}
Texts = Sequence[Sequence[str]]
"""For each document its responses, one a repeat."""


def evaluated(
    run: RunFolder, task: str, step: int, texts: Texts, *, right: int | None = None, clusters: int = 0
) -> TaskResult:
    """Write down responses, and grade them: those to the first `right` documents are right.

    Args:
        run: The run.
        task: The task.
        step: The step.
        texts: The responses. A word is a token; one that ends with `...` was cut.
        right: How many documents are answered well, all by default.
        clusters: How many documents share a source.
    """
    samples = []
    for n, repeats in enumerate(texts):
        for repeat, text in enumerate(repeats):
            record = GenerationRecord(
                task, step, f"weights of {step}", f"document {n:03}", repeat, f"prompt {n}", SAMPLING, text,
                "length" if text.endswith("...") else "stop", tokens=len(text.split()),
            )  # fmt: skip
            run.add_generations([record])
            response = read_record(record)
            thinking, answer = lengths(response, lambda of: len(of.split()))
            good = right is None or n < right
            samples.append(
                Sample(
                    task, step, record.doc_hash, repeat, response,
                    Verdict.of(response, response.answer or None, float(good)),
                    model=record.model, sampling_id=sampling_id(SAMPLING), doc_id=str(n), prompt_hash=f"prompt {n}",
                    thinking_tokens=thinking, answer_tokens=answer, scorer="rule", evaluation_version=1,
                    cluster=f"source {n // clusters}" if clusters else None,
                )
            )  # fmt: skip
    of = len(texts)
    scores = [float(right is None or n < right) for n in range(of)]
    values = {"score": scores, "coverage": [1.0] * of, "answered": [1.0] * of, "truncated": [0.0] * of}
    return TaskResult(task, values, of, samples)


def written_run(path: Path, steps: Mapping[int, Mapping[str, Texts]], **facts: object) -> RunFolder:
    """A run with these responses, by step and task."""
    run = RunFolder(path)
    tasks = list(dict.fromkeys(task for of in steps.values() for task in of))
    run.update_manifest(**{"model": "m", "tasks": tasks, "in_domain": [], **facts})
    for step, of in steps.items():
        add_results(run, step, [evaluated(run, task, step, texts) for task, texts in of.items()], seconds=1.0)
    return run
