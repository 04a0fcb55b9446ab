"""`--model sftgen-chat`: what a server tells is kept, and what it fails to answer is never an answer."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import THINK_MARKERS, read_record
from sftgen_tasks.harness.preflight import check_no_secrets
from sftgen_tasks.harness.streaming import journal_generations
from sftgen_tasks.procedural import make_docs, parity
from tests import PATIENCE
from tests.commands import few_tasks
from tests.conftest import Command
from tests.judges.server import say, serving
from tests.tasks.harness.backends.chat_server import ChatServer, Refused, chat_server, completion

DOCS = make_docs(parity)
ANSWERS = {doc["question"]: f"\\boxed{{{doc['answer']}}}" for doc in DOCS}
NUMBER = {doc["question"]: number for number, doc in enumerate(DOCS)}
SECRET = "sk-test-0123456789"


def right(question: str, _: dict[str, Any]) -> dict[str, Any]:
    return completion(ANSWERS[question])


def arguments(
    server: ChatServer,
    run: Path,
    *more: str,
    task: str = "sftgen_parity",
    model: str = "sftgen-chat",
    options: str = "",
) -> list[str]:
    return [
        "eval", "--run", str(run), "--tasks", task, "--model", model, "--model_args",
        f"model=tiny,base_url={server.url},num_concurrent=4{options}", "--limit", "6", *more,
    ]  # fmt: skip


def rows(run: Path) -> list[dict[str, Any]]:
    """The graded responses, in the order of the documents; when they were evaluated is left out."""
    from sftgen_judges.records.schema import doc_hash

    place = {doc_hash(doc): number for number, doc in enumerate(DOCS)}
    found = [{**row, "evaluated_at": None} for row in RunFolder(run).sample_rows()]
    return sorted(found, key=lambda row: place[row["doc_hash"]])


# ------------------------------------------------------------------------------ one response

READ = {
    "text only": (completion("7"), ("none", "", "7", "stop")),
    "reasoning, the older name": (completion("7", reasoning_content="hm"), ("closed", "hm", "7", "stop")),
    "reasoning, the newer name": (completion("7", reasoning="hm"), ("closed", "hm", "7", "stop")),
    "reasoning that talks of markers": (
        completion("7", reasoning="is it </think>?\n<think>"),
        ("closed", "is it </think>?\n<think>", "7", "stop"),
    ),
    "an empty reasoning": (completion("7", reasoning_content=""), ("none", "", "7", "stop")),
    "thinking in the text": (completion("<think>hm</think>7"), ("closed", "hm", "7", "stop")),
    "cut while thinking": (completion(None, "length", reasoning_content="hm"), ("unclosed", "hm", "", "length")),
    "cut while thinking, text empty": (completion("", "length", reasoning="hm"), ("unclosed", "hm", "", "length")),
    "cut in another word": (completion(None, "max_tokens", reasoning="hm"), ("unclosed", "hm", "", "length")),
    "cut while thinking unseen": (completion(None, "length"), ("unclosed", "", "", "length")),
    "cut in the answer": (completion("7", "length", reasoning="hm"), ("closed", "hm", "7", "length")),
    "thought and said nothing": (completion(None, reasoning="hm"), ("closed", "hm", "", "stop")),
    "nothing": (completion(None), ("none", "", "", "stop")),
    "withheld": (completion(None, "content_filter"), ("none", "", "", "content_filter")),
    "declined in a form of its own": (completion(None, refusal="I cannot."), ("none", "", "I cannot.", "stop")),
    "no reason": (completion("7", None), ("none", "", "7", "length")),  # all tokens are used
}


def ask(
    reply: Any,
    folder: Path,
    *,
    prompts: int = 1,
    models: Any = None,
    max_gen_toks: int = 8,
    temperature: float = 0.0,
    **options: Any,
) -> list[GenerationRecord]:
    """Records of questions to a server that always replies the same."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr

    from sftgen_tasks.harness.backends.chat import StreamingChat

    run = Recording(RunFolder(folder), model="m")
    answer = reply if callable(reply) else lambda *_: reply
    settings = {"max_gen_toks": max_gen_toks, "temperature": temperature}
    with chat_server(answer, models) as server, recording(run):
        lm = StreamingChat(model="tiny", base_url=server.url, **{"max_retries": 1, **options})
        journal_generations(lm, run, None, resume=True)
        lm.generate_until(
            [
                Instance(
                    "generate_until",
                    {"q": str(number)},
                    (JsonChatStr(json.dumps([{"role": "user", "content": str(number)}])), settings),
                    number,
                    metadata=("task", number, 1),
                    doc_id=number,
                )
                for number in range(10, 10 + prompts)
            ]
        )
    return run.folder.read_generations("task")


@pytest.mark.parametrize(("reply", "expected"), READ.values(), ids=READ)
def test_how_a_response_is_read(reply: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path) -> None:
    [record] = ask(reply, tmp_path)
    assert (record.tokens, record.prompt_tokens, record.exact, record.template_hash) == (9, 21, True, None)
    response = read_record(record)
    assert (response.think, response.thinking, response.answer, response.finish_reason) == expected
    # From Parquet too, and whatever markers the task reads with where the server has split it.
    RunFolder(tmp_path).compact()
    [compacted] = RunFolder(tmp_path).read_generations("task")
    assert read_record(compacted) == response
    if record.reasoning:
        assert read_record(record, THINK_MARKERS["gpt-oss"]) == response
        assert record.reasoning in response.text


def test_a_server_that_counts_nothing(tmp_path: Path) -> None:
    [record] = ask({key: value for key, value in completion("7").items() if key != "usage"}, tmp_path)
    assert (record.text, record.tokens, record.prompt_tokens, record.exact) == ("7", None, None, True)


SILENCE = float(PATIENCE)
"""Seconds for which a server says nothing, or until it is stopped."""
BROKEN = {
    "an error of the server": (500, "HTTP 500"),
    "a wrong request": (400, "HTTP 400"),
    "no JSON": (b"<html>busy</html>", "JSONDecodeError"),
    "an error with status 200": (
        {"error": {"message": "WORDS", "type": "overloaded_error"}},
        "not a chat completion: an error: overloaded_error",
    ),
    "no choices": ({"choices": []}, "not a chat completion: an object with choices: list"),
    "the other endpoint": ({"choices": [{"text": "WORDS"}]}, "not a chat completion: an object with choices: list"),
    "a list": (b'["WORDS"]', "not a chat completion: a list"),
    "content that is no text": (completion([{"text": "WORDS"}]), "content is no text"),  # type: ignore[arg-type]
    "hanging up": (None, "ConnectionError"),
    "silence": (SILENCE, "Read timed out"),
}


@pytest.mark.parametrize(("reply", "says"), BROKEN.values(), ids=BROKEN)
def test_a_failed_request_is_no_answer(reply: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(SftgenError) as caught:
        ask(reply, tmp_path, timeout=1 if reply == SILENCE else PATIENCE)
    assert says in str(caught.value)
    assert "WORDS" not in str(caught.value)  # of a model that may have said harmful ones
    assert RunFolder(tmp_path).read_generations("task") == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"error": {"message": "WORDS", "type": "invalid_request_error", "code": "content_filter"}},
         ": invalid_request_error, content_filter"),
        ({"object": "error", "message": "WORDS", "type": "BadRequestError", "code": 400}, ": BadRequestError"),
        ({"error": "WORDS"}, ""),
        ({"detail": [{"input": "WORDS"}]}, ""),
        ({"error": {"type": "in these WORDS", "code": ["WORDS"]}}, ""),
    ],
)  # fmt: skip
def test_of_a_refusal_only_the_name_is_told_for_its_body_may_repeat_the_prompt(
    body: dict[str, Any], name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SftgenError) as caught:
        ask(lambda *_: Refused(400, body), tmp_path)
    assert f"HTTP 400{name}. Every response" in str(caught.value)
    assert "WORDS" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(("status", "times"), [(500, 2), (429, 2), (400, 1), (401, 1), (404, 1)])
def test_only_what_may_pass_is_tried_again(status: int, times: int, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(question: str, _: dict[str, Any]) -> int:
        asked.append(question)
        return status

    with pytest.raises(SftgenError, match=f"HTTP {status}"):
        ask(answer, tmp_path, max_retries=2)
    assert len(asked) == times


def test_what_was_under_way_when_one_request_failed_is_kept(tmp_path: Path) -> None:
    with pytest.raises(SftgenError, match="HTTP 500"):
        ask(lambda question, _: 500 if question == "12" else completion(question), tmp_path, prompts=20)
    kept = {record.text for record in RunFolder(tmp_path).read_generations("task")}
    assert kept == {"10", "11"}  # one at a time: nothing was asked after the failure
    asked: list[str] = []
    records = ask(lambda question, _: asked.append(question) or completion(question), tmp_path, prompts=20)
    assert sorted(record.text for record in records) == [str(number) for number in range(10, 30)]
    assert set(asked) == {str(number) for number in range(12, 30)}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_nothing_goes_to_another_host(status: int) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr

    from sftgen_tasks.harness.backends.chat import StreamingChat

    prompt = JsonChatStr(json.dumps([{"role": "user", "content": "1"}]))
    with serving(say("7")) as other:
        to = f"{other.url}/chat/completions"
        with serving(lambda handler: handler.send(b"", status, Location=to)) as server:
            lm = StreamingChat(model="tiny", base_url=f"{server.url}/chat/completions", max_retries=3)
            request = Instance(
                "generate_until", {}, (prompt, {"max_gen_toks": 8}), 0, metadata=("task", 0, 1), doc_id=0
            )
            with pytest.raises(SftgenError, match=f"HTTP {status}: the server redirects to {other.url}"):
                lm.generate_until([request])
            # The list of models, which is done without, and the question.
            assert [call["path"] for call in server.calls] == ["/v1/models", "/v1/chat/completions"]
            assert other.calls == []


# ------------------------------------------------------------------------------ the budget of a response

OLD_VLLM = (
    "This model's maximum context length is {context} tokens. However, you requested {all} tokens ({prompt} in the "
    "messages, {sent} in the completion). Please reduce the length of the messages or completion."
)
REFUSALS = {
    "vLLM and OpenAI": OLD_VLLM,
    "vLLM, later": (
        "'max_tokens' or 'max_completion_tokens' is too large: {sent}. This model's maximum context length is {context}"
        " tokens and your request has {prompt} input tokens ({sent} > {context} - {prompt})."
    ),
    "SGLang": (
        "Requested token count exceeds the model's maximum context length of {context} tokens. You requested a total of"
        " {all} tokens: {prompt} tokens from the input messages and {sent} tokens for the completion."
    ),
    "TGI": "`inputs` tokens + `max_new_tokens` must be <= {context}. Given: {prompt} `inputs` tokens and {sent} more",
}


def refusing(message: str, context: int, prompt: int = 21) -> Any:
    """A server that refuses what does not fit into its context."""

    def answer(_: str, body: dict[str, Any]) -> Any:
        sent = body["max_tokens"]
        if prompt + sent > context:
            told = {"context": context, "prompt": prompt, "sent": sent, "all": prompt + sent}
            return Refused(400, {"error": {"message": message.format(**told)}})
        return completion("x" * sent, "length", tokens=sent)

    return answer


@pytest.mark.parametrize("message", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_length_is_asked_for_again_with_what_the_prompt_leaves(message: str, tmp_path: Path) -> None:
    [record] = ask(refusing(message, 26), tmp_path)
    assert (record.budget, record.tokens, record.finish_reason) == (5, 5, "length")
    assert record.sampling["max_gen_toks"] == 8  # what the task asks for
    assert read_record(record).truncated
    [wide] = ask(refusing(message, 29), tmp_path / "wide")
    assert (wide.budget, wide.tokens) == (8, 8)


def test_a_server_that_tells_its_context_is_asked_for_no_more(tmp_path: Path) -> None:
    asked = []

    def answer(_: str, body: dict[str, Any]) -> Any:  # as vLLM does today: it stops at its context by itself
        asked.append(body["max_tokens"])
        if body["max_tokens"] > 26:
            return Refused(400, {"error": {"message": "max_tokens=30 cannot be greater than max_model_len=26."}})
        return completion("12345", "length", tokens=5)

    card = {"id": "tiny", "owned_by": "vllm", "max_model_len": 26}
    [record] = ask(answer, tmp_path, models=[{"id": "other", "max_model_len": 3}, card], max_gen_toks=30)
    assert (asked, record.budget) == ([26], 5)
    # Without a list the refusal tells it, once for all requests.
    asked.clear()
    first, second = ask(answer, tmp_path / "unlisted", prompts=2, max_gen_toks=30)
    assert (asked, first.budget, second.budget) == ([30, 26, 26], 5, 5)


@pytest.mark.parametrize(
    ("models", "sent"),
    [
        (None, set()),
        ([{"id": "tiny", "owned_by": "openai"}], set()),
        ([{"id": "tiny", "owned_by": "vllm"}], {"top_k", "top_p", "min_p", "repetition_penalty"}),
        ([{"id": "tiny", "owned_by": "llamacpp"}], {"top_k", "top_p", "min_p", "repetition_penalty"}),
        ("no list", set()),
        ([{"id": "tiny", "max_model_len": "long"}, 5], set()),
    ],
    ids=["no server list", "openai", "vllm", "llamacpp", "another shape", "no numbers"],
)
def test_settings_that_a_server_may_refuse_go_only_to_those_that_take_them(
    models: Any, sent: set[str], tmp_path: Path
) -> None:
    bodies: list[dict[str, Any]] = []
    answer = lambda _, body: bodies.append(body) or completion("7")  # noqa: E731
    ask(answer, tmp_path, models=models, temperature=0.6)
    [body] = bodies
    assert body.keys() & {"top_k", "top_p", "min_p", "repetition_penalty"} == sent
    assert body.get("top_k", -1) == -1


UNFITTING = {
    "a prompt over the context": (
        refusing(OLD_VLLM, 20),
        "task, document 10: a prompt of 21 tokens leaves no token for its response: the model takes 20",
    ),
    "lengths that are not told": (
        lambda *_: Refused(400, {"error": {"message": "maximum context length is 26 tokens"}}),
        "Ask for fewer: --max_gen_toks task=N",
    ),
    "something else": (lambda *_: Refused(400, {"error": {"message": "no such field"}}), "HTTP 400"),
    "ever less": (
        lambda _, body: Refused(400, {"error": {"message": f"at most {body['max_tokens'] - 1} completion tokens"}}),
        "refused 4 requests for ever fewer tokens",
    ),
}


@pytest.mark.parametrize(("answer", "told"), UNFITTING.values(), ids=UNFITTING)
def test_what_cannot_be_asked_for_is_said(answer: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(SftgenError, match=told):
        ask(answer, tmp_path)
    assert RunFolder(tmp_path).read_generations("task") == []


# ------------------------------------------------------------------------------ through the commands


def test_a_run_keeps_what_the_server_says(command: Command, tmp_path: Path) -> None:
    replies = [
        lambda text: completion(text, reasoning_content="even \\boxed{neither}?", tokens=40),
        lambda text: completion(None, "length", reasoning="on and on", tokens=64),
        lambda text: completion(None),
        lambda text: completion(text, "length"),
        completion,
        completion,
    ]
    run = tmp_path / "run"
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    with chat_server(lambda question, _: replies[NUMBER[question]](ANSWERS[question])) as server:
        line = arguments(server, run, "--gen_kwargs", "max_gen_toks=64")
        result = command("sftgen", *line, env=environment)
        assert result.returncode == 0, result.stderr
        assert server.keys == {f"Bearer {SECRET}"}
        assert {(body["model"], body["max_tokens"], body["temperature"]) for body in server.asked} == {("tiny", 64, 0)}
        assert all("stop" not in body for body in server.asked)
        found = [(row["status"], row["think"], row["tokens"], row["finish_reason"]) for row in rows(run)]
        assert found == [
            ("ok", "closed", 40, "stop"),
            ("truncated", "unclosed", 64, "length"),
            ("no_answer", "none", 9, "stop"),
            ("ok", "none", 9, "length"),
            ("ok", "none", 9, "stop"),
            ("ok", "none", 9, "stop"),
        ]
        assert [row["score"] for row in rows(run)] == [1, 0, 0, 1, 1, 1]
        # Again: nobody is asked, and no key is anywhere.
        asked = len(server.asked)
        before = rows(run)
        result = command("sftgen", *line, env=environment)
        assert result.returncode == 0, result.stderr
        assert len(server.asked) == asked
        later = [row["evaluated_at"] for row in rows(run)]  # it was evaluated again
        assert rows(run) == [{**row, "evaluated_at": at} for row, at in zip(before, later, strict=True)]
    for path in run.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_repeats_have_seeds_of_their_own_and_a_failed_run_goes_on(command: Command, tmp_path: Path) -> None:
    problems = {f"What is $2+{number}$?": str(2 + number) for number in range(4)}
    rows_of_math = [
        {"problem": problem, "solution": f"$\\boxed{{{answer}}}$", "answer": answer, "unique_id": f"t/{answer}"}
        for problem, answer in problems.items()
    ]
    (tmp_path / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of_math))
    seen: Counter[int] = Counter()
    broken = True

    def answer(question: str, body: dict[str, Any]) -> Any:
        [(number, text)] = [(place, text) for place, (key, text) in enumerate(problems.items()) if key in question]
        seen[body["seed"]] += 1
        if seen[body["seed"]] == 1 and number < 2:  # the first time, each in another way
            return 503 if number else None
        return 500 if broken and number == 3 else completion(f"\\boxed{{{text}}}")

    run = tmp_path / "run"
    with chat_server(answer) as server:
        metadata = ("--metadata", json.dumps({"data_dir": str(tmp_path)}))
        line = arguments(server, run, *metadata, task="sftgen_math500", options=",max_retries=2")
        result = command("sftgen", *line)
        assert result.returncode == 2
        assert "HTTP 500" in result.stderr
        assert "the same command asks for the others" in result.stderr
        assert "Traceback" not in result.stderr
        kept = RunFolder(run).read_generations("sftgen_math500")
        assert kept
        assert all(record.text for record in kept)
        broken = False
        before = Counter(body["seed"] for body in server.asked)
        result = command("sftgen", *line)
        assert result.returncode == 0, result.stderr
        after = Counter(body["seed"] for body in server.asked)
    assert not {record.seed for record in kept} & (after - before).keys()
    records = RunFolder(run).read_generations("sftgen_math500")
    assert len(records) == 12
    assert len({record.seed for record in records}) == 12
    assert {record.repeat for record in records} == {0, 1, 2}
    assert {row["score"] for row in RunFolder(run).sample_rows()} == {1}


def test_the_stock_model_still_works_and_says_that_it_guesses(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with chat_server(right) as server:
        result = command("sftgen", *arguments(server, run, model="local-chat-completions"))
    assert result.returncode == 0, result.stderr
    records = RunFolder(run).read_generations("sftgen_parity")
    assert {(record.exact, record.finish_reason, record.reasoning) for record in records} == {(False, None, None)}
    assert [row["score"] for row in rows(run)] == [1] * 6


def test_plain_lm_eval_records_too(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with chat_server(lambda question, _: completion(ANSWERS[question], reasoning="hm")) as server:
        line = [
            "--tasks", "sftgen_parity", "--model", "sftgen-chat", "--model_args", f"model=m,base_url={server.url}",
            "--limit", "3", "--output_path", str(tmp_path / "out"),
        ]  # fmt: skip
        environment = {**os.environ, "SFTGEN_RUN_DIR": str(run)}
        result = command("lm_eval", *line, "--apply_chat_template", env=environment, before=few_tasks)
    assert result.returncode == 0, result.stderr
    records = RunFolder(run).read_generations("sftgen_parity")
    assert [(record.exact, record.reasoning, record.tokens) for record in records] == [(True, "hm", 9)] * 3
    [path] = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(path.read_text())["results"]["sftgen_parity"]["score,sftgen"] == 1.0


@pytest.mark.parametrize("options", [{"header": {"X-Key": SECRET}}, {"base_url": f"http://me:{SECRET}@host/v1"}])
def test_no_key_is_among_the_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(SftgenError, match="OPENAI_API_KEY") as caught:
        check_no_secrets({"model": "tiny", **options})
    assert SECRET not in str(caught.value)


MISTAKES = {
    "no address": ("model=tiny", "", "pass --model_args model=NAME,base_url="),
    "a key as an argument": (f"model=tiny,base_url=URL,auth_token={SECRET}", "", "variable OPENAI_API_KEY"),
    "no messages": ("model=tiny,base_url=URL", "--no_chat_template", "pass --apply_chat_template"),
}


@pytest.mark.parametrize(("model_args", "flag", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message(model_args: str, flag: str, says: str, command: Command, tmp_path: Path) -> None:
    with chat_server(right) as server:
        line = arguments(server, tmp_path / "run")
        line[line.index("--model_args") + 1] = model_args.replace("URL", server.url)
        result = command("sftgen", *line, *([flag] if flag else []))
        assert server.asked == []
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr
    manifest = tmp_path / "run" / "manifest.json"
    assert not manifest.exists() or SECRET not in manifest.read_text()
