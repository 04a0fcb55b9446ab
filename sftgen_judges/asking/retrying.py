"""The one retry policy for every call to a model: which failures are transient, and how long to wait.

It holds for judges behind a server, for batches, for reward models and for the chat model under test. The retries
of the client libraries are off everywhere, so that no failure is tried again by two policies.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from sftgen_judges.asking.settings import without_key
from sftgen_judges.plugins.judge_settings import JudgeSettings

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

TRANSIENT = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 after which the same request may succeed; every status from 500 on is transient too."""
OVERLOADED = frozenset({408, 429, 503, 504})
"""HTTP statuses that say that the server has too much to do."""
FATAL = frozenset({401, 403, 404})
"""HTTP statuses that every other request will get too: a wrong key, an unknown model."""
LONGEST_BACKOFF = 60.0
"""Most seconds between two attempts where the server does not say when to come back."""


class CallError(Exception):
    """One call to a model that failed.

    Attributes:
        transient: Whether the same call may succeed next time.
        overloaded: Whether the server has too much to do.
        fatal: Whether every other call will fail in the same way.
        retry_after: Seconds that the server asks to wait, None where it does not say.
        status: HTTP status, None where there was no reply.
    """

    def __init__(
        self,
        reason: str,
        *,
        transient: bool = True,
        overloaded: bool = False,
        fatal: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.transient, self.overloaded, self.fatal = transient, overloaded, fatal
        self.retry_after, self.status = retry_after, status


@dataclass(frozen=True)
class Patience:
    """How often a call is tried, and how long to wait in between.

    Attributes:
        attempts: Most calls.
        backoff: Seconds before the first retry; they double with each retry, with jitter.
        longest_wait: Most seconds to wait for a server that says when to come back.
    """

    attempts: int = 6
    backoff: float = 1.0
    longest_wait: float = 300.0

    @classmethod
    def of(cls, settings: JudgeSettings) -> Patience:
        """That of a judge's settings."""
        return cls(settings.attempts, settings.backoff, settings.longest_wait)


def retrying(patience: Patience) -> tenacity.Retrying:
    """Calls a function again after each transient `CallError`; raises the last one."""
    return tenacity.Retrying(**_policy(patience, _is_transient))


def retrying_async(patience: Patience, *, unless: Callable[[], bool]) -> tenacity.AsyncRetrying:
    """As `retrying`, for a coroutine; no further attempt is made once `unless` is true."""
    return tenacity.AsyncRetrying(**_policy(patience, lambda error: _is_transient(error) and not unless()))


def call_openai(function: Callable[[], T], settings: JudgeSettings) -> T:
    """Call what uses a client of the `openai` package, and again after each transient failure.

    Raises:
        CallError: The last failure, also where what came back has another shape than `function` expects.
    """
    import openai

    def call() -> T:
        try:
            return function()
        except CallError:
            raise
        except openai.OpenAIError as error:
            raise openai_error(error, settings) from error
        except Exception as error:  # of reading what a server sent; its message may quote that
            raise CallError(f"unreadable reply: {type(error).__name__}") from error

    return retrying(Patience.of(settings))(call)


def _policy(patience: Patience, transient: Callable[[BaseException], bool]) -> dict[str, Any]:
    return {
        "stop": tenacity.stop_after_attempt(patience.attempts),
        "wait": lambda state: seconds_to_wait(patience, state),
        "retry": tenacity.retry_if_exception(transient),
        "reraise": True,
    }


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, CallError) and error.transient


def seconds_to_wait(patience: Patience, state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: never fewer than the server asks for, and with jitter."""
    error = state.outcome.exception() if state.outcome else None
    # Without jitter all callers come back at the same moment.
    if isinstance(error, CallError) and error.retry_after is not None:
        return error.retry_after + random.uniform(0, patience.backoff / 2)
    longest = min(LONGEST_BACKOFF, patience.longest_wait)
    jittered = tenacity.wait_random_exponential(multiplier=patience.backoff, max=longest)
    return min(longest, patience.backoff / 2 + jittered(state))


def status_error(
    status: int, message: str, headers: Mapping[str, str], *, longest_wait: float, code: str | None = None
) -> CallError:
    """What an HTTP status other than success means for the call.

    Args:
        status: HTTP status.
        message: What the server says about it.
        headers: Of the reply; they may say when to come back.
        longest_wait: Most seconds to wait for that.
        code: The server's own name of the error.
    """
    reason = f"HTTP {status}: {' '.join(message.split())}".rstrip(": ")
    if 300 <= status < 400:
        return CallError(redirected(status, headers), transient=False, fatal=True, status=status)
    if status in FATAL or code == "insufficient_quota":
        return CallError(reason, transient=False, fatal=True, status=status)
    if status not in TRANSIENT and status < 500:
        return CallError(reason, transient=False, status=status)
    pause = retry_after(headers)
    if pause is not None and pause > longest_wait:
        return CallError(f"{reason}; to be asked again in {pause:g} s", transient=False, fatal=True, status=status)
    return CallError(reason, overloaded=status in OVERLOADED, retry_after=pause, status=status)


def redirected(status: int, headers: Mapping[str, str]) -> str:
    """Why a redirect is refused, and what to do."""
    place = "".join(filter(str.isprintable, headers.get("location", "")))[:60]
    to = f" to {place}" if place else ""
    return f"HTTP {status}: the server redirects{to}. Set the base URL to the right address, redirects are not followed"


def openai_error(error: openai.OpenAIError, settings: JudgeSettings) -> CallError:
    """What an error of the `openai` package means for the call."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return timed_out(settings)
    if isinstance(error, openai.APIConnectionError):
        return CallError(f"connection: {type(error.__cause__ or error).__name__}")
    if isinstance(error, openai.APIStatusError):
        message = _said(error.body, settings)
        headers = {name: without_key(value, settings) for name, value in error.response.headers.items()}
        return status_error(error.status_code, message, headers, longest_wait=settings.longest_wait, code=error.code)
    return CallError(f"{type(error).__name__}: {error}", transient=isinstance(error, openai.APIError))


def _said(body: Any, settings: JudgeSettings) -> str:
    """What a server says about an error, in one short line and without the key."""
    # OpenAI's servers say it in `message`, FastAPI's in `detail`, others as a bare text; a proxy's page says nothing.
    message = (body.get("message") or body.get("detail")) if isinstance(body, Mapping) else body
    if not isinstance(message, str) or message.lstrip().startswith(("<", "[", "{")):
        return ""
    # The key goes first: a line that is made shorter would keep a part of it.
    return " ".join(without_key(message, settings).split())[:120]


def timed_out(settings: JudgeSettings) -> CallError:
    """No reply within the time limit of a call."""
    return CallError(f"timeout: no reply within {settings.time_limit:g} s", overloaded=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after`, which is a number or a date; None without either."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
