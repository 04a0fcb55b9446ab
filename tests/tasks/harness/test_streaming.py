"""The loop around a model that hands out responses one by one: order, what is on disk when, and grading meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from sftgen_judges import Judge, Verdict
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.records.current import Recording
from sftgen_judges.records.errors import WriteError
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.schema import doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.truth import TRUTH
from sftgen_tasks.harness.ahead import ALONE, may_run_beside, note_grading
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_tasks.harness.loading import load_tasks
from sftgen_tasks.harness.streaming import journal_generations
from tests import PATIENCE

LIMITS = {"long": 64, "short": 8}
Answered = Iterator[list[tuple[int, str]]]


class Streaming(LM):  # type: ignore[misc]
    """Answers in the order in which it is asked, one by one."""

    def __init__(self, between: Callable[[Instance], None] = lambda _: None) -> None:
        super().__init__()
        self.asked: list[list[Instance]] = []
        self.closed = 0
        self.between = between

    def generate_each(self, requests: Sequence[Instance], repeats: Sequence[int]) -> Answered:
        self.asked.append(list(requests))
        try:
            for place, request in enumerate(requests):
                self.between(request)
                yield [(place, f"\\boxed{{{request.args[0]}}}")]
        finally:
            self.closed += 1

    def _never(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("not asked for")

    generate_until = loglikelihood = loglikelihood_rolling = _never


class InBatches(Streaming):
    """The same model without a stream."""

    generate_each: Any = property(lambda _: (_ for _ in ()).throw(AttributeError))
    batch_size = 2

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        self.asked.append(list(requests))
        return [request.args[0] for request in requests]


def request(task: str, name: str) -> Instance:
    settings = {"max_gen_toks": LIMITS[task], "until": []}
    return Instance("generate_until", {"q": name}, (name, settings), 0, metadata=(task, 0, 1))


def note_lengths(folder: RunFolder, task: str, step: int, lengths: dict[str, int]) -> None:
    rows = [
        {
            "task": task,
            "step": step,
            "doc_hash": doc_hash({"q": name}),
            "repeat": 0,
            "model": f"{step}",
            "tokens": tokens,
        }
        for name, tokens in lengths.items()
    ]
    folder.add_evaluation(rows, [], {"step": step, "status": "ok"})


def generate(lm: Streaming, run: Recording, requests: list[Instance]) -> list[str]:
    journal_generations(lm, run, None, resume=True)
    return lm.generate_until(requests)


def test_all_tasks_are_one_stream_and_the_longest_expected_comes_first(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    note_lengths(folder, "short", 1, {"a": 1, "b": 8})
    note_lengths(folder, "long", 1, {"c": 60, "d": 60, "e": 2})
    note_lengths(folder, "long", 2, {"c": 5, "d": 50})
    note_lengths(folder, "long", 7, {"c": 64})  # a later step says nothing of this one
    folder.compact()
    note_lengths(folder, "short", 2, {"b": 6})
    requests = [request("short", name) for name in "ab"] + [request("long", name) for name in "cdex"]
    lm = Streaming()
    texts = generate(lm, Recording(folder, step=3, model="m"), requests)
    [asked] = lm.asked
    # Of x nothing is known: the task's mean, 19.
    assert [one.args[0] for one in asked] == ["d", "x", "b", "c", "e", "a"]
    assert texts == [f"\\boxed{{{one.args[0]}}}" for one in requests]
    # What nothing is known of may be as long as its limit.
    lm = Streaming()
    generate(lm, Recording(RunFolder(tmp_path / "new"), step=3, model="m"), requests)
    assert [one.args[0] for one in lm.asked[0]] == ["c", "d", "e", "x", "a", "b"]


def test_batches_hold_responses_of_about_the_same_length(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    note_lengths(folder, "long", 1, {"a": 3, "b": 60, "c": 4, "d": 50})
    lm = InBatches()
    generate(lm, Recording(folder, step=2, model="m"), [request("long", name) for name in "abcd"])
    assert [[one.args[0] for one in batch] for batch in lm.asked] == [["b", "d"], ["c", "a"]]


@pytest.mark.parametrize("name", ["samples.parquet", "samples.jsonl"])
def test_damaged_lengths_stop_nothing(name: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    note_lengths(folder, "long", 1, {"a": 3})
    (tmp_path / name).write_bytes(b"PAR1 no such thing \xff\x00\n{[")
    assert (
        len(generate(Streaming(), Recording(folder, step=2, model="m"), [request("long", name) for name in "ab"])) == 2
    )


def test_each_response_is_on_disk_before_the_next_is_waited_for(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    seen: list[int] = []

    def between(_: Instance) -> None:
        seen.append(sum(len(folder.read_generations(task)) for task in LIMITS))

    generate(
        Streaming(between), Recording(folder, model="m"), [request(task, name) for task in LIMITS for name in "abc"]
    )
    assert seen == [0, 1, 2, 3, 4, 5]


def test_a_loop_that_cannot_go_on_stops_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = Streaming()

    def full(*_: Any) -> None:
        raise WriteError(tmp_path / "x", OSError(28, "No space left on device"))

    monkeypatch.setattr(RunFolder, "add_generations", full)
    with pytest.raises(WriteError) as caught:
        generate(lm, Recording(RunFolder(tmp_path), model="m"), [request("long", name) for name in "abc"])
    assert lm.closed == 1
    assert caught.value.__traceback__  # which would hold the generator, if nobody closed it


# ------------------------------------------------------------------------------ grading meanwhile


def test_a_finished_task_is_graded_while_others_are_generated(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    tasks = load_tasks(["sftgen_parity", "sftgen_addition"], gen_kwargs={"max_gen_toks": 8})
    verdicts = run.folder.verdicts("sftgen_parity")
    graded: list[int] = []

    def between(asked: Instance) -> None:
        if asked.task_name == "sftgen_addition" and not graded:
            until = time.monotonic() + PATIENCE
            while len(list(read_rows(verdicts))) < 5:
                assert time.monotonic() < until, "the finished task was not graded meanwhile"
                time.sleep(0.01)
            graded.append(1)

    results = evaluate(Streaming(between), tasks, run, limit=5, chat_template=False)
    assert graded
    assert [len(result.samples) for result in results] == [5, 5]
    # The filter found them: each response was graded once.
    assert [len(list(read_rows(run.folder.verdicts(task)))) for task in ("sftgen_parity", "sftgen_addition")] == [5, 5]


def test_what_fails_ahead_fails_nothing_and_what_is_complete_from_the_start_is_graded_too(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    first, second = [request("short", name) for name in "ab"], [request("long", name) for name in "cd"]
    generate(Streaming(), run, first)
    tried: list[list[str]] = []

    def grade(_: Recording, answers: Any) -> None:
        tried.append([record.text for _, record in answers])
        raise RuntimeError("no disk, no server, no luck")

    note_grading(first, grade)

    def between(_: Instance) -> None:
        until = time.monotonic() + PATIENCE
        while not tried:
            assert time.monotonic() < until
            time.sleep(0.01)

    assert len(generate(Streaming(between), run, [*first, *second])) == 4
    assert tried == [["\\boxed{a}", "\\boxed{b}"]]


def test_grading_under_way_outlasts_generating_and_nothing_more_is_begun(tmp_path: Path) -> None:
    requests = {task: [request("short", f"{task}{number}") for number in range(2)] for task in ("one", "two", "three")}
    for task, asked in requests.items():
        for one in asked:
            one.metadata, one.task_name = (task, 0, 1), task
    begun, released, tried = threading.Event(), threading.Event(), []

    def grade(_: Recording, answers: Any) -> None:
        tried.append(answers[0][1].task)
        begun.set()
        assert released.wait(PATIENCE)

    def between(asked: Instance) -> None:
        if asked.task_name == "three":
            assert begun.wait(PATIENCE)

    for asked in requests.values():
        note_grading(asked, grade)
    try:
        generate(
            Streaming(between),
            Recording(RunFolder(tmp_path), model="m"),
            [one for asked in requests.values() for one in asked],
        )
        assert ALONE.locked()  # whoever grades next has to wait
    finally:
        released.set()
    with ALONE:
        pass
    for thread in threading.enumerate():
        if thread.name == "sftgen-grading":
            thread.join(PATIENCE)
    assert tried == ["one"]


def test_no_model_of_a_judge_shares_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    server = with_settings(TRUTH, base_url="http://x/v1", model="m")
    rule = Judge("rule", 1, (0, 1), 1, judge=lambda items: [Verdict("ok", 1.0) for _ in items])
    local = with_settings(TRUTH, backend="transformers", model="m")
    own = Judge("own", 1, (0, 1), 1, score_batch=lambda items, _: [], needs=("local model",))

    def panel(*parts: Judge) -> Judge:
        return Judge("panel", 1, (0, 1), 1, judge=rule.judge, parts=parts)

    beside = [server, rule, panel(server, rule)]
    assert [may_run_beside(judge) for judge in beside] == [True] * 3
    assert [may_run_beside(judge) for judge in (TRUTH, local, own, panel(server, local))] == [False] * 4
