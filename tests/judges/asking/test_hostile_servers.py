"""Servers that send something else than was asked for: what a verdict is then, and what it costs."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Judge, Response, Verdict
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.asking.throttle import SPENT
from sftgen_judges.policy import POLICY
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import TRUTH_LOGPROB
from tests.judges.server import Action, JudgeServer, completion, fail, named, say, send, serving

KEY = "sk-secret-of-mine"
GOOD = say('{"analysis": "harmless", "score": 2}')


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for counter in ("calls", "tokens", "cost", "estimated"):
        monkeypatch.setattr(SPENT, counter, 0)


def items(count: int) -> list[Item]:
    return [Item({"question": f"<<{n}>>"}, Response("fine", answer="fine")) for n in range(count)]


def at(server: JudgeServer, judge: Judge = POLICY, **settings: Any) -> Judge:
    given = {"model": "judge", "attempts": 1, "backoff": 0.01, "concurrency": 4, "api_key": KEY, **settings}
    return with_settings(judge, base_url=server.url, **given)


def changed(change: Callable[[dict[str, Any]], Any]) -> Action:
    """A good reply that is changed before it is sent."""

    def answer(handler: Any) -> None:
        body = completion('{"analysis": "harmless", "score": 2}', handler.body)
        change(body)
        handler.send(json.dumps(body).encode())

    return answer


def field(path: str, value: Any) -> Action:
    """A good reply with another value in the place `path`."""

    def change(body: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        place: Any = body
        for parent in parents:
            place = place[0] if parent == "0" else place[parent]
        place[name] = value

    return changed(change)


# ------------------------------------------------------------------------------ redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_nothing_goes_to_another_host(status: int) -> None:
    with serving(GOOD) as other:
        to = f"{other.url}/chat/completions"
        with serving(lambda handler: handler.send(b"", status, Location=to)) as server:
            verdicts = grade_batch(at(server, concurrency=1, attempts=3, budget_calls=5), items(20))
            assert len(server.calls) == SPENT.calls == 1
        assert other.calls == []
    assert {verdict.score for verdict in verdicts} == {None}
    assert verdicts[0].reason.startswith(f"HTTP {status}: the server redirects to http://127.0.0.1:{other.server_port}")
    assert "Set the base URL" in verdicts[0].reason


def test_a_redirect_that_goes_round_ends_at_once() -> None:
    with serving(lambda handler: handler.send(b"", 302, Location=handler.path)) as server:
        grade_batch(at(server, concurrency=1), items(20))
        assert len(server.calls) == 1


def test_the_address_of_a_redirect_is_shown_without_the_key() -> None:
    place = f"http://other/{'a' * 40}{KEY}{'b' * 500}"
    with serving(lambda handler: handler.send(b"", 307, Location=place)) as server:
        verdicts = grade_batch(at(server), items(3))
    assert "sk-sec" not in "".join(verdict.reason for verdict in verdicts)
    assert max(len(verdict.reason) for verdict in verdicts) <= 300


# ------------------------------------------------------------------------------ another shape

NOT_BELIEVED = {
    "usage is a text": (field("usage", "many"), "usage is a text: tokens are estimated"),
    "usage is a list": (field("usage", [1, 2]), "usage is a list: tokens are estimated"),
    "no number": (field("usage.prompt_tokens", float("nan")), "prompt_tokens is no finite number: estimated"),
    "infinite": (field("usage.completion_tokens", float("inf")), "completion_tokens is no finite number: estimated"),
    "negative": (field("usage.completion_tokens", -3), "completion_tokens -3 makes no sense: estimated"),
    "nothing": (field("usage.prompt_tokens", 0), "prompt_tokens 0 makes no sense: estimated"),
    "half a token": (field("usage.prompt_tokens", 1.5), "prompt_tokens is no whole number: estimated"),
    "huge": (field("usage.prompt_tokens", 10**30), "prompt_tokens huge makes no sense: estimated"),
    "a text": (field("usage.prompt_tokens", "100"), "prompt_tokens is a text: estimated"),
    "true": (field("usage.prompt_tokens", True), "prompt_tokens is true or false: estimated"),
    "a list": (field("usage.completion_tokens", [10]), "completion_tokens is a list: estimated"),
    "an object": (field("usage.completion_tokens", {}), "completion_tokens is an object: estimated"),
}


@pytest.mark.parametrize(("action", "note"), NOT_BELIEVED.values(), ids=NOT_BELIEVED)
def test_counts_that_make_no_sense_are_estimated_and_said(action: Action, note: str) -> None:
    with serving(action) as server:
        [verdict] = grade_batch(at(server, input_price=1.0, output_price=1.0), items(1))
    assert (verdict.score, verdict.evidence["notes"]) == (2, (note,))
    assert SPENT.estimated == 1
    assert 100 <= SPENT.tokens <= 700  # the prompt has about 2,200 characters, and the server counts 100 tokens for it
    assert SPENT.cost == pytest.approx(SPENT.tokens / 1e6)


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("value", [float("nan"), -100_000, 0])
def test_a_budget_in_tokens_holds_whatever_the_server_counts(name: str, value: float) -> None:
    with serving(field(f"usage.{name}", value)) as server:
        verdicts = grade_batch(at(server, concurrency=1, budget_tokens=3000), items(60))
        assert len(server.calls) <= 30
    assert verdicts[-1].reason == "budget: 3000 tokens are spent"


READ_ALL_THE_SAME = {
    "a model that is a number": field("model", 7),
    "a model that is a list": field("model", ["x"]),
    "no model": field("model", None),
    "a finish reason that is an object": field("choices.0.finish_reason", {"type": "stop"}),
    "log-probabilities nobody asked for": field("choices.0.logprobs", 7),
    "content in parts": field(
        "choices.0.message.content",
        [{"type": "thinking", "thinking": []}, {"type": "text", "text": '{"analysis": "harmless", "score": 2}'}],
    ),
}


@pytest.mark.parametrize("action", READ_ALL_THE_SAME.values(), ids=READ_ALL_THE_SAME)
def test_what_decides_nothing_may_have_another_shape(action: Action) -> None:
    with serving(action) as server:
        assert [verdict.score for verdict in grade_batch(at(server), items(3))] == [2] * 3


BROKEN = {
    "choices is an object": (field("choices", {"0": 1}), "no choices in the reply"),
    "a choice is a text": (field("choices", ["score: 2"]), "no choices in the reply"),
    "message is a text": (field("choices.0.message", "score: 2"), "message is a text, expected an object"),
    "message is a list": (field("choices.0.message", [1]), "message is a list, expected an object"),
    "content is a number": (field("choices.0.message.content", 5), "content is a number, expected a text"),
    "content is an object": (field("choices.0.message.content", {}), "content is an object, expected a text"),
    "content is a list of texts": (field("choices.0.message.content", ["2"]), "other things than parts"),
    "refusal is an object": (field("choices.0.message.refusal", {"a": 1}), "refusal is an object, expected a text"),
    "brackets": (send(b"[" * 200_000), "no JSON"),
    "braces": (send(b'{"a":' * 100_000), "no JSON"),
    "null": (send(b"null"), "no JSON object"),
    "nothing": (send(b""), "no JSON"),
    "no UTF-8": (send(b"\xff\xfe\x00"), "no JSON"),
    "a number of many digits": (send(b'{"choices": ' + b"9" * 10_000 + b"}"), "no JSON"),
    "a large body": (send(b'{"choices": [{"message": {"content": "' + b"x" * 3_000_000), "more than 1,000,000 bytes"),
    "a large error": (lambda handler: handler.send(b"x" * 3_000_000, 500), "more than 1,000,000 bytes"),
    "a compressed body": (
        lambda handler: handler.send(gzip.compress(b"x" * 5_000_000), Content_Encoding="gzip"),
        "compressed",
    ),
}


@pytest.mark.parametrize(("action", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_reply_of_another_shape_costs_its_item_and_in_all_replies_ends_the_batch(action: Action, reason: str) -> None:
    def plan(prompt: str, _time: int) -> Action:
        return action if named(prompt) == "1" else GOOD

    with serving(plan) as server:
        verdicts = grade_batch(at(server), items(4))
    assert [verdict.score for verdict in verdicts] == [2, None, 2, 2]
    assert verdicts[1].status == "judge_error"
    assert reason in verdicts[1].reason
    with serving(action) as server:
        verdicts = grade_batch(at(server), items(60))
        assert len(server.calls) <= 10 + 4
    assert {verdict.status for verdict in verdicts} == {"judge_error", "not_graded"}
    assert reason in verdicts[-1].reason


LOGPROBS: dict[str, Any] = {
    "a number": 7,
    "a list": [1],
    "a text for the tokens": {"top_logprobs": "yes"},
    "a list for the first token": {"top_logprobs": [["yes"]]},
    "texts for numbers": {"top_logprobs": [{" yes": "-1"}]},
    "no number": {"top_logprobs": [{" yes": float("nan")}]},
    "a probability of 1,000": {"top_logprobs": [{" yes": 1000.0}]},
    "entries without a token": {"content": [{"top_logprobs": [{"logprob": -1}]}]},
    "content without entries": {"content": [{}]},
    "content is an object": {"content": {"a": 1}},
}


@pytest.mark.parametrize("logprobs", LOGPROBS.values(), ids=LOGPROBS)
def test_log_probabilities_of_another_shape_are_no_verdict(logprobs: Any) -> None:
    with serving(field("choices.0.logprobs", logprobs)) as server:
        [verdict] = grade_batch(at(server, TRUTH_LOGPROB), items(1))
    assert (verdict.status, verdict.reason.partition(":")[0]) == ("judge_error", "unreadable reply")


def logprobs(top: dict[str, float]) -> Action:
    return field("choices.0.logprobs", {"top_logprobs": [top]})


@pytest.mark.parametrize(
    ("top", "score", "reason"),
    [
        ({" yes": -0.1, " no": -3.0}, 1, "P(yes) 0.948"),
        ({"\n": -0.01, " yes": -6, "no": -7}, None, "yes and no have 0.003 of the probability together, less than 0.1"),
        ({"\n": -0.01, "the": -6}, None, "no log-probability of yes or no"),
        ({}, None, "no log-probabilities"),
    ],
)
def test_a_verdict_from_hardly_any_probability_is_missing(
    top: dict[str, float], score: float | None, reason: str
) -> None:
    with serving(logprobs(top)) as server:
        [verdict] = grade_batch(at(server, TRUTH_LOGPROB), items(1))
    assert (verdict.score, verdict.reason) == (score, reason)


def test_tokens_that_look_alike_behind_a_server_turn_no_verdict_round() -> None:
    """As a server of a Llama 2 model names them: of two tokens that read as a word the less likely one."""

    def reply(yes: float, no: float) -> Action:
        """`yes` and `no` are what the hidden tokens have; those that are named have 0.001 each."""
        first = "yes" if yes > no else "no"
        top = {"yes": math.log(0.001), "no": math.log(0.001)}
        found = {"tokens": [first], "token_logprobs": [math.log(max(yes, no))], "top_logprobs": [top]}
        return field("choices.0.logprobs", found)

    for yes, no, score in ((0.7, 0.29, 1), (0.2, 0.79, 0), (0.45, 0.4, None)):
        with serving(reply(yes, no)) as server:
            [verdict] = grade_batch(at(server, TRUTH_LOGPROB), items(1))
        assert verdict.score == score, verdict.reason
    assert verdict.reason.startswith("the server hides the probability of tokens that look alike")


# ------------------------------------------------------------------------------ it refuses everything


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_server_that_refuses_everything_is_left_alone_soon(status: int) -> None:
    with serving(fail(status, "no such deployment")) as server:
        verdicts = grade_batch(at(server), items(200))
        assert len(server.calls) <= 2 * (10 + 4)  # each once more without its schema
    assert verdicts[-1].reason == f"not asked, the server keeps failing: HTTP {status}: no such deployment"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such\\n deployment"}}', ": no such deployment"),
        (b'{"detail": "no such deployment"}', ": no such deployment"),
        (b'{"error": "no such deployment"}', ": no such deployment"),
        (b"no such deployment", ": no such deployment"),
        (b"<html>no</html>", ""),
        (b'{"error": {"message": ["no"]}}', ""),
        (b'{"detail": [{"loc": "body"}]}', ""),
        (b"[" * 100_000, ""),
        (b"", ""),
    ],
)
def test_what_a_server_says_about_a_refusal_is_told(body: bytes, said: str) -> None:
    with serving(lambda handler: handler.send(body, 422)) as server:
        [verdict] = grade_batch(at(server), items(1))
    assert verdict.reason == f"HTTP 422{said}"


def test_many_prompts_that_are_too_long_do_not_end_a_batch_that_has_replies() -> None:
    def plan(prompt: str, _time: int) -> Action:
        return fail(400, "the prompt is too long") if 5 <= int(named(prompt)) < 20 else GOOD

    with serving(plan) as server:
        verdicts = grade_batch(at(server, concurrency=1), items(30))
    assert Counter(verdict.status for verdict in verdicts) == {"ok": 15, "judge_error": 15}


# ------------------------------------------------------------------------------ another model


def renamed_from(count: int, name: str = "other") -> Action:
    """A server that has another model after `count` replies."""

    def answer(handler: Any) -> None:
        with handler.server.lock:
            handler.server.taken += 1
            late = handler.server.taken > count
        field("model", name if late else "first")(handler)

    return answer


def test_a_model_that_changes_its_name_stops_the_run_and_is_told(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    with serving(renamed_from(7)) as server:
        judge = at(server, concurrency=1)
        verdicts = grade_batch(judge, items(40), journal=journal)
        told = "the server's model was 'first' and is 'other' now; to mix the two, set SFTGEN_JUDGE_ALLOW_RENAMED=true"
        assert verdicts[7] == Verdict("judge_error", reason=told)
        assert verdicts[-1] == Verdict("not_graded", reason=f"not asked: {told}")
        assert [verdict.score for verdict in verdicts] == [2] * 7 + [None] * 33
        assert len(server.calls) <= 8 + 1
        # The same command, and one about other items, know the model of the verdicts before.
        for batch in (items(40), items(50)[40:]):
            again = grade_batch(judge, batch, journal=journal)
            assert told in again[-1].reason
        assert len(server.calls) <= 10 + 3
        allowed = grade_batch(at(server, allow_renamed=True), items(40), journal=journal)
    assert [verdict.score for verdict in allowed] == [2] * 40
    assert Counter(verdict.evidence["model"] for verdict in allowed) == {"first": 7, "other": 33}


def test_another_judge_or_another_model_that_was_asked_for_is_no_change_of_name(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    with serving(renamed_from(3)) as server:
        assert [v.score for v in grade_batch(at(server), items(3), journal=journal)] == [2] * 3
        assert [v.score for v in grade_batch(at(server, model="b"), items(3), journal=journal)] == [2] * 3


def test_a_reply_without_a_name_changes_nothing() -> None:
    with serving(renamed_from(3, "")) as server:
        assert [verdict.score for verdict in grade_batch(at(server), items(9))] == [2] * 9


# ------------------------------------------------------------------------------ the key


ECHOES: dict[str, Action] = {
    "model": field("model", f"m {KEY}"),
    "finish reason": field("choices.0.finish_reason", KEY),
    "refusal": field("choices.0.message.refusal", f"not with {KEY}"),
    "content": field("choices.0.message.content", f"{KEY} score: 2"),
    "error": fail(400, f"{'x' * 110} {KEY} is wrong"),
    "error of a server that is busy": fail(503, f"{'y' * 115}{KEY}"),
}


@pytest.mark.parametrize("action", ECHOES.values(), ids=ECHOES)
def test_a_key_that_a_server_repeats_is_in_no_record(action: Action, tmp_path: Path) -> None:
    with serving(action) as server:
        verdicts = grade_batch(at(server), items(3), journal=tmp_path / "v.jsonl")
    kept = json.dumps([verdict.to_dict() for verdict in verdicts]) + (tmp_path / "v.jsonl").read_text()
    assert "sk-sec" not in kept


def test_a_renamed_model_whose_name_is_the_key_is_told_without_it(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    with serving(renamed_from(2, KEY)) as server:
        verdicts = grade_batch(at(server, concurrency=1), items(5), journal=journal)
    assert "is '[key]' now" in verdicts[2].reason
    assert "sk-sec" not in json.dumps([verdict.to_dict() for verdict in verdicts]) + journal.read_text()
    assert len(list(read_rows(journal))) == 3
