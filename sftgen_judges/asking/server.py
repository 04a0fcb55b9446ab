"""Asks an OpenAI-compatible server many requests at once; every request gets an outcome.

A transient failure is tried again (`asking.retrying`). A failure that every request would meet (a wrong key, an
unknown model) stops the batch. What a batch learns of its server, failures included, ends with the batch: the next
one begins afresh. Only the budget (`asking.throttle.SPENT`) belongs to the whole process.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.clipping import MOST_CUTS, shorter, too_long
from sftgen_judges.asking.completions import read_body
from sftgen_judges.asking.connection import async_client
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
REFUSED_AFTER_REPLIES = 50
"""As `GIVE_UP_AFTER`, for requests that a server refuses (HTTP 400) although it has answered others of the batch."""


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
        async with async_client(settings) as client:
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


class _Session:
    """One batch of requests; what it learns of the server holds until its end and no longer."""

    def __init__(self, client: openai.AsyncOpenAI, settings: JudgeSettings) -> None:
        self.client, self.settings = client, settings
        self.limiter = Limiter(settings.concurrency)
        self.stopped: str | None = None
        self.dropped: frozenset[str] = frozenset()
        self.failed_in_a_row = 0
        self.refused_in_a_row = 0
        self.replied = False

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
            self.failed_in_a_row = self.refused_in_a_row = 0
            self.replied = True
        except BudgetSpentError as error:
            self.stopped = str(error)
            return failure or Failure(str(error), "not_graded")
        except CallError as error:
            assert failure is not None
            self.failed_in_a_row += error.transient
            self.refused_in_a_row += not error.transient
            # A prompt that is too long is refused alone; a server that refuses everything is left alone.
            patience = REFUSED_AFTER_REPLIES if self.replied else GIVE_UP_AFTER
            if error.fatal or self.failed_in_a_row >= GIVE_UP_AFTER or self.refused_in_a_row >= patience:
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
        """Send a request; parameters that the server refuses are left out, and a response that is too long is cut."""
        import openai

        dropped, cuts, before = self.dropped, 0, request.clipped
        while True:
            given = parameters(self.settings, request, dropped)
            SPENT.allow(self.settings)
            try:
                reply = await self._post(request, given)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if too_long(str(error)) and cuts < MOST_CUTS and (cut := shorter(request, str(error))):
                    request, cuts = cut, cuts + 1
                    continue
                unwanted = _unwanted(str(error), given)
                if unwanted is None:
                    raise openai_error(error, self.settings) from None
                dropped |= {unwanted}
            else:
                self.dropped |= dropped
                return replace(reply, dropped=tuple(sorted(dropped)), clipped=request.clipped - before)

    async def _post(self, request: Request, given: dict[str, Any]) -> Reply:
        import openai

        text = isinstance(request.prompt, str)
        endpoint: Any = self.client.completions if text else self.client.chat.completions
        # The raw response, so that a field that a server leaves out or adds is not an error. And a time limit
        # of our own, because the package's limits the time between two bytes.
        call = endpoint.with_raw_response.create(**given, extra_body=self.settings.extra_body)
        try:
            raw = await asyncio.wait_for(call, self.settings.time_limit)
            return read_body(raw.content, request)
        except TimeoutError:
            raise timed_out(self.settings) from None
        except (openai.BadRequestError, openai.UnprocessableEntityError, CallError):
            raise
        except openai.OpenAIError as error:
            raise openai_error(error, self.settings) from None
        except Exception as error:  # whatever else a server makes of its reply; the message may quote that
            raise CallError(f"unreadable reply: {type(error).__name__}") from None


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
