"""Asks a judge's model and reads its replies, which gives verdicts.

This is the only place where prompts, clients and parsers meet. A judge declares its prompt and its parser;
a benchmark sees verdicts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sftgen_judges.asking.clipping import fitting_settings
from sftgen_judges.asking.replies import UnreadableReply
from sftgen_judges.asking.settings import cleaned, settings_for
from sftgen_judges.plugins.contracts import (
    Failure,
    Item,
    Judge,
    JudgeBackend,
    NoAnswer,
    PaperRule,
    Reply,
    Request,
)
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
        if not judge.prompt:
            return {**settings.identity, "request": settings.max_response_chars}
        request, _ = _request(judge, item, settings)
    except Exception:  # asking fails in the same way, and reports it
        return {}
    return {**settings.identity, "request": prompt_hash(request) if request else None}


def judges_all(judge: Judge) -> bool:
    """Whether a judge is asked about every response, so that its verdicts have `paper` scores.

    Raises:
        SettingsError: A setting cannot be used.
    """
    return judge.paper is not None and settings_for(judge).unclosed


def request_for(judge: Judge, item: Item, settings: JudgeSettings) -> Request:
    """The request that a judge makes about an item under the settings.

    Raises:
        KeyError: The document lacks a column that the judge reads.
        NoAnswer: There is nothing to judge.
        SettingsError: The tokenizer of the settings cannot be used.
    """
    assert judge.prompt is not None
    short = _clipped(item, settings)
    request = judge.prompt(short, settings)
    request = replace(
        request,
        prompt=_sendable(request.prompt),
        response=_sendable(request.response),
        max_tokens=settings.max_tokens or request.max_tokens,
        schema=request.schema if settings.structured else None,
        clipped=request.clipped + len(item.response.answer) - len(short.response.answer),
    )
    return fitting_settings(request, settings)


def ask_model(settings: JudgeSettings, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | Failure]]:
    """Ask the model of some settings: the place of each request with what came back, in any order.

    Args:
        settings: Which model, and how.
        requests: What is asked.
    """
    backend: JudgeBackend = lookup("judge_backend", settings.backend)
    asked = [
        replace(
            request,
            prompt=_sendable(request.prompt),
            max_tokens=settings.max_tokens or request.max_tokens,
            schema=request.schema if settings.structured else None,
        )
        for request in requests
    ]
    for place, outcome in backend.ask(settings, asked) if asked else ():
        text = cleaned(outcome.text if isinstance(outcome, Reply) else outcome.reason, settings)
        yield place, replace(outcome, **{"text" if isinstance(outcome, Reply) else "reason": text})


def _sendable(prompt: Any) -> Any:
    """A prompt without half characters (lone surrogates): models sometimes write them, and no request can hold them."""
    if isinstance(prompt, str):
        return prompt.encode("utf-8", "replace").decode()
    return tuple({name: _sendable(text) for name, text in message.items()} for message in prompt)


def prompt_hash(request: Request) -> str:
    """Hash of what is asked: prompt, limits and schema."""
    asked = asdict(request)
    return content_hash({name: value for name, value in asked.items() if name not in {"response", "clipped"}})


def unanswered(judge: Judge, item: Item) -> Verdict | None:
    """The verdict on a response without an answer: the lowest score and its own status. No judge is asked about it."""
    response = item.response
    if response.answer and response.think != "unclosed":
        return None
    status, reason = (
        ("truncated", "truncated before an answer") if response.truncated else ("no_answer", "no answer found")
    )
    return Verdict(status, judge.scale[0], reason=reason)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Asked:
    """One item that the model is asked about.

    Attributes:
        position: Which.
        request: What is asked.
        known: The verdict that is known without asking, of a response that is only judged for its `paper` score.
    """

    position: int
    request: Request
    known: Verdict | None


def _request(judge: Judge, item: Item, settings: JudgeSettings) -> tuple[Request | None, Verdict | None]:
    """What is asked about an item, None for nothing, and the verdict that is known without asking, None for none.

    Raises:
        KeyError: The document lacks a column that the judge reads.
    """
    known = unanswered(judge, item)
    if known is None:
        try:
            return request_for(judge, item, settings), None
        except NoAnswer:
            known = unanswered(judge, _with_answer(item, ""))
    if judge.paper is None or not settings.unclosed:
        return None, known
    text = judge.paper.text(item.response)
    try:
        return request_for(judge, _with_answer(item, text), settings), known
    except NoAnswer:
        return request_for(judge, _with_answer(item, ""), settings), known


def _with_answer(item: Item, answer: str) -> Item:
    return replace(item, response=replace(item.response, answer=answer))


def _ask(judge: Judge, items: Sequence[Item], settings: JudgeSettings, replied: str) -> Iterator[tuple[int, Verdict]]:
    asked: list[_Asked] = []
    for position, item in enumerate(items):
        try:
            request, verdict = _request(judge, item, settings)
        except KeyError as error:
            request, verdict = None, Verdict("judge_error", reason=f"the document has no column {error}")
        if request:
            asked.append(_Asked(position, request, verdict))
        elif verdict:
            yield position, verdict
    if not asked:
        return
    backend: JudgeBackend = lookup("judge_backend", settings.backend)
    left = dict.fromkeys(range(len(asked)))
    renamed = ""
    for number, outcome in backend.ask(settings, [one.request for one in asked]):
        one = asked[number]
        left.pop(number, None)
        verdict, reply = _outcome(judge, one.request, outcome)
        if isinstance(outcome, Reply):
            if not settings.allow_renamed:
                renamed = _renamed(replied, outcome.model)
            replied = replied or outcome.model
            verdict = Verdict("judge_error", reason=renamed) if renamed else verdict
        evidence = _evidence(judge, one.request, settings, reply)
        yield one.position, cleaned_verdict(replace(_beside(one.known, verdict), evidence=evidence), settings)
        if renamed:
            break
    never = Verdict("not_graded", reason=f"not asked: {renamed}")
    for number in left if renamed else ():
        yield asked[number].position, cleaned_verdict(_beside(asked[number].known, never), settings)


def _outcome(judge: Judge, request: Request, outcome: Reply | Failure) -> tuple[Verdict, dict[str, Any]]:
    """The verdict on what came back, and what of that is kept."""
    if not isinstance(outcome, Reply):
        failed = judge.paper.failed if judge.paper and outcome.status == "judge_error" else None
        return Verdict(outcome.status, paper=failed, reason=outcome.reason), {"attempts": outcome.attempts}
    verdict = _read(judge, request, outcome)
    clipped = request.clipped + outcome.clipped
    if clipped:
        verdict = replace(
            verdict,
            reason="; ".join(filter(None, (verdict.reason, f"{clipped:,} characters of the response were clipped"))),
        )
    measures = {**verdict.measures, "clipped": float(clipped > 0)}
    if judge.paper:
        given = _read_paper(judge.paper, request, outcome)
        verdict = replace(verdict, paper=judge.paper.failed if given is None else given)
        measures["paper_failed"] = float(given is None)
    reply = {**vars(outcome), "clipped": 0, "clipped_chars": clipped}
    return replace(verdict, measures=measures), reply


def _beside(known: Verdict | None, judged: Verdict) -> Verdict:
    """The verdict that was known without asking, with what is only of the `paper` rule from the judged text."""
    measures = dict(judged.measures)
    failed = measures.pop("paper_failed", 1.0)
    if known is None:
        return replace(judged, measures=measures)
    return replace(known, paper=judged.paper, measures={**measures, "paper_failed": failed})


def _read_paper(rule: PaperRule, request: Request, reply: Reply) -> float | None:
    try:
        return rule.read(request, reply)
    except Exception:  # a plugin's parser
        return None


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


def _evidence(judge: Judge, request: Request, settings: JudgeSettings, reply: dict[str, Any]) -> dict[str, Any]:
    facts = {
        "judge": f"{judge.name} v{judge.version}",
        "asked_model": settings.model,
        "prompt_hash": prompt_hash(request),
        "reply": reply.pop("text", None),
        "cost": settings.cost(reply.get("prompt_tokens"), reply.get("tokens")),
        **reply,
    }
    return {name: value for name, value in facts.items() if value not in (None, "", 0, {}, ())}


def _clipped(item: Item, settings: JudgeSettings) -> Item:
    limit = settings.max_response_chars
    if limit is None or len(item.response.answer) <= limit:
        return item
    return replace(item, response=replace(item.response, answer=item.response.answer[:limit]))
