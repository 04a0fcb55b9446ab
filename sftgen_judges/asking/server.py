"""Asks an OpenAI-compatible server many requests at once; every request gets an outcome.

A transient failure is tried again (`asking.retrying`). A failure that every request would meet (a wrong key, an
unknown model) stops the batch. What a batch learns of its server, failures included, ends with the batch: the next
one begins afresh. Only the budget (`asking.throttle.SPENT`) belongs to the whole process.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.retrying import CallError, Patience, openai_error, retrying_async, timed_out
from sftgen_judges.asking.settings import without_key
from sftgen_judges.asking.throttle import SPENT, BudgetSpentError, Limiter
from sftgen_judges.plugins.contracts import Failure, JudgeBackend, Reply, Request
from sftgen_judges.plugins.contracts.asking import Outcome
from sftgen_judges.plugins.judge_settings import JudgeSettings

if TYPE_CHECKING:
    import openai

GIVE_UP_AFTER = 10
"""After so many failed judgements in a row, each with all its retries, the rest of the batch is not asked."""


def ask(settings: JudgeSettings, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
    """Ask a server.

    The calls run in a thread with an event loop of its own, because the caller may already have one.

    Args:
        settings: Where and how.
        requests: What to ask.

    Yields:
        Position and outcome of each request, as they come.
    """
    outcomes: queue.SimpleQueue[tuple[int, Outcome] | BaseException | None] = queue.SimpleQueue()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        async with make_client(settings) as client:
            await _Session(client, settings).ask_all(requests, lambda *outcome: outcomes.put(outcome))

    def work() -> None:
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            outcomes.put(error)
        finally:
            outcomes.put(None)

    thread = threading.Thread(target=work, name="sftgen-judge", daemon=True)
    thread.start()
    try:
        while (outcome := outcomes.get()) is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:  # also when the caller stops early
        for loop, task in running:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
        thread.join()


SERVER = JudgeBackend("server", ask)


def make_client(settings: JudgeSettings) -> openai.AsyncOpenAI:
    """A client of the `openai` package. Its own retries are off: `asking.retrying` does them."""
    import openai

    # A local server needs no key, but the package does.
    return openai.AsyncOpenAI(
        api_key=settings.key or "none", base_url=settings.base_url, max_retries=0, timeout=settings.time_limit
    )


def parameters(settings: JudgeSettings, request: Request, dropped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The parameters of a request, for the chat or the completions endpoint.

    Args:
        settings: The model, and how it samples.
        request: What to ask.
        dropped: Parameters that the server does not accept.
    """
    given: dict[str, Any] = {"model": settings.model, "temperature": settings.temperature, "seed": settings.seed}
    limit = "max_completion_tokens" if "max_tokens" in dropped else "max_tokens"
    given |= {limit: request.max_tokens, "stop": list(request.stop) or None}
    if isinstance(request.prompt, str):
        given |= {"prompt": request.prompt, "logprobs": request.logprobs or None}
    else:
        given["messages"] = [dict(message) for message in request.prompt]
        if request.schema:
            schema = {"name": "judgement", "strict": True, "schema": dict(request.schema)}
            given["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.logprobs:
            given |= {"logprobs": True, "top_logprobs": request.logprobs}
    return {name: value for name, value in given.items() if value is not None and name not in dropped}


def read_completion(body: Any, request: Request) -> Reply:
    """The reply in the JSON that a server sent.

    Raises:
        CallError: The JSON holds no reply.
    """
    if not isinstance(body, Mapping):
        raise CallError("unreadable reply: no JSON object")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise CallError("no choices in the reply")
    choice, usage = choices[0], body.get("usage") or {}
    message = choice.get("message") or {}
    text = choice.get("text") if isinstance(request.prompt, str) else message.get("content")
    refusal = message.get("refusal")
    return Reply(
        text=text if isinstance(text, str) else "",
        model=str(body.get("model") or ""),
        finish_reason=choice.get("finish_reason"),
        refusal=refusal if isinstance(refusal, str) else None,
        logprobs=_first_token(choice.get("logprobs") or {}),
        prompt_tokens=usage.get("prompt_tokens"),
        tokens=usage.get("completion_tokens"),
    )


def _first_token(logprobs: Mapping[str, Any]) -> dict[str, float]:
    if logprobs.get("top_logprobs"):  # completions
        return dict(logprobs["top_logprobs"][0] or {})
    if logprobs.get("content"):  # chat
        return {entry["token"]: entry["logprob"] for entry in logprobs["content"][0]["top_logprobs"]}
    return {}


class _Session:
    """One batch of requests; what it learns of the server holds until its end and no longer."""

    def __init__(self, client: openai.AsyncOpenAI, settings: JudgeSettings) -> None:
        self.client, self.settings = client, settings
        self.limiter = Limiter(settings.concurrency)
        self.stopped: str | None = None
        self.dropped: frozenset[str] = frozenset()
        self.failed_in_a_row = 0

    async def ask_all(self, requests: Sequence[Request], put: Callable[[int, Outcome], None]) -> None:
        places = asyncio.Semaphore(self.settings.concurrency)
        tasks: set[asyncio.Task[None]] = set()

        async def one(position: int, request: Request) -> None:
            try:
                put(position, await self._judgement(request))
            finally:
                places.release()

        try:
            for position, request in enumerate(requests):
                await places.acquire()
                task = asyncio.create_task(one(position, request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            # Before the client is closed under them: each would report that as an error of its own.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _judgement(self, request: Request) -> Outcome:
        retrying = retrying_async(Patience.of(self.settings), unless=lambda: self.stopped is not None)
        attempts = 0
        failure: Failure | None = None
        try:
            async for attempt in retrying:
                with attempt:
                    if self.stopped is not None:
                        return failure or Failure(self.stopped, "not_graded")
                    attempts += 1
                    try:
                        reply = await self._call(request, attempts)
                    except CallError as error:
                        failure = Failure(without_key(str(error), self.settings)[:200], attempts=attempts)
                        raise
            self.failed_in_a_row = 0
        except BudgetSpentError as error:
            self.stopped = str(error)
            return failure or Failure(str(error), "not_graded")
        except CallError as error:
            assert failure is not None
            self.failed_in_a_row += error.transient
            if error.fatal or self.failed_in_a_row >= GIVE_UP_AFTER:
                self.stopped = self.stopped or f"not asked, the server keeps failing: {failure.reason}"
            return failure
        return reply

    async def _call(self, request: Request, attempt: int) -> Reply:
        async with self.limiter as started:
            try:
                reply = await self._send(request)
            except CallError as error:
                if error.overloaded:
                    self.limiter.overloaded(started, error.retry_after)
                raise
        self.limiter.succeeded()
        SPENT.add(self.settings, request, reply)
        return Reply(**{**vars(reply), "seconds": round(time.monotonic() - started, 3), "attempts": attempt})

    async def _send(self, request: Request) -> Reply:
        """Send a request; parameters that the server refuses are left out."""
        import openai

        dropped = self.dropped
        while True:
            given = parameters(self.settings, request, dropped)
            SPENT.allow(self.settings)
            try:
                reply = await self._post(request, given)
            except openai.BadRequestError as error:
                unwanted = _unwanted(str(error), given)
                if unwanted is None:
                    raise openai_error(error, self.settings) from None
                dropped |= {unwanted}
            else:
                self.dropped |= dropped
                return Reply(**{**vars(reply), "dropped": tuple(sorted(dropped))})

    async def _post(self, request: Request, given: dict[str, Any]) -> Reply:
        import openai

        text = isinstance(request.prompt, str)
        endpoint: Any = self.client.completions if text else self.client.chat.completions
        # The raw response, so that a field that a server leaves out or adds is not an error. And a time limit
        # of our own, because the package's limits the time between two bytes.
        call = endpoint.with_raw_response.create(**given, extra_body=self.settings.extra_body)
        try:
            raw = await asyncio.wait_for(call, self.settings.time_limit)
            return read_completion(json.loads(raw.text), request)
        except asyncio.TimeoutError:
            raise timed_out(self.settings) from None
        except openai.BadRequestError:
            raise
        except openai.OpenAIError as error:
            raise openai_error(error, self.settings) from None
        except ValueError:
            raise CallError("unreadable reply: no JSON") from None


def _unwanted(message: str, given: Mapping[str, Any]) -> str | None:
    """The parameter that a server refuses, if the request makes sense without it; else None."""
    if "max_tokens" in given and "max_completion_tokens" in message:
        return "max_tokens"
    if "temperature" in given and "temperature" in message:
        return "temperature"
    if "seed" in given and "'seed'" in message:
        return "seed"
    # Servers word this in many ways. A reply without a schema can be read too.
    return "response_format" if "response_format" in given else None
