"""`SFTGEN_SANDBOX=http`: programs run in a service on another machine, or in a container (`service.py`).

Whatever that service answers, or does not answer, ends in an execution or in an error: a reply is limited in size, in
the silence between two signs of life, and in time altogether, and its parts are checked.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, fields
from urllib.parse import SplitResult, urlsplit

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Sandbox
from sftgen_tasks.sandbox import wire
from sftgen_tasks.sandbox.levels import CHOOSE, SandboxError

URL = "SFTGEN_SANDBOX_URL"
_ATTEMPTS = 4
_QUEUE = 600.0
_FACTOR = 20
"""A reply is complete after so many seconds, and so many times the limit of the sample, or it is given up."""
_SIGNS = 100_000
"""The most signs of life between two lines; one comes a second."""
_PART = 1 << 20


class UnavailableError(SandboxError):
    """The service may answer if it is asked again."""


@dataclass(frozen=True)
class _Reply:
    """A reply that is being read; closed early, it stops the program."""

    response: http.client.HTTPResponse
    deadline: threading.Timer

    def close(self) -> None:
        self.deadline.cancel()
        self.response.close()


def describe() -> str:
    """One line on the service in use.

    Raises:
        SandboxError: There is none, or it does not answer as one.
    """
    address = _address()
    with closing(_retrying(address, "GET", "/level", b"", wire.PATIENCE)) as reply:
        try:
            return f"service at {address.netloc}: {wire.read_level(reply.response.read(wire.LINE_BYTES))}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SandboxError(f"{_named(address)} is no sandbox service of this version: {_said(error)}") from error


def execute(program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Execution]:
    """Run a program on each input, until one run fails."""
    address, body = _address(), wire.request(program, inputs, limits)
    if len(body) > wire.REQUEST_BYTES:
        raise SandboxError(f"program and inputs have {len(body)} bytes; a service takes up to {wire.REQUEST_BYTES}")
    deadline = _QUEUE + _FACTOR * limits.total_seconds
    with closing(_retrying(address, "POST", "/run", body, deadline)) as reply:
        count = 0
        try:
            while (about := wire.read_line(_line(reply.response))) is not None:
                output = reply.response.read(about["bytes"])
                if len(output) != about["bytes"]:
                    raise wire.BadMessageError("it ended within an output")
                # A new request is a new process; and a program is tried again until it failed in one.
                if count == len(inputs) or (not count and not about["fresh"]):
                    raise wire.BadMessageError("it has run something else")
                count += 1
                about |= {"output": output.decode("utf-8", "replace"), "detail": wire.plain(about["detail"])}
                yield Execution(**{field.name: about[field.name] for field in fields(Execution)})
                if about["reason"]:
                    return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SandboxError(f"{_named(address)}: {_said(error)}") from error
        if count < len(inputs):
            raise SandboxError(f"{_named(address)}: it gave too few results")


def _line(response: http.client.HTTPResponse) -> bytes:
    """The next line that is more than a sign of life."""
    for _ in range(_SIGNS):
        if (line := response.readline(wire.LINE_BYTES)) != b"\n":
            break
    if not line.endswith(b"\n"):
        raise wire.BadMessageError("it sent too long a line" if line else "it ended before all was told")
    return line


def _retrying(address: SplitResult, method: str, path: str, body: bytes, seconds: float) -> _Reply:
    """Ask the service, and again if it is busy or cannot be reached."""
    from sftgen_judges.asking.retrying import CallError, Patience, retrying  # the service's image has no tenacity

    def call() -> _Reply:
        try:
            return _ask(address, method, path, body, seconds)
        except UnavailableError as error:
            raise CallError(str(error)) from error

    try:
        return retrying(Patience(_ATTEMPTS, backoff=0.25, longest_wait=10))(call)
    except CallError as error:
        raise SandboxError(str(error)) from error


def _ask(address: SplitResult, method: str, path: str, body: bytes, seconds: float) -> _Reply:
    # This client knows no redirect, no proxy and no file of passwords.
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=wire.PATIENCE, blocksize=_PART)
    headers = {"Content-Length": str(len(body)), "Connection": "close"}
    headers |= {"Content-Type": "application/json"} if body else {}
    headers |= {"Authorization": f"Bearer {secret}"} if (secret := wire.token()) else {}
    deadline = None
    try:
        connection.connect()
        deadline = threading.Timer(seconds, _cut, [connection.sock])
        deadline.daemon = True
        deadline.start()
        # In parts, each of which has the time limit for itself.
        connection.request(method, f"{address.path.rstrip('/')}{path}", io.BytesIO(body) if body else None, headers)
        reply = _Reply(connection.getresponse(), deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline:
            deadline.cancel()
        connection.close()
        step = "start it with `python -m sftgen_tasks.sandbox.service` (docs/sandbox.md)"
        raise UnavailableError(f"{_named(address)} cannot be reached: {_said(error)}; {step}") from error
    if reply.response.status != 200:
        with closing(reply):
            raise _refusal(address, reply.response)
    return reply


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _refusal(address: SplitResult, response: http.client.HTTPResponse) -> SandboxError:
    status, where = response.status, _named(address)
    if status in (429, 502, 503, 504):
        return UnavailableError(f"{where} is busy: it answers {status}")
    if status in (401, 403):
        return SandboxError(f"{where} refuses the token: set {wire.TOKEN} to what the service was started with")
    if 300 <= status < 400:
        return SandboxError(f"{where} answers {status}; redirects are not followed: set {URL} to the service itself")
    said = b""
    with suppress(OSError, http.client.HTTPException, ValueError):
        said = response.read(wire.LINE_BYTES)
    return SandboxError(f"{where} answers {status}, expected 200: {wire.plain(said.decode('utf-8', 'replace'))}")


def _said(error: Exception) -> str:
    return wire.plain(str(error) if isinstance(error, wire.BadMessageError) else f"{type(error).__name__}: {error}")


def _named(address: SplitResult) -> str:
    return f"the sandbox service at {address.netloc}"


def _address() -> SplitResult:
    url = os.environ.get(URL, "")
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError:
        found = urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or found.scheme not in ("http", "https") or not found.hostname or "@" in found.netloc or found.query:
        shown = "is not set" if not url else "is not the address of a service"  # it may hold a password
        raise SandboxError(f"{CHOOSE}=http: {URL} {shown}; expected for example {URL}=http://127.0.0.1:8731")
    return found


SANDBOX = Sandbox("http", describe, execute, streams=True)
