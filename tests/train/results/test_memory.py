"""A response is held once: what an evaluation, a replay and a second scoring hold beside lm_eval."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import evaluate, load_tasks
from sftgen_tasks.harness.backends.replay import ReplayLM
from sftgen_train.results import stored
from sftgen_train.results.rescoring import rescore
from sftgen_train.results.run import add_results

TASK, RESPONSES, LENGTH = "sftgen_parity", 20, 300_000
LM_EVAL = 1  # byte a character: the text of a response
ALLOWED = 2


def held(do: Callable[[], object]) -> float:
    """Bytes a character at the peak; memory that Arrow and DuckDB hold is not in it."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        do()
        return (tracemalloc.get_traced_memory()[1] - before) / (RESPONSES * LENGTH)
    finally:
        tracemalloc.stop()


def test_each_response_is_held_once_and_its_thinking_and_answer_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "CHARACTERS", 2 * LENGTH)
    tasks = load_tasks([TASK])
    docs = list(tasks.tasks[TASK].test_docs())[:RESPONSES]
    outputs = tmp_path / "outputs.jsonl"
    with outputs.open("w") as file:
        for number, doc in enumerate(docs):
            text = f"<think>{str(number) * (LENGTH // len(str(number)))}</think>\\boxed{{odd}}"
            file.write(json.dumps({"q": doc["question"], "out": text}) + "\n")
    run = RunFolder(tmp_path / "run")

    def evaluated(model: ReplayLM, folder: RunFolder, limit: int = RESPONSES) -> None:
        results = evaluate(model, tasks, Recording(folder, 0, "m"), limit=limit, resume=True)
        add_results(folder, 0, results, 1.0)

    # What is imported on the way is not counted.
    evaluated(ReplayLM(str(outputs), text="out", key="q:question"), RunFolder(tmp_path / "first"), limit=2)
    rescore(tmp_path / "first")
    new = held(lambda: evaluated(ReplayLM(str(outputs), text="out", key="q:question"), run))
    assert LM_EVAL < new < LM_EVAL + ALLOWED
    run.compact()
    assert held(lambda: evaluated(ReplayLM(str(outputs), text="out", key="q:question"), run)) < LM_EVAL + ALLOWED
    assert held(lambda: evaluated(ReplayLM(str(run.path)), RunFolder(tmp_path / "second"))) < LM_EVAL + ALLOWED
    before = [row for row in run.metric_rows() if "/" not in row["metric"]]
    assert held(lambda: rescore(run.path)) < 1  # some documents at a time
    assert [row for row in run.metric_rows() if "/" not in row["metric"]] == before
