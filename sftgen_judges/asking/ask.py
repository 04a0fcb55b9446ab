"""Asks a judge's model and reads its replies, which gives verdicts.

This is the only place where prompts, clients and parsers meet. A judge declares its prompt and its parser;
a benchmark sees verdicts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from sftgen_judges.asking.replies import UnreadableReply
from sftgen_judges.asking.settings import cleaned, settings_for
from sftgen_judges.plugins.contracts import Item, Judge, JudgeBackend, NoAnswer, Reply, Request
from sftgen_judges.plugins.judge_settings import PREFIX, JudgeSettings
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.schema import Verdict, content_hash


def judge_items(judge: Judge, items: Sequence[Item], replied: str = "") -> Iterable[Verdict | tuple[int, Verdict]]:
    """The verdict of a judge on each item: in order, or with positions, as the `Judge` contract allows.

    Args:
        judge: The judge.
        items: What to judge.
        replied: The model that gave the verdicts so far, as the server named it; another one is not mixed with it.
    """
    if judge.judge is not None:
        return judge.judge(items)
    settings = settings_for(judge)
    if settings.missing and judge.check is None:  # a judge with a check names what is missing itself
        never = Verdict("not_graded", reason=f"no judge: {settings.missing}")
        return [never] * len(items)
    if judge.score_batch is not None:
        return judge.score_batch([_clipped(item, settings) for item in items], settings)
    return _ask(judge, items, settings, replied)


def identity(judge: Judge, item: Item) -> dict[str, Any]:
    """What a model's verdict depends on: the model, its sampling settings and the request."""
    try:
        settings = settings_for(judge)
        asked = prompt_hash(request_for(judge, item, settings)) if judge.prompt else settings.max_response_chars
    except Exception:  # asking fails in the same way, and reports it
        return {}
    return {**settings.identity, "request": asked}


def request_for(judge: Judge, item: Item, settings: JudgeSettings) -> Request:
    """The request that a judge makes about an item under the settings.

    Raises:
        KeyError: The document lacks a column that the judge reads.
    """
    assert judge.prompt is not None
    request = judge.prompt(_clipped(item, settings), settings)
    return replace(
        request,
        prompt=_sendable(request.prompt),
        max_tokens=settings.max_tokens or request.max_tokens,
        schema=request.schema if settings.structured else None,
    )


def _sendable(prompt: Any) -> Any:
    """A prompt without half characters (lone surrogates): models sometimes write them, and no request can hold them."""
    if isinstance(prompt, str):
        return prompt.encode("utf-8", "replace").decode()
    return tuple({name: _sendable(text) for name, text in message.items()} for message in prompt)


def prompt_hash(request: Request) -> str:
    """Hash of a whole request: prompt, limits and schema."""
    return content_hash(asdict(request))


def unanswered(judge: Judge, item: Item) -> Verdict | None:
    """The verdict on a response without an answer: the lowest score and its own status. No judge is asked about it."""
    response = item.response
    if response.answer and response.think != "unclosed":
        return None
    status, reason = (
        ("truncated", "truncated before an answer") if response.truncated else ("no_answer", "no answer found")
    )
    return Verdict(status, judge.scale[0], reason=reason)  # type: ignore[arg-type]


def _ask(judge: Judge, items: Sequence[Item], settings: JudgeSettings, replied: str) -> Iterator[tuple[int, Verdict]]:
    requests: list[Request] = []
    positions: list[int] = []
    for position, item in enumerate(items):
        verdict = unanswered(judge, item)
        if verdict is None:
            try:
                requests.append(request_for(judge, item, settings))
                positions.append(position)
                continue
            except KeyError as error:
                verdict = Verdict("judge_error", reason=f"the document has no column {error}")
            except NoAnswer:
                verdict = unanswered(judge, replace(item, response=replace(item.response, answer="")))
                assert verdict is not None
        yield position, verdict
    if not requests:
        return
    backend: JudgeBackend = lookup("judge_backend", settings.backend)
    left = dict.fromkeys(range(len(requests)))
    renamed = ""
    for number, outcome in backend.ask(settings, requests):
        position, request = positions[number], requests[number]
        left.pop(number, None)
        if isinstance(outcome, Reply):
            if not settings.allow_renamed:
                renamed = _renamed(replied, outcome.model)
            replied = replied or outcome.model
            verdict = Verdict("judge_error", reason=renamed) if renamed else _read(judge, request, outcome)
            reply = dict(vars(outcome))
        else:
            verdict = Verdict(outcome.status, reason=outcome.reason)
            reply = {"attempts": outcome.attempts}
        evidence = _evidence(judge, items[position], request, settings, reply)
        yield position, cleaned_verdict(replace(verdict, evidence=evidence), settings)
        if renamed:
            break
    never = cleaned_verdict(Verdict("not_graded", reason=f"not asked: {renamed}"), settings)
    for number in left if renamed else ():
        yield positions[number], never


def _renamed(before: str, now: str) -> str:
    """Why a reply is not counted: the server has another model than before; empty where it has the same."""
    if not (before and now) or before == now:
        return ""
    return (
        f"the server's model was {before[:60]!r} and is {now[:60]!r} now; "
        f"to mix the two, set {PREFIX}ALLOW_RENAMED=true"
    )


def cleaned_verdict(verdict: Verdict, settings: JudgeSettings) -> Verdict:
    """A verdict without the key in any of its texts."""
    answer, reason, evidence = cleaned((verdict.answer, verdict.reason, verdict.evidence), settings)
    return replace(verdict, answer=answer, reason=reason, evidence=evidence)


def _read(judge: Judge, request: Request, reply: Reply) -> Verdict:
    assert judge.read is not None
    try:
        # A completion of one word usually ends at its token limit; a truncated analysis lacks the score at its end.
        if reply.finish_reason == "length" and not isinstance(request.prompt, str):
            raise UnreadableReply(f"reply truncated at {reply.tokens or request.max_tokens} tokens")
        return judge.read(reply)
    except UnreadableReply as error:
        return Verdict("judge_error", reason=str(error))
    except Exception as error:  # a plugin's parser; its message may quote the reply
        return Verdict("judge_error", reason=f"the judge's parser raised {type(error).__name__}")


def _evidence(
    judge: Judge, item: Item, request: Request, settings: JudgeSettings, reply: dict[str, Any]
) -> dict[str, Any]:
    answer, limit = item.response.answer, settings.max_response_chars
    facts = {
        "judge": f"{judge.name} v{judge.version}",
        "asked_model": settings.model,
        "prompt_hash": prompt_hash(request),
        "reply": reply.pop("text", None),
        "clipped_chars": max(0, len(answer) - limit) if limit else 0,
        "cost": settings.cost(reply.get("prompt_tokens"), reply.get("tokens")),
        **reply,
    }
    return {name: value for name, value in facts.items() if value not in (None, "", 0, {}, ())}


def _clipped(item: Item, settings: JudgeSettings) -> Item:
    limit = settings.max_response_chars
    if limit is None or len(item.response.answer) <= limit:
        return item
    return replace(item, response=replace(item.response, answer=item.response.answer[:limit]))
