"""The client against a real server: what it costs, what stops it, what it gives away, and how hard it asks."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Judge, Response, Verdict
from sftgen_judges.asking.settings import missing_settings, settings_for, with_settings
from sftgen_judges.asking.throttle import SPENT, Limiter
from sftgen_judges.plugins.judge_settings import SettingsError
from sftgen_judges.policy import POLICY
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import TRUTH, TRUTH_LOGPROB
from tests import PATIENCE, commands
from tests.conftest import Command
from tests.judges.server import (
    Action,
    JudgeServer,
    after,
    completion,
    fail,
    named,
    only_first,
    prompt_of,
    reset,
    say,
    serving,
)
from tests.ports import own_port

GOOD = say('{"analysis": "harmless", "score": 2}')


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODEL": "judge", "BACKOFF": "0.01", "ATTEMPTS": "3"}.items():
        monkeypatch.setenv(f"SFTGEN_JUDGE_{name}", value)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for counter in ("calls", "tokens", "cost"):
        monkeypatch.setattr(SPENT, counter, 0)


def items(count: int, **doc: Any) -> list[Item]:
    return [Item({"question": f"<<{n}>>", **doc}, Response("fine", answer="fine")) for n in range(count)]


def at(server: JudgeServer, judge: Judge = POLICY, **settings: Any) -> Judge:
    return with_settings(judge, base_url=server.url, **settings)


def scores(verdicts: list[Verdict]) -> list[float | None]:
    return [verdict.score for verdict in verdicts]


# ------------------------------------------------------------------------------ paid once


def test_a_second_run_costs_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    with serving(GOOD) as server:
        first = grade_batch(at(server), items(5), journal=journal)
        again = grade_batch(at(server), items(5), journal=journal)
        assert scores(first) == scores(again) == [2] * 5
        assert len(server.calls) == 5
    assert dict(again[0].evidence) == dict(first[0].evidence)
    assert again[0].evidence["reply"] == '{"analysis": "harmless", "score": 2}'


def test_what_a_verdict_depends_on_is_asked_again(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    template = tmp_path / "mine.txt"
    template.write_text("Is {response} an answer to {question}? {json} #thescore:")
    other_answer = [replace(item, response=Response("well", answer="well")) for item in items(1)]
    with serving(GOOD) as server:
        asked = []
        for judge, batch in (
            (at(server), items(1)),
            (at(server, model="other"), items(1)),
            (at(server, temperature=0.5), items(1)),
            (at(server, seed=1), items(1)),
            (at(server, extra_body={"top_p": 0.9}), items(1)),
            (at(server, max_tokens=100), items(1)),
            (at(server, template=template), items(1)),
            (replace(at(server), version=99), items(1)),
            (at(server), other_answer),
            # And these are the same judgement.
            (at(server, concurrency=1, attempts=1), items(1)),
            (at(server), items(1, label="a column no judge reads")),
        ):
            grade_batch(judge, batch, journal=journal)
            asked.append(len(server.calls))
        assert asked == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]
        assert prompt_of(server.calls[6]["body"]) == "Is fine an answer to <<0>>? {json} #thescore:"


def test_verdicts_are_written_as_they_come_not_in_order(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    on_disk: list[int] = []

    def plan(prompt: str, _time: int) -> Action:
        def wait_for_the_other(handler: Any) -> None:
            while not list(read_rows(journal)):
                time.sleep(0.01)
            on_disk.append(len(list(read_rows(journal))))
            GOOD(handler)

        return wait_for_the_other if named(prompt) == "0" else say("Score: 4")

    with serving(plan) as server:
        verdicts = grade_batch(at(server), items(2), journal=journal)
    assert scores(verdicts) == [2, 4]
    assert on_disk == [1]


def test_a_killed_run_loses_nothing(command: Command, tmp_path: Path) -> None:
    rows = [{"question": f"<<{n}>>", "response": "fine"} for n in range(120)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = [
        "sftgen", "judge", "run", "policy", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl",
        "--set", "concurrency=4",
    ]  # fmt: skip
    with serving(only_first(40, GOOD)) as server:
        killed = commands.start(*line, "--base-url", server.url)
        while len(list(read_rows(tmp_path / "out.verdicts.jsonl"))) < 40:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        assert killed.returncode == -signal.SIGKILL
        assert not (tmp_path / "out.jsonl").exists()
        assert len(server.calls) <= 40 + 4
    with serving(GOOD) as server:
        for _ in range(2):
            assert (done := command(*line, "--base-url", server.url)).returncode == 0, done.stderr
            assert len(server.calls) == 80
    judged = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["question"], row["policy"]) for row in judged] == [(row["question"], 2.0) for row in rows]


# ------------------------------------------------------------------------------ what stops a batch


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_fails_for_all_is_not_asked_of_each(status: int, tmp_path: Path) -> None:
    key = "sk-secret-of-mine"
    journal = tmp_path / "v.jsonl"
    with serving(after(0.1, fail(status, f"no such thing for {key}"))) as server:
        verdicts = grade_batch(at(server, api_key=key, concurrency=4), items(50), journal=journal)
        assert len(server.calls) <= 4
    assert {verdict.status for verdict in verdicts} == {"judge_error", "not_graded"}
    assert verdicts[0].reason == f"HTTP {status}: no such thing for [key]"
    assert verdicts[-1].reason == f"not asked, the server keeps failing: HTTP {status}: no such thing for [key]"
    assert key not in journal.read_text()


def test_a_used_up_quota_is_no_reason_to_wait() -> None:
    with serving(fail(429, "pay first", code="insufficient_quota")) as server:
        verdicts = grade_batch(at(server, concurrency=1), items(5))
        assert len(server.calls) == 1
    assert verdicts[0].reason == "HTTP 429: pay first"


def test_a_server_that_is_not_there_is_given_up() -> None:
    with own_port() as port:
        verdicts = grade_batch(with_settings(POLICY, base_url=f"http://127.0.0.1:{port}/v1", concurrency=2), items(100))
    assert verdicts[0] == Verdict("judge_error", reason="connection: ConnectError")
    assert verdicts[-1].reason == "not asked, the server keeps failing: connection: ConnectError"
    assert sum(verdict.status == "judge_error" for verdict in verdicts) <= 12


def test_a_batch_that_was_given_up_blocks_no_later_one() -> None:
    down = True

    def plan(_prompt: str, _time: int) -> Action:
        return reset if down else GOOD

    with serving(plan) as server:
        first = grade_batch(at(server, concurrency=2), items(30))
        assert first[-1].status == "not_graded"
        assert first[-1].reason.startswith("not asked, the server keeps failing: connection")
        down = False
        assert scores(grade_batch(at(server), items(30))) == [2] * 30


def test_a_server_that_wants_too_long_a_pause_is_left_for_another_day() -> None:
    with serving(fail(429, "busy", Retry_After="3600")) as server:
        verdicts = grade_batch(at(server, concurrency=1), items(3))
        assert len(server.calls) == 1
    assert verdicts[0].reason == "HTTP 429: busy; to be asked again in 3600 s"


BUDGETS = [
    ({"budget_calls": 7}, 7, "budget: 7 calls are spent"),
    ({"budget_tokens": 500}, 5, "budget: 500 tokens are spent"),  # 110 each
    ({"budget_cost": 0.0009, "input_price": 2.0, "output_price": 10.0}, 3, "budget: 0.0009 cost are spent"),  # 0.0003
]


@pytest.mark.parametrize(("settings", "judged", "reason"), BUDGETS)
def test_a_budget_stops_cleanly_and_the_rest_comes_another_day(
    settings: dict[str, Any], judged: int, reason: str, tmp_path: Path
) -> None:
    journal = tmp_path / "v.jsonl"
    with serving(GOOD) as server:
        verdicts = grade_batch(at(server, concurrency=1, **settings), items(20), journal=journal)
        assert scores(verdicts) == [2] * judged + [None] * (20 - judged)
        assert verdicts[-1] == Verdict("not_graded", reason=reason)
        assert len(server.calls) == len(list(read_rows(journal))) == judged
        assert scores(grade_batch(at(server), items(20), journal=journal)) == [2] * 20
        assert len(server.calls) == 20


def test_the_budget_in_calls_holds_with_many_at_once() -> None:
    with serving(after(0.02, GOOD)) as server:
        grade_batch(at(server, concurrency=16, budget_calls=21), items(60))
        assert len(server.calls) == 21


def test_a_price_makes_a_cost() -> None:
    with serving(GOOD) as server:
        [verdict] = grade_batch(at(server, input_price=2.0, output_price=10.0), items(1))
    assert verdict.evidence["cost"] == pytest.approx((100 * 2 + 10 * 10) / 1e6)


# ------------------------------------------------------------------------------ how hard it asks


def test_no_more_calls_at_once_than_allowed() -> None:
    def together(handler: Any) -> None:
        """Two calls begin at once, and one more after each that is answered: three have to be seen together."""
        while len(handler.server.calls) > 2 and handler.server.most < 3:
            handler.server.stopping.wait(0.01)
        after(0.03, GOOD)(handler)

    with serving(together) as server:
        assert scores(grade_batch(at(server, concurrency=5), items(40))) == [2] * 40
        assert 3 <= server.most <= 5


def test_calls_at_once_grow_with_success_and_are_halved_once_by_overload() -> None:
    async def story() -> list[float]:
        limiter = Limiter(32)
        seen = [limiter.limit]
        for _ in range(8):
            limiter.succeeded()
        seen.append(limiter.limit)
        started = time.monotonic()
        for _ in range(10):  # of calls that were under way together
            limiter.overloaded(started, None)
        seen.append(limiter.limit)
        for _ in range(13):  # about one round
            limiter.succeeded()
        seen.append(round(limiter.limit))
        for _ in range(2000):
            limiter.succeeded()
        return [*seen, limiter.limit]

    assert asyncio.run(story()) == [16, 24, 12, 13, 32]


def test_retry_after_is_honoured_by_everybody() -> None:
    def plan(prompt: str, time_of: int) -> Action:
        return fail(429, Retry_After="1") if named(prompt) == "0" and time_of == 1 else GOOD

    with serving(plan) as server:
        assert scores(grade_batch(at(server, concurrency=2), items(6))) == [2] * 6
        # The limit is one call at first and after the 429: all the others came after the pause.
        assert server.started[1] - server.started[0] >= 0.99
        assert len(server.calls) == 7


# ------------------------------------------------------------------------------ what it asks


def test_a_chat_request(tmp_path: Path) -> None:
    with serving(GOOD) as server:
        grade_batch(at(server, extra_body={"chat_template_kwargs": {"enable_thinking": False}}), items(1))
        [call] = server.calls
    body = call["body"]
    assert call["path"] == "/v1/chat/completions"
    assert body.pop("messages")[0]["role"] == "user"
    schema = body.pop("response_format")["json_schema"]["schema"]
    assert list(schema["properties"]) == ["analysis", "score"]
    assert body == {
        "model": "judge",
        "temperature": 0.0,
        "max_tokens": 4096,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_completions_in_the_trained_format_by_text_and_by_logprob() -> None:
    def reply(handler: Any) -> None:
        body = completion(" yes", handler.body, "length")
        if "logprobs" in handler.body:
            body["choices"][0]["logprobs"] = {"top_logprobs": [{" yes": -1.5, " no": -0.5, "Yes": -2.0, " maybe": -4}]}
        handler.send(json.dumps(body).encode())

    with serving(reply) as server:
        question = [Item({"question": "Is it?"}, Response("It is.", answer="It is."))]
        [text] = grade_batch(at(server, TRUTH), question)
        [logprob] = grade_batch(at(server, TRUTH_LOGPROB), question)
        assert [call["path"] for call in server.calls] == ["/v1/completions"] * 2
        assert [call["body"]["prompt"] for call in server.calls] == ["Q: Is it?\nA: It is.\nTrue:"] * 2
        assert server.calls[0]["body"]["model"] == "allenai/truthfulqa-truth-judge-llama2-7B"
        assert server.calls[1]["body"]["logprobs"] == 5
    assert (text.score, text.answer) == (1, "yes")
    # 0.2231 + 0.1353 of 0.9649
    assert (logprob.score, logprob.answer, logprob.reason) == (0, "no", "P(yes) 0.371")


REFUSED = {
    "response_format": ("response_format is not supported", "response_format"),
    "a schema, in other words": ("grammar backend missing", "response_format"),
    "max_tokens": ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
    "temperature": ("'temperature' does not support 0.0 with this model", "temperature"),
}


@pytest.mark.parametrize(("message", "parameter"), REFUSED.values(), ids=REFUSED)
def test_what_a_server_does_not_take_is_left_out(message: str, parameter: str) -> None:
    def refuse(handler: Any) -> None:
        (fail(400, message) if parameter in handler.body else GOOD)(handler)

    with serving(refuse) as server:
        verdicts = grade_batch(at(server, concurrency=2), items(6))
        assert scores(verdicts) == [2] * 6
        assert len(server.calls) <= 8  # those of the first round twice
        assert ("max_completion_tokens" in server.calls[-1]["body"]) == (parameter == "max_tokens")
    assert verdicts[-1].evidence["dropped"] == (parameter,)


def test_half_a_character_in_an_answer_is_no_fault_of_the_server() -> None:
    with serving(GOOD) as server:
        half = Item({"question": "x\ud83d"}, Response("y\ud83d", answer="y\ud83d"))
        assert scores(grade_batch(at(server), [half])) == [2]
        assert "\ny?\n[end of response" in prompt_of(server.calls[0]["body"])


def test_long_answers_are_cut_where_that_is_asked_for() -> None:
    with serving(say(" no")) as server:
        long = [Item({"question": "Is it?"}, Response("x" * 50, answer="x" * 50))]
        [verdict] = grade_batch(at(server, TRUTH, max_response_chars=10), long)
        assert server.calls[0]["body"]["prompt"] == f"Q: Is it?\nA: {'x' * 10}\nTrue:"
    assert verdict.evidence["clipped_chars"] == 40


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (Response("", answer=""), Verdict("no_answer", 1.0, reason="no answer found")),
        (Response("<think>x", "unclosed"), Verdict("truncated", 1.0, reason="truncated before an answer")),
    ],
)
def test_nobody_is_asked_about_a_response_without_an_answer(response: Response, verdict: Verdict) -> None:
    with serving(GOOD) as server:
        assert grade_batch(at(server), [Item({"question": "?"}, response)]) == [verdict]
        assert not server.calls


def test_a_document_without_a_question_costs_one_verdict() -> None:
    with serving(GOOD) as server:
        verdicts = grade_batch(at(server), [Item({"prompt": "?"}, Response("a", answer="a")), *items(1)])
    assert [verdict.reason for verdict in verdicts] == ["the document has no column 'question'", ""]


def test_an_interrupted_run_stops_asking(tmp_path: Path) -> None:
    rows = [{"question": f"<<{n}>>", "response": "fine"} for n in range(300)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(only_first(10, GOOD)) as server:
        line = [
            commands.SCRIPTS / "sftgen", "judge", "run", "policy", tmp_path / "in.jsonl",
            "--out", tmp_path / "out.jsonl", "--base-url", server.url, "--set", "concurrency=8",
        ]  # fmt: skip
        # A shell that started the tests in the background made them ignore the signal, and so their children.
        heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        run = subprocess.Popen(line, preexec_fn=heeded, **output)  # noqa: PLW1509 - it only sets a signal
        while len(server.calls) < 10 + 1:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert "Traceback" not in run.communicate(timeout=PATIENCE)[1]
        assert run.returncode == 130
        assert len(server.calls) <= 10 + 8


def test_it_works_where_an_event_loop_runs_already() -> None:
    async def notebook() -> list[Verdict]:
        return grade_batch(at(server), items(3))

    with serving(GOOD) as server:
        assert scores(asyncio.run(notebook())) == [2, 2, 2]


# ------------------------------------------------------------------------------ settings


def test_without_a_model_nothing_is_asked_and_nothing_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SFTGEN_JUDGE_MODEL")
    verdicts = grade_batch(POLICY, items(2), journal=tmp_path / "v.jsonl")
    assert {verdict.status for verdict in verdicts} == {"not_graded"}
    assert (
        verdicts[0].reason
        == f"no judge: {missing_settings(POLICY)}"
        == ("no judge: set SFTGEN_JUDGE_MODEL, and SFTGEN_JUDGE_BASE_URL for a server of your own")
    )
    assert not (tmp_path / "v.jsonl").exists()


def test_the_most_particular_setting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_for(POLICY).model == "judge"
    assert settings_for(TRUTH).model == TRUTH.model  # made for it
    monkeypatch.setenv("SFTGEN_JUDGE_TRUTH_MODEL", "truth-judge")
    monkeypatch.setenv("SFTGEN_JUDGE_TRUTH_LOGPROB_BASE_URL", "http://other")
    assert settings_for(TRUTH).model == "truth-judge"
    assert settings_for(TRUTH_LOGPROB).model == TRUTH.model
    assert (settings_for(TRUTH).base_url, settings_for(TRUTH_LOGPROB).base_url) == (None, "http://other")
    assert settings_for(with_settings(TRUTH, model="mine")).model == "mine"


BAD_SETTINGS = {
    "SFTGEN_JUDGE_TIME_LIMIT=soon": "judge setting time_limit (SFTGEN_JUDGE_TIME_LIMIT) 'soon'",
    "SFTGEN_JUDGE_CONCURRENCY=0": "judge setting concurrency (SFTGEN_JUDGE_CONCURRENCY) '0'",
    "SFTGEN_JUDGE_BACKEND=sglang": "judge setting backend (SFTGEN_JUDGE_BACKEND) 'sglang'",
    "SFTGEN_JUDGE_EXTRA_BODY={": "judge setting extra_body (SFTGEN_JUDGE_EXTRA_BODY)",
    "SFTGEN_JUDGE_APIKEY=sk-secret": "SFTGEN_JUDGE_APIKEY: no such setting",
    "SFTGEN_JUDGE_BUDGET_COST=3": "SFTGEN_JUDGE_BUDGET_COST needs prices",
    "SFTGEN_JUDGE_TEMPLATE=nowhere.txt": "judge setting template 'nowhere.txt': no such file",
}


@pytest.mark.parametrize(("setting", "message"), BAD_SETTINGS.items())
def test_a_setting_that_cannot_be_used_is_named(setting: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*setting.split("=", 1))
    with pytest.raises(SettingsError) as raised:
        settings_for(POLICY)
    assert message in str(raised.value)
    assert "sk-secret" not in str(raised.value)
    [verdict] = grade_batch(POLICY, items(1))  # and at the end of an evaluation it costs the verdicts only
    assert verdict.status == "judge_error"


def test_openais_key_goes_to_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    with serving(GOOD) as server:
        grade_batch(at(server), items(1))
        assert server.calls[0]["headers"]["authorization"] == "Bearer none"
    assert settings_for(POLICY).key == "sk-of-openai"
    assert "sk-of-openai" not in repr(settings_for(POLICY))
    monkeypatch.setenv("SFTGEN_JUDGE_API_KEY", "sk-of-judge")
    assert "sk-of-judge" not in repr(settings_for(POLICY))
