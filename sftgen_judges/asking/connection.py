"""Clients of the `openai` package that go to no other host, and take no more than they have asked for.

Redirects are not followed: prompts, responses and the key would go where nobody sent them. A body is read in pieces and
no further than its limit, and it is asked for uncompressed, because a few compressed bytes can be a body of any size.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.retrying import CallError, timed_out
from sftgen_judges.plugins.judge_settings import JudgeSettings

if TYPE_CHECKING:
    import openai

LARGEST_REPLY = 1_000_000
"""Bytes of a server's reply, and of an error."""


def async_client(settings: JudgeSettings) -> openai.AsyncOpenAI:
    """A client for many calls at once; its own retries are off, because `asking.retrying` does them."""
    import httpx2
    import openai

    class Stream(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = _Size(LARGEST_REPLY)
            async for part in self.stream:
                yield size.add(part)

        async def aclose(self) -> None:
            await self.stream.aclose()

    async def bound(response: httpx2.Response) -> None:
        _check(response)
        response.stream = Stream(response.stream)

    client = openai.DefaultAsyncHttpxClient(
        follow_redirects=False, headers=_HEADERS, event_hooks={"response": [bound]}, timeout=settings.time_limit
    )
    return openai.AsyncOpenAI(**_options(settings, settings.base_url), max_retries=0, http_client=client)


def client(settings: JudgeSettings, base_url: str | None, most: int = LARGEST_REPLY) -> openai.OpenAI:
    """A client for one call at a time.

    Args:
        settings: The key, and the seconds for a whole call.
        base_url: The server.
        most: Bytes of a reply.
    """
    import httpx2
    import openai

    class Stream(httpx2.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size, end = _Size(most), time.monotonic() + settings.time_limit
            for part in self.stream:
                # The package's limit is one for the time between two pieces.
                if time.monotonic() > end:
                    raise timed_out(settings)
                yield size.add(part)

        def close(self) -> None:
            self.stream.close()

    def bound(response: httpx2.Response) -> None:
        _check(response)
        response.stream = Stream(response.stream)

    http = openai.DefaultHttpxClient(
        follow_redirects=False, headers=_HEADERS, event_hooks={"response": [bound]}, timeout=settings.time_limit
    )
    return openai.OpenAI(**_options(settings, base_url), max_retries=0, http_client=http)


_HEADERS = {"Accept-Encoding": "identity"}


def _options(settings: JudgeSettings, base_url: str | None) -> dict[str, Any]:
    # A local server needs no key, but the package does.
    key = settings.key or "none"
    return {"api_key": key, "base_url": base_url, "timeout": settings.time_limit}


class _Size:
    """Counts the bytes of a body."""

    def __init__(self, most: int) -> None:
        self.left = self.most = most

    def add(self, part: bytes) -> bytes:
        self.left -= len(part)
        if self.left < 0:
            raise CallError(f"unreadable reply: more than {self.most:,} bytes")
        return part


def _check(response: Any) -> None:
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise CallError("unreadable reply: compressed, although it was asked for as it is")
