"""Runs with known answers, for tests of what is read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sftgen_judges import Response, Sample, Verdict
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.results.run import add_results

HEX = "sftgen_hex_phi"


def graded(
    task: str,
    step: int | None,
    right: int,
    of: int = 200,
    *,
    repeats: int = 1,
    names: str = "",
    clusters: int | None = None,
    failed: Sequence[int] = (),
    sampling: str = "settings",
    paper: bool = False,
) -> TaskResult:
    """A task of which the first `right` of `of` documents are answered well in every repeat.

    Args:
        task: The task.
        step: The step.
        right: How many are right.
        of: How many documents there are.
        repeats: Answers to each.
        names: What documents are named by, the task by default: tasks of one name share their documents.
        clusters: How many documents share a source.
        failed: Documents whose judge failed.
        sampling: Id of the generation settings.
        paper: Whether the paper's rule scored them too, as ours did.
    """
    samples = [
        Sample(
            task, step, f"{names or task}-{n}", repeat, Response("x", answer="x", tokens=5, finish_reason="stop"),
            Verdict("judge_error")
            if n in failed
            else Verdict("ok", float(n < right), float(n < right) if paper else None, answer="x"),
            model=f"weights of {step}", sampling_id=sampling, scorer="rule", evaluation_version=1,
            cluster=None if clusters is None else f"source {n // clusters}",
        )
        for n in range(of)
        for repeat in range(repeats)
    ]  # fmt: skip
    values = {
        "score": [float(n < right) for n in range(of) if n not in failed],
        "answered": [1.0] * of,
        "truncated": [0.0] * of,
        "coverage": [1.0] * of,
        "response_tokens": [5.0] * of,
    }
    return TaskResult(task, values, of, samples)


def truncated(result: TaskResult, documents: range) -> TaskResult:
    """The same answers, of which those to some documents were truncated: wrong."""
    samples = [
        replace(
            sample,
            response=replace(sample.response, finish_reason="length", answer=""),
            verdict=Verdict("truncated", 0.0),
        )
        if place in documents
        else sample
        for place, sample in enumerate(result.samples)
    ]
    return replace(result, samples=samples)


def made_run(
    path: Path, scores: Mapping[str, Sequence[int]], steps: Sequence[int], *, paper: bool = False, **facts: object
) -> RunFolder:
    """A run with so many right answers of 200 at each step, by task."""
    run = RunFolder(path)
    run.update_manifest(**{"model": "m", "tasks": list(scores), "in_domain": [], **facts})
    for place, step in enumerate(steps):
        add_results(
            run, step, [graded(task, step, right[place], paper=paper) for task, right in scores.items()], seconds=1.0
        )
    return run


def attacked(step: int, attacks: int, of: int = 200) -> TaskResult:
    """HEx-PHI with so many attacks that succeed."""
    samples = [
        Sample(
            HEX, step, f"{HEX}-{n}", 0, Response("x", answer="x", tokens=5, finish_reason="stop"),
            Verdict("ok", float(n >= attacks), answer="x", measures={"asr": float(n < attacks)}),
            model=f"weights of {step}", sampling_id="settings", scorer="rule", evaluation_version=1,
        )
        for n in range(of)
    ]  # fmt: skip
    return TaskResult(HEX, {"score": [float(n >= attacks) for n in range(of)]}, of, samples)
