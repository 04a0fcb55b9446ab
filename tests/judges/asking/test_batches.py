"""The Batch API: one batch, found again after a kill, with each request's own fate."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Response
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.asking.throttle import SPENT
from sftgen_judges.policy import POLICY
from sftgen_judges.scoring.grading import grade_batch
from tests import commands
from tests.conftest import Command
from tests.judges.server import Handler, completion, fail, named, prompt_of, serving


class Office:
    """Files and batches, as OpenAI's server keeps them; `finish` ends a batch."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.finish = True

    def __call__(self, handler: Handler) -> None:
        handler.send(json.dumps(self.reply(handler)).encode() if "/content" not in handler.path else self.files[
            handler.path.split("/")[-2]
        ])  # fmt: skip

    def reply(self, handler: Handler) -> dict[str, Any]:
        _, _, kind, *rest = handler.path.partition("?")[0].split("/")
        if kind == "files":
            name = f"file-{len(self.files)}"
            self.files[name] = b"\n".join(re.findall(rb'\{"custom_id".*', handler.body))
            return {"id": name, "object": "file"}
        if handler.command == "POST":
            name = f"batch-{len(self.batches)}"
            self.batches[name] = {**handler.body, "id": name, "object": "batch", "status": "in_progress"}
            return self.batches[name]
        for batch in self.batches.values():
            if self.finish and batch["status"] == "in_progress":
                self.end(batch)
        return self.batches[rest[0]] if rest else {"object": "list", "data": list(self.batches.values())}

    def end(self, batch: dict[str, Any]) -> None:
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            name, result = named(prompt_of(asked["body"])), {"custom_id": asked["custom_id"]}
            if name == "lost":
                continue
            if name == "broken":
                error = {"error": {"message": "too busy"}}
                bad.append({**result, "response": {"status_code": 500, "body": error}})
            else:
                text = "no score here" if name == "unreadable" else '{"score": 3}'
                good.append({**result, "response": {"status_code": 200, "body": completion(text, asked["body"])}})
        for rows, field in ((good[::-1], "output_file_id"), (bad, "error_file_id")):  # in no order
            if rows:
                batch[field] = f"file-{len(self.files)}"
                self.files[batch[field]] = "\n".join(map(json.dumps, rows)).encode()
        batch |= {"status": "completed", "request_counts": {"total": 9, "completed": len(good), "failed": len(bad)}}


def items(*names: str) -> list[Item]:
    return [Item({"question": f"<<{name}>>"}, Response("fine", answer="fine")) for name in names]


OPTIONS = {"backend": "batch", "model": "judge", "poll": 0.02, "backoff": 0.01, "attempts": 3}


@pytest.fixture(autouse=True)
def _fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for counter in ("calls", "tokens"):
        monkeypatch.setattr(SPENT, counter, 0)


def test_a_batch_gives_each_request_its_own_verdict(tmp_path: Path) -> None:
    office, journal = Office(), tmp_path / "v.jsonl"
    with serving(office) as server:
        judge = with_settings(POLICY, base_url=server.url, **OPTIONS)
        verdicts = grade_batch(judge, items("a", "broken", "unreadable", "lost", "b"), journal=journal)
        assert [verdict.score for verdict in verdicts] == [3, None, None, None, 3]
        assert [verdict.reason for verdict in verdicts[1:4]] == [
            "HTTP 500: too busy",
            "no score in the reply",
            "the batch has no reply to it",
        ]
        assert verdicts[0].evidence["model"] == "judge-2026"
        [batch] = office.batches.values()
        assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
        [first, *_] = map(json.loads, office.files["file-0"].splitlines())
        assert (first["method"], first["url"], first["body"]["model"]) == ("POST", "/v1/chat/completions", "judge")
        # What failed is asked again, alone; what has failed is not taken for an answer.
        grade_batch(judge, items("a", "broken", "b"), journal=journal)
        grade_batch(judge, items("a", "broken", "b"), journal=journal)
        assert [len(office.files[batch["input_file_id"]].splitlines()) for batch in office.batches.values()] == [
            5,
            1,
            1,
        ]


def test_a_batch_that_was_waited_for_is_found_again(command: Command, tmp_path: Path) -> None:
    office = Office()
    office.finish = False
    rows = [{"question": f"<<{n}>>", "response": "fine"} for n in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(office) as server:
        settings = [f"--set={name}={value}" for name, value in OPTIONS.items()]
        line = [
            "sftgen", "judge", "run", "policy", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl",
            "--base-url", server.url, *settings,
        ]  # fmt: skip
        killed = commands.start(*line)
        while not office.batches:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        office.finish = True
        done = command(*line)
        assert done.returncode == 0, done.stderr
        assert "3 of 3 judged" in done.stdout
        assert len(office.batches) == 1


def test_a_budget_holds_for_a_batch() -> None:
    office = Office()
    with serving(office) as server:
        judge = with_settings(POLICY, base_url=server.url, budget_calls=2, **OPTIONS)
        verdicts = grade_batch(judge, items("a", "b", "c"))
    assert [verdict.score for verdict in verdicts] == [3, 3, None]
    assert (verdicts[2].status, verdicts[2].reason) == ("not_graded", "budget: 2 calls are spent")


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (503, 3)])
def test_a_server_without_batches(status: int, calls: int) -> None:
    with serving(fail(status, "not with sk-secret")) as server:
        judge = with_settings(POLICY, base_url=server.url, api_key="sk-secret", **OPTIONS)
        verdicts = grade_batch(judge, items("a", "b"))
        assert len(server.calls) == calls
    assert [verdict.status for verdict in verdicts] == ["judge_error"] * 2
    assert "not with [key]" in verdicts[0].reason


def test_results_of_another_shape_are_nobodys_and_their_requests_have_no_reply() -> None:
    office = Office()
    with serving(office) as server:
        judge = with_settings(POLICY, base_url=server.url, **OPTIONS)

        def end(batch: dict[str, Any]) -> None:
            asked = [json.loads(line) for line in office.files[batch["input_file_id"]].splitlines()]
            good = {"status_code": 200, "body": completion('{"score": 3}', asked[0]["body"])}
            lines = [
                "[" * 200_000,
                "no JSON",
                "[]",
                "7",
                json.dumps({"custom_id": "99", "response": good}),
                json.dumps({"custom_id": "-1", "response": good}),
                json.dumps({"custom_id": "one", "response": good}),
                json.dumps({"response": good}),
                json.dumps({"custom_id": "0", "response": "no object"}),
                json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": {"choices": "x"}}}),
                json.dumps({"custom_id": "2", "response": {"status_code": "bad", "body": [1]}, "error": "x"}),
                json.dumps({"custom_id": "3", "response": good}),
                json.dumps({"custom_id": "3", "response": good}),  # twice
            ]
            office.files["file-out"] = "\n".join(lines).encode()
            batch |= {"status": "completed", "output_file_id": "file-out"}

        office.end = end  # type: ignore[method-assign]
        verdicts = grade_batch(judge, items("a", "b", "c", "d", "e"))
    assert [(verdict.score, verdict.reason) for verdict in verdicts] == [
        (None, "HTTP without a status"),
        (None, "no choices in the reply"),
        (None, "HTTP without a status"),
        (3, ""),
        (None, "the batch has no reply to it"),
    ]


def test_a_batch_goes_to_no_other_server() -> None:
    with serving(Office()) as other:
        to = f"{other.url}/batches"
        with serving(lambda handler: handler.send(b"", 307, Location=to)) as server:
            verdicts = grade_batch(with_settings(POLICY, base_url=server.url, **OPTIONS), items("a", "b"))
            assert (len(server.calls), other.calls) == (1, [])
    assert verdicts[0].reason.startswith("batch: HTTP 307: the server redirects to http://127.0.0.1")


@pytest.mark.parametrize("body", [b"[" * 200_000, b"7", b'{"data": 5}', b'{"data": [7]}', b"x" * 20_000_000])
def test_a_list_of_batches_of_another_shape_is_a_failure(body: bytes) -> None:
    with serving(lambda handler: handler.send(body)) as server:
        verdicts = grade_batch(with_settings(POLICY, base_url=server.url, **OPTIONS), items("a", "b"))
    assert [verdict.status for verdict in verdicts] == ["judge_error"] * 2
    assert verdicts[0].reason.startswith("batch: ")
