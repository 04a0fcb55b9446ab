"""Services that lie, fall silent or never end: each is an error, and none makes a program right."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from sftgen_tasks.sandbox import Case, Program, SandboxError, level, remote, run_sample, wire
from tests import PATIENCE
from tests.tasks.sandbox.conftest import Run, same
from tests.tasks.sandbox.test_service import RIGHT, SECRET, SHORT, use

LEVEL = json.dumps({"protocol": wire.PROTOCOL, "level": "namespaces", "description": "good"}).encode()
OK = b"HTTP/1.0 200 OK\r\n\r\n"


def said(*, output: bytes = b"1\n", **changes: object) -> bytes:
    """One execution, and the end."""
    about = {"reason": "", "detail": "", "spent": 0.1, "fresh": True, "late": False, **changes}
    about = {"bytes": len(output), **about}
    return OK + json.dumps(about).encode() + b"\n" + output + b'{"end": true}\n'


@contextmanager
def lying(*replies: bytes, level: bytes = OK + LEVEL, again: bytes = b"") -> Iterator[str]:
    """A service that answers so, whatever it is asked, and then sends `again` forever."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE)
            asked = connection.recv(1 << 16)
            if asked.startswith(b"GET /level"):
                return connection.sendall(level)
            length = int(re.findall(rb"Content-Length: (\d+)", asked)[0])
            got = len(asked.partition(b"\r\n\r\n")[2])
            while got < length and (more := connection.recv(1 << 16)):
                got += len(more)
            for reply in replies:
                connection.sendall(reply)
            while again and not stop.wait(0.01):
                connection.sendall(again)
            if not replies:
                stop.wait(PATIENCE)
        return None

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=[server.accept()[0]], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)


def test_the_lying_service_can_tell_the_truth(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with lying(said()) as url:
        use(monkeypatch, url)
        assert run("print(1)", *RIGHT).passed


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"", "cannot be reached"),
        (b"SSH-2.0\r\n", "cannot be reached"),
        (b"HTTP/1.0 200 OK\r\n" + b"a: b\r\n" * 1000, "cannot be reached"),
        (b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/run\r\n\r\n", "redirects are not followed"),
        (b"HTTP/1.0 500 x\r\n\r\nTraceback\x1b[31m", "answers 500, expected 200: Traceback [31m"),
        (b"HTTP/1.0 503 x\r\n\r\n", "busy"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the sandbox service at"),
        (OK, "ended before all was told"),
        (OK + b"{}\n", "expected reason of type str"),
        (OK + b"[1]\n", "expected an object"),
        (OK + b"[" * 60000 + b"\n", "expected JSON"),
        (OK + b"9" * 60000 + b"\n", "expected JSON"),
        (OK + b"x" * (1 << 20), "too long a line"),
        (OK + b'{"error": "x' + SECRET.encode() + b'"}\n', "it failed: x(token)"),
        (OK + b'{"end": true}\n', "too few results"),
        (said(bytes=1 << 62), "an output has more than"),
        (said(bytes=-1), "an output has more than"),
        (said(bytes=True), "expected bytes of type int"),
        (said(bytes=1000), "ended within an output"),
        (said(spent=float("nan")), "expected spent of type float"),
        (said(spent=-1), "a time that cannot be"),
        (said(spent=10**400), "a time that cannot be"),
        (said(reason="right"), "no reason of a program"),
        (said(reason="sandbox error"), "no reason of a program"),
        (said(late=1), "expected late of type bool"),
        (said(fresh=False, reason="crash"), "has run something else"),
        (said() [:-14] + said()[len(OK):], "has run something else"),
    ],
)  # fmt: skip
def test_a_service_that_lies(reply: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_ATTEMPTS", 2)
    with lying(reply) as url:
        use(monkeypatch, url)
        with pytest.raises(SandboxError) as caught:
            list(remote.execute(Program("print(1)"), [""], SHORT))
        assert says in str(caught.value)
        if reply:
            outcome = run_sample(Program("print(1)"), [Case("", "1")], SHORT, same=same)
            assert (outcome.passed, outcome.reason) == (False, "sandbox error")


@pytest.mark.parametrize(
    ("replies", "again"),
    [
        ((), b""),  # silence
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), b"HTTP/1.1 100 Continue\r\n\r\n"),
        ((b"HTTP/1.0 200 OK\r\na: ",), b"b"),
        ((OK,), b"\n"),
        ((OK,), b"\n" * 50_000),
        ((OK + b'{"reason": "',), b"x"),
        ((said(bytes=1 << 20)[:-14],), b"x"),
    ],
)
def test_a_service_that_does_not_end(replies: Sequence[bytes], again: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_ATTEMPTS", 1)
    monkeypatch.setattr(remote, "_QUEUE", 0.0)
    monkeypatch.setattr(remote, "_FACTOR", 0.5)
    with lying(*replies, again=again) as url:
        use(monkeypatch, url)
        with pytest.raises(SandboxError, match="the sandbox service at 127"):
            list(remote.execute(Program("print(1)"), [""], SHORT))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (OK + b"<html>", "no sandbox service of this version: description: expected JSON"),
        (OK + LEVEL.replace(b": 2", b": 1"), "protocol 1: expected 2; use the same version"),
        (OK + b"x" * (1 << 20), "expected JSON"),
        (b"HTTP/1.0 401 x\r\n\r\n", f"refuses the token: set {wire.TOKEN}"),
        (b"HTTP/1.0 404 x\r\n\r\nno", "answers 404, expected 200: no"),
    ],
)
def test_a_service_that_is_none(reply: bytes, says: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with lying(level=reply) as url:
        use(monkeypatch, url)
        with pytest.raises(SandboxError, match=says):
            run("print(1)", *RIGHT)


def test_a_level_is_shown_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with lying(level=OK + LEVEL.replace(b"good", f"\\u001b[31m {SECRET}".encode())) as url:
        use(monkeypatch, url)
        assert level().description.endswith(": namespaces:  [31m (token)")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "SFTGEN_SANDBOX_URL is not set; expected for example SFTGEN_SANDBOX_URL=http://127.0.0.1:8731"),
        *(
            (url, "SFTGEN_SANDBOX_URL is not the address of a service")
            for url in (
                "127.0.0.1:1",
                "ftp://a",
                "http://",
                "http://u:hidden@a",
                "http://a:b",
                "http://[a",
                "http://a b",
            )
        ),
    ],
)
def test_addresses(url: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, url)
    with pytest.raises(SandboxError, match=says) as caught:
        level()
    assert "hidden" not in str(caught.value)
