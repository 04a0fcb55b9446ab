"""Grading in batch: one bad response or grader costs one verdict, and none is made twice."""

from __future__ import annotations

import json
import logging
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Grader, Item, Judge, Response, Verdict
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring import process_pool
from sftgen_judges.scoring.grading import grade_batch
from tests import PATIENCE
from tests.judges.graders import grade_as_told

# ------------------------------------------------------------------------------ graders for these tests


def items(*tricks: str) -> list[Item]:
    return [Item({"do": trick, "number": number}, Response("t", answer="4")) for number, trick in enumerate(tricks)]


def counting(version: int = 1) -> tuple[Grader, list[str]]:
    called: list[str] = []

    def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
        called.append(doc["do"])
        return grade_as_told(doc, response)

    return Grader("counting", version, grade), called


def statuses(verdicts: Iterable[Verdict]) -> list[str]:
    return [verdict.status for verdict in verdicts]


# ------------------------------------------------------------------------------ the journal


def test_a_known_verdict_is_not_asked_for_again(tmp_path: Path) -> None:
    journal = tmp_path / "verdicts" / "task.jsonl"
    grader, called = counting()
    first = grade_batch(grader, items("pass", "pass"), journal=journal)
    again = grade_batch(grader, items("pass", "pass"), journal=journal)
    assert first == again == [Verdict("ok", 1.0, answer="4")] * 2
    assert len(called) == 2
    assert len(list(read_rows(journal))) == 2


def test_equal_items_are_graded_once() -> None:
    grader, called = counting()
    [item] = items("pass")
    assert statuses(grade_batch(grader, [item, item, item])) == ["ok"] * 3
    assert len(called) == 1


def test_a_new_version_grades_again(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    grade_batch(counting(version=1)[0], items("pass"), journal=journal)
    grader, called = counting(version=2)
    grade_batch(grader, items("pass"), journal=journal)
    assert len(called) == 1


@pytest.mark.parametrize(
    "changed",
    [
        Item({"do": "pass", "number": 1}, Response("t", answer="4")),
        Item({"do": "pass", "number": 0}, Response("u", answer="4")),
        Item({"do": "pass", "number": 0}, Response("t", answer="5")),
        Item({"do": "pass", "number": 0}, Response("t", "closed", answer="4")),
        Item({"do": "pass", "number": 0}, Response("t", answer="4", finish_reason="length")),
    ],
    ids=["document", "text", "answer", "thinking", "finish reason"],
)
def test_other_content_is_graded_by_itself(changed: Item, tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    grader, called = counting()
    grade_batch(grader, items("pass"), journal=journal)
    grade_batch(grader, [changed], journal=journal)
    assert len(called) == 2


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    grader, called = counting()
    for _ in range(2):
        assert statuses(grade_batch(grader, items("raise", "fail", "pass"), journal=journal)) == [
            "not_graded",
            "sandbox_error",
            "ok",
        ]
    assert called == ["raise", "fail", "pass", "raise", "fail"]


def test_each_verdict_is_written_before_the_next_is_made(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    seen: list[int] = []

    def grade(_doc: Mapping[str, Any], _response: Response) -> Verdict:
        seen.append(len(list(read_rows(journal))))
        return Verdict("ok", 1.0)

    grade_batch(Grader("writes", 1, grade), items("pass", "pass", "pass"), journal=journal)
    assert seen == [0, 1, 2]


def test_a_torn_last_line_costs_one_verdict(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    grader, called = counting()
    grade_batch(grader, items("pass", "pass"), journal=journal)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    assert statuses(grade_batch(grader, items("pass", "pass"), journal=journal)) == ["ok", "ok"]
    assert len(called) == 3
    # What was torn stays a line of its own; what came after it can be read.
    assert statuses(grade_batch(grader, items("pass", "pass"), journal=journal)) == ["ok", "ok"]
    assert len(called) == 3


@pytest.mark.parametrize(
    "row",
    [
        b"\xff\xfe\x00",
        b"[]",
        b"7",
        b"{}",
        b'{"key": "k"}',
        b'{"key": "k", "status": "ok", "score": null}',
        b'{"key": []}',
    ],
)
def test_a_damaged_line_is_passed_over(row: bytes, tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    journal.write_bytes(row + b"\n")
    assert statuses(grade_batch(counting()[0], items("pass"), journal=journal)) == ["ok"]


# ------------------------------------------------------------------------------ graders that misbehave

# What the grader does -> the reason a person reads.
HERE = {
    "raise": "ZeroDivisionError: division by zero",
    "raise what cannot be pickled": "AwkwardError: ab",
    "raise TimeoutError": "TimeoutError: my own",
    "exit": "SystemExit: 1",
    "return a number": "TypeError: grader 'g' returned float, expected Verdict",
    "return nothing": "TypeError: grader 'g' returned NoneType, expected Verdict",
}


@pytest.mark.parametrize(("trick", "reason"), HERE.items())
def test_a_grader_that_misbehaves_costs_one_verdict(trick: str, reason: str) -> None:
    before, bad, after = grade_batch(Grader("g", 1, grade_as_told), items("pass", trick, "pass"))
    assert statuses([before, after]) == ["ok", "ok"]
    assert bad == Verdict("not_graded", reason=reason)


def test_workers_survive_everything_a_grader_does() -> None:
    in_worker = {
        **HERE,
        "die": "the worker process died with exit code 3",
        "sleep": "took longer than 6 s",
        "compute": "took longer than 6 s",
        "return a function": "AttributeError: Can't",
    }
    tricks = ["pass", *in_worker, "pass", "fail", "pass"]
    verdicts = grade_batch(Grader("g", 1, grade_as_told, 6.0), items(*tricks))
    for trick, verdict in zip(tricks, verdicts, strict=True):
        if trick in in_worker:
            assert (trick, verdict.status, verdict.score) == (trick, "not_graded", None)
            assert verdict.reason.startswith(in_worker[trick])
        else:
            assert verdict.status == {"pass": "ok", "fail": "sandbox_error"}[trick]


def test_grading_goes_on_after_the_workers_were_killed() -> None:
    grader = Grader("g", 1, grade_as_told, 20.0)
    assert statuses(grade_batch(grader, items("pass", "pass"))) == ["ok", "ok"]
    for worker in multiprocessing.active_children():
        if isinstance(worker, process_pool._Process):  # others of this process may serve other tests
            worker.kill()
    assert statuses(grade_batch(grader, items("pass", "pass", "pass"))) == ["ok"] * 3
    assert statuses(grade_batch(grader, items("pass"))) == ["ok"]


def test_a_grader_that_workers_cannot_reach_says_so() -> None:
    def local(_doc: Mapping[str, Any], _response: Response) -> Verdict:
        return Verdict("ok", 1.0)

    [verdict] = grade_batch(Grader("g", 1, local, 5.0), items("pass"))
    assert verdict.status == "not_graded"
    assert verdict.reason.startswith("cannot be sent to a worker")
    # And the workers are none the worse.
    assert statuses(grade_batch(Grader("g", 1, grade_as_told, 5.0), items("pass"))) == ["ok"]


def test_a_script_without_main_guard_can_use_a_time_limit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
from sftgen_judges import Grader, Item, Response, Verdict
from sftgen_judges.scoring import process_pool
from sftgen_judges.scoring.grading import grade_batch
from graders import grade

print("top level", flush=True)

def own(doc, response):
    return Verdict("ok", 1.0)

items = [Item({"n": n}, Response("t")) for n in range(4)]
print([verdict.score for verdict in grade_batch(Grader("g", 1, grade, time_limit=20.0), items)])
print(grade_batch(Grader("own", 1, own, time_limit=20.0), items[:1])[0].reason)
"""
    )
    (tmp_path / "graders.py").write_text(
        """
from sftgen_judges import Verdict

def grade(doc, response):
    return Verdict("ok", float(doc["n"]))
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "top level",
        "[0.0, 1.0, 2.0, 3.0]",
        "with a time limit, a grader has to live in a module that workers can import",
    ]


def test_a_message_is_cut_short() -> None:
    def grade(_doc: Mapping[str, Any], _response: Response) -> Verdict:
        raise ValueError("x" * 10_000)

    [verdict] = grade_batch(Grader("g", 1, grade), items("pass"))
    assert len(verdict.reason) == 200


def test_failures_are_announced_without_quoting_the_response(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def grade(_doc: Mapping[str, Any], response: Response) -> Verdict:
        raise ValueError(f"cannot read {response.answer}")

    journal = tmp_path / "v.jsonl"
    text = "Mix the two powders slowly."
    given = [Item({"do": "pass"}, Response(text, answer=text))]
    [verdict] = grade_batch(Grader("g", 1, grade), given, journal=journal, label="my_task")
    assert [message for _, level, message in caplog.record_tuples if level == logging.WARNING] == [
        "my_task: 1 of 1 responses not graded. First: ValueError; the whole reason quotes the sample and is in the "
        "records only"
    ]
    # The records keep the whole reason.
    assert verdict.reason == "ValueError: cannot read Mix the two powders slowly."
    assert [row["reason"] for row in read_rows(journal)] == [verdict.reason]


def test_the_whole_first_reason_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    def grade(_doc: Mapping[str, Any], _response: Response) -> Verdict:
        raise ValueError("no column 'target': expected one\nin the document")

    grade_batch(Grader("g", 1, grade), items("pass"), label="my_task")
    assert caplog.messages == [
        "my_task: 1 of 1 responses not graded. First: ValueError: no column 'target': expected one in the document"
    ]


def test_nothing_to_grade() -> None:
    assert grade_batch(Grader("g", 1, grade_as_told), []) == []


# ------------------------------------------------------------------------------ judges


def judge(give: Callable[[Sequence[Item]], Any]) -> Judge:
    return Judge("j", 1, (0, 1), 1, give)


def test_a_judge_sees_the_whole_batch_in_order() -> None:
    def give(batch: Sequence[Item]) -> list[Verdict]:
        return [Verdict("ok", item.doc["number"] / len(batch)) for item in batch]

    assert [verdict.score for verdict in grade_batch(judge(give), items("a", "b", "c", "d"))] == [0, 0.25, 0.5, 0.75]


def raises_midway(_items: Sequence[Item]) -> Iterator[Verdict]:
    yield Verdict("ok", 1.0)
    raise ConnectionError("endpoint went away")


def raises_at_once(_items: Sequence[Item]) -> Iterator[Verdict]:
    raise ConnectionError("endpoint went away")


def gives_a_number(_items: Sequence[Item]) -> Iterator[Any]:
    yield Verdict("ok", 1.0)
    yield 0.5


JUDGES = {
    "raises midway": (raises_midway, 1, "ConnectionError: endpoint went away"),
    "raises at once": (raises_at_once, 0, "ConnectionError: endpoint went away"),
    "exits": (lambda _: sys.exit(2), 0, "SystemExit: 2"),
    "yields too few": (lambda _: iter([Verdict("ok", 1.0)]), 1, "the judge stopped early"),
    "yields a number": (gives_a_number, 1, "TypeError: judge 'j' gave float, expected Verdict"),
    "returns nothing": (lambda _: None, 0, "TypeError: 'NoneType' object is not iterable"),
}


@pytest.mark.parametrize(("give", "good", "reason"), JUDGES.values(), ids=JUDGES)
def test_a_judge_that_fails_leaves_the_rest_unscored(give: Any, good: int, reason: str) -> None:
    verdicts = grade_batch(judge(give), items("a", "b", "c"))
    assert verdicts[:good] == [Verdict("ok", 1.0)] * good
    assert verdicts[good:] == [Verdict("judge_error", reason=reason)] * (3 - good)


@pytest.mark.parametrize(("give", "good", "reason"), JUDGES.values(), ids=JUDGES)
def test_a_grader_may_take_all_at_once(give: Any, good: int, reason: str) -> None:
    grader = Grader("j", 1, grade_as_told, grade_all=give)
    verdicts = grade_batch(grader, items("raise", "raise", "raise"))
    assert verdicts[:good] == [Verdict("ok", 1.0)] * good
    assert verdicts[good:] == [Verdict("not_graded", reason=reason.replace("judge", "grader"))] * (3 - good)


def test_a_judge_that_yields_too_many_is_cut_off() -> None:
    def give(_items: Sequence[Item]) -> Iterator[Verdict]:
        while True:
            yield Verdict("ok", 1.0)

    assert statuses(grade_batch(judge(give), items("a", "b"))) == ["ok", "ok"]


def test_only_what_a_judge_failed_on_is_asked_again(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    assert statuses(grade_batch(judge(raises_midway), items("a", "b"), journal=journal)) == ["ok", "judge_error"]
    asked: list[str] = []

    def works(batch: Sequence[Item]) -> list[Verdict]:
        asked.extend(item.doc["do"] for item in batch)
        return [Verdict("ok", 0.0) for _ in batch]

    again = grade_batch(judge(works), items("a", "b"), journal=journal)
    assert [verdict.score for verdict in again] == [1.0, 0.0]
    assert asked == ["b"]
    assert all(json.loads(line)["scorer"] == "j" for line in journal.read_text().splitlines())


def test_a_judge_and_a_grader_of_one_name_do_not_share_verdicts(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    grade_batch(Grader("j", 1, grade_as_told), items("pass"), journal=journal)
    [verdict] = grade_batch(judge(lambda batch: [Verdict("ok", 0.0) for _ in batch]), items("pass"), journal=journal)
    assert verdict.score == 0.0
