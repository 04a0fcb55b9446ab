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
from tests.tasks.harness.test_lm_eval_tasks import Scripted, answer_of

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


@pytest.mark.parametrize("of_ten", [0, 1, 2])
def test_what_is_told_of_many_responses_does_not_depend_on_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_ten: int
) -> None:
    monkeypatch.setattr(stored, "CHARACTERS", 30)  # about a document
    left = iter(range(20))

    def answer(prompt: str) -> str:
        thinking = "<ponder>even</ponder>" if next(left) < of_ten * 2 else ""
        return rf"{thinking}\boxed{{{answer_of(prompt)}}}"

    run = RunFolder(tmp_path)
    [result] = evaluate(Scripted(answer), load_tasks([TASK]), Recording(run), limit=20)
    add_results(run, None, [result], seconds=1.0)
    [(_, again)] = rescore(tmp_path, [TASK])
    assert {name: sum(values) for name, values in again.values.items()} == {
        name: sum(values) for name, values in result.values.items()
    }
    assert ("unknown_markers" in again.values) == (of_ten >= 1)
