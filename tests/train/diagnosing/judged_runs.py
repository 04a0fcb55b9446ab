"""Runs whose responses think, on documents that can be loaded again, for diagnostics that ask a judge."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from sftgen_judges import Sample, Verdict
from sftgen_judges.diagnostics.validation.reading import shipped
from sftgen_judges.records.schema import GenerationRecord, doc_hash, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_tasks import TaskResult
from sftgen_tasks.harness.graded import lengths
from sftgen_train.results.rescoring import load_task
from sftgen_train.results.run import add_results
from tests.train.diagnosing.written_runs import SAMPLING

Given = tuple[str, float, Mapping[str, float]]
"""A response, its score, and its measures."""


def answered(run: RunFolder, task: str, docs: Sequence[str], steps: Mapping[int, Sequence[Given]]) -> None:
    """Write down one graded response to each document at each step."""
    run.update_manifest(model="m", tasks=[task], in_domain=[])
    for step, given in steps.items():
        samples = []
        for doc, (text, score, measures) in zip(docs, given, strict=True):
            record = GenerationRecord(
                task, step, f"weights of {step}", doc, 0, f"prompt of {doc[:8]}", SAMPLING, text, "stop",
                tokens=len(text.split()),
            )  # fmt: skip
            run.add_generations([record])
            response = read_record(record)
            thinking, answer = lengths(response, lambda of: len(of.split()))
            samples.append(
                Sample(
                    task, step, doc, 0, response, Verdict.of(response, response.answer, score, measures=measures),
                    model=record.model, sampling_id=sampling_id(SAMPLING), doc_id=doc[:8],
                    prompt_hash=record.prompt_hash, thinking_tokens=thinking, answer_tokens=answer, scorer="rule",
                    evaluation_version=1,
                )
            )  # fmt: skip
        values = {"score": [score for _, score, _ in given]}
        add_results(run, step, [TaskResult(task, values, len(given), samples)], seconds=1.0)


def documents(task: str, count: int) -> list[str]:
    """The hashes of the first documents of a task."""
    return [doc_hash(doc) for doc in load_task(task, {}).test_docs()][:count]


def thought(thinking: str, answer: str = "So be it.") -> str:
    return f"<think>\n{thinking}\n</think>\n\n{answer}"


def reasoning_run(path: Path, count: int = 60) -> RunFolder:
    """A run whose model reasons briefly at step 0, and as the labelled set does at step 100."""
    texts = [document.thinking for document in shipped("patterns").documents[:count]]
    plain = "The sum has two parts and both of them are known. The answer follows from them at once."
    run = RunFolder(path)
    answered(
        run, "sftgen_parity", documents("sftgen_parity", count),
        {
            0: [(thought(f"{plain} It is number {n}."), float(n % 2), {}) for n in range(count)],
            100: [(thought(text), float(n % 3 > 0), {}) for n, text in enumerate(texts)],
        },
    )  # fmt: skip
    return run


def stand_ins(data: Path) -> Sequence[str]:
    """A file of HEx-PHI with the harmless requests of the labelled set of self-jailbreak; the requests."""
    requests = [document.question for document in shipped("self_jailbreak").documents]
    with (data / "hex_phi.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("prompt", "category"), *((request, "privacy_violation") for request in requests)])
    return requests


def unsafe_run(path: Path) -> RunFolder:
    """A run that refuses everything at step 0, and answers every second request at step 100, with its thinking."""
    set_of = shipped("self_jailbreak").documents
    refused = thought("This is not something to help with.", "I can't help with that.")
    run = RunFolder(path)
    answered(
        run, "sftgen_hex_phi", documents("sftgen_hex_phi", len(set_of)),
        {
            0: [(refused, 1.0, {"asr": 0.0}) for _ in set_of],
            100: [
                (thought(one.thinking, one.answer), 0.0, {"asr": 1.0}) if n % 2 else (refused, 1.0, {"asr": 0.0})
                for n, one in enumerate(set_of)
            ],
        },
    )  # fmt: skip
    return run
