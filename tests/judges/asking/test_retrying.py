"""One retry policy: the same failures are tried again, equally often, by all that call a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Response
from sftgen_judges.asking.retrying import CallError, Patience, retry_after, retrying, status_error
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.policy import POLICY
from sftgen_judges.reward.engines import ServedModel
from sftgen_judges.reward.models import RewardModel, RewardModelError
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.harness.backends import chat
from sftgen_tasks.harness.backends.server_limits import Served
from tests.judges.server import Action, JudgeServer, fail, reset, send, serving

ATTEMPTS, BACKOFF = 3, 0.01

# ------------------------------------------------------------------------------ what a failure means

MEANS = {
    400: "no retry", 401: "fatal", 403: "fatal", 404: "fatal", 408: "overloaded", 409: "transient", 413: "no retry",
    422: "no retry", 425: "transient", 429: "overloaded", 500: "transient", 502: "transient", 503: "overloaded",
    504: "overloaded", 529: "transient",
}  # fmt: skip


@pytest.mark.parametrize(("status", "means"), MEANS.items())
def test_what_a_status_means(status: int, means: str) -> None:
    error = status_error(status, " a\n word ", {}, longest_wait=300)
    assert (str(error), error.status, error.retry_after) == (f"HTTP {status}: a word", status, None)
    assert error.transient == (means in {"transient", "overloaded"})
    assert error.overloaded == (means == "overloaded")
    assert error.fatal == (means == "fatal")


def test_a_used_up_quota_and_too_long_a_pause_are_fatal() -> None:
    quota = status_error(429, "pay first", {}, longest_wait=300, code="insufficient_quota")
    pause = status_error(503, "busy", {"retry-after": "301"}, longest_wait=300)
    assert [(error.transient, error.fatal) for error in (quota, pause)] == [(False, True)] * 2
    assert str(pause) == "HTTP 503: busy; to be asked again in 301 s"
    assert status_error(503, "busy", {"retry-after": "300"}, longest_wait=300).retry_after == 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Fri, 01 Jan 2016 00:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


# ------------------------------------------------------------------------------ how long to wait


def waits(patience: Patience, error: CallError) -> list[float]:
    """Seconds between the attempts of a call that always fails, without waiting for them."""

    def call() -> None:
        raise error

    seconds: list[float] = []
    with pytest.raises(CallError):
        retrying(patience).copy(sleep=seconds.append)(call)
    return seconds


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    drawn = [waits(Patience(attempts=6, backoff=1, longest_wait=5), CallError("busy")) for _ in range(50)]
    assert {len(seconds) for seconds in drawn} == {5}
    for retry, most in enumerate([1.5, 2.5, 4.5, 5, 5]):
        assert all(0.5 <= seconds[retry] <= most for seconds in drawn)
    assert len({seconds[0] for seconds in drawn}) > 1
    assert max(seconds[2] for seconds in drawn) > 1.5  # it grows


def test_the_server_is_never_asked_sooner_than_it_says() -> None:
    [seconds] = waits(Patience(attempts=2, backoff=1), CallError("busy", retry_after=20))
    assert 20 <= seconds <= 20.5


def test_what_is_not_transient_is_tried_once() -> None:
    assert waits(Patience(), CallError("wrong", transient=False)) == []


# ------------------------------------------------------------------------------ all that call a model
# Each takes a server, calls it until it succeeds or gives up, and returns why it gave up, or "".


def ask_a_judge(server: JudgeServer, **more: Any) -> str:
    options = {"model": "judge", "attempts": ATTEMPTS, "backoff": BACKOFF, "structured": False, **more}
    judge = with_settings(POLICY, base_url=server.url, **options)
    [verdict] = grade_batch(judge, [Item({"question": "?"}, Response("a", answer="a"))])
    return verdict.reason


def ask_in_a_batch(server: JudgeServer) -> str:
    return ask_a_judge(server, backend="batch", poll=BACKOFF)


def ask_a_reward_model(server: JudgeServer) -> str:
    settings = JudgeSettings(base_url=server.url, attempts=ATTEMPTS, backoff=BACKOFF)
    try:
        ServedModel(RewardModel("rm", "served"), settings)
    except RewardModelError as error:
        return str(error)
    return ""


def ask_the_model_under_test(server: JudgeServer) -> str:
    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr

    model = chat.StreamingChat(model="tiny", base_url=f"{server.url}/chat/completions", max_retries=ATTEMPTS)
    prompt = JsonChatStr(json.dumps([{"role": "user", "content": "?"}]))
    request = Instance("generate_until", {}, (prompt, {"max_gen_toks": 8}), 0, metadata=("task", 0, 1), doc_id=0)
    model._served = Served()  # what it otherwise asks first, once: a list of models that no server need have
    try:
        list(model.generate_each([request], [0]))
    except chat.ApiError as error:
        return str(error)
    return ""


CALLERS = [ask_a_judge, ask_in_a_batch, ask_a_reward_model, ask_the_model_under_test]
Caller = Callable[[JudgeServer], str]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model under test has no setting for it."""
    monkeypatch.setattr(chat, "Patience", partial(Patience, backoff=BACKOFF))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


FAILURES: dict[str, tuple[Action, int, str]] = {
    "429": (fail(429), ATTEMPTS, "HTTP 429"),
    "409": (fail(409), ATTEMPTS, "HTTP 409"),
    "500": (fail(500), ATTEMPTS, "HTTP 500"),
    "503": (fail(503), ATTEMPTS, "HTTP 503"),
    "a reset connection": (reset, ATTEMPTS, "onnection"),
    "401": (fail(401), 1, "HTTP 401"),
    "422": (fail(422), 1, "HTTP 422"),
    "no money": (fail(429, "pay first", code="insufficient_quota"), 1, "HTTP 429"),
    "another day": (fail(503, Retry_After="3600"), 1, "to be asked again in 3600 s"),
}


@pytest.mark.parametrize(("action", "calls", "reason"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("caller", CALLERS)
def test_all_that_call_a_model_give_up_on_the_same_failures_after_as_many_calls(
    caller: Caller, action: Action, calls: int, reason: str
) -> None:
    with serving(action) as server:
        assert reason in caller(server)
        assert len(server.calls) == calls


@pytest.mark.parametrize("caller", CALLERS)
def test_all_that_call_a_model_come_back_when_the_server_says(caller: Caller) -> None:
    def plan(_prompt: str, _time: int) -> Action:
        # What it sends when it is asked again is no reply to any of them: only the pause is looked at.
        return fail(503, Retry_After="0.3") if len(server.calls) == 1 else fail(422)

    with serving(plan) as server:
        assert "HTTP 422" in caller(server)
        first, second = server.started
        assert second - first >= 0.29


def test_a_reward_models_server_that_replies_something_else_is_asked_again() -> None:
    with serving(send(b'{"data": null}')) as server:
        assert "unreadable reply: no JSON object with a list `data`" in ask_a_reward_model(server)
        assert len(server.calls) == ATTEMPTS


def test_nobody_else_has_a_retry_policy() -> None:
    """`tenacity` is used in one module, and one module makes clients of the `openai` package, their retries off."""
    import sftgen_judges
    import sftgen_tasks
    import sftgen_train

    users, makers, clients = [], [], []
    for package in (sftgen_judges, sftgen_tasks, sftgen_train):
        for path in Path(package.__path__[0]).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            users += [path.name] if "import tenacity" in text or "from tenacity" in text else []
            makers += [path.name] if "OpenAI(" in text else []
            clients += [text.count("max_retries=0") - text.count("openai.OpenAI(") - text.count("openai.AsyncOpenAI(")]
    assert users == ["retrying.py"]
    assert makers == ["connection.py"]
    assert set(clients) == {0}
