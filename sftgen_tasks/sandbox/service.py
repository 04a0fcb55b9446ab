"""`python -m sftgen_tasks.sandbox.service`: runs programs for others, in this machine's own sandbox, by HTTP.

For clusters whose machines forbid namespaces: one container with this service, and `SFTGEN_SANDBOX=http` elsewhere
(`docs/sandbox.md`). It never sees an expected output, and writes no file. Beside the standard library it needs little
of sftgen, so that its image is small.
"""

from __future__ import annotations

import argparse
import hmac
import ipaddress
import json
import os
import select
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from sftgen_judges.plugins.contracts import Setting
from sftgen_tasks.sandbox import local, wire
from sftgen_tasks.sandbox.inside import system
from sftgen_tasks.sandbox.levels import Level, SandboxError, require_local

_CONNECTIONS = 256
_BUFFERED = 4 * wire.REQUEST_BYTES
"""The most bytes of requests that are held at once."""
_SETTINGS = 8
"""Workers are kept for each setting, so there may be few."""
_HEARTBEAT = 1.0
_PART = 1 << 20


class Service(socketserver.ThreadingTCPServer):
    """A server that runs `workers` programs at once; more of them wait."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, *, level: Level, token: str, workers: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.level, self.token = level, token
        self.places = threading.BoundedSemaphore(workers)
        self._connections = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()
        self._held = 0
        self._settings: set[Setting] = set()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, if there are not too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the machine has no thread left
            self._connections.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is written about a connection that broke: what was in it is somebody's."""

    def hold(self, size: int) -> bool:
        """Take memory for a request, or give it back; False if there is too little."""
        with self._lock:
            if self._held + size > _BUFFERED:
                return False
            self._held += size
            return True

    def knows(self, setting: Setting) -> bool:
        """Whether programs of this setting may be run."""
        with self._lock:
            if len(self._settings) < _SETTINGS:
                self._settings.add(setting)
            return setting in self._settings


class _Handler(BaseHTTPRequestHandler):
    """One request; the connection is closed after it."""

    server_version, sys_version = "sftgen", ""
    timeout = wire.PATIENCE
    """Seconds for each piece that is sent or received."""

    def setup(self) -> None:
        super().setup()
        self.service = cast(Service, self.server)
        # Before a client has shown its token, all of its request has so much time together.
        self._deadline = threading.Timer(wire.PATIENCE, self._cut)
        self._deadline.daemon = True
        self._deadline.start()
        self._written = time.monotonic()

    def finish(self) -> None:
        self._deadline.cancel()
        with suppress(OSError):
            super().finish()

    def _cut(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Tell the level."""
        if self._allowed("/level"):
            level = self.service.level
            self._reply(200, {"protocol": wire.PROTOCOL, "level": level.name, "description": level.description})

    def do_POST(self) -> None:
        """Run a program."""
        if self._allowed("/run"):
            self._post()

    def _post(self) -> None:
        if self.headers.get("Content-Type") != "application/json":  # which no page in a browser can send unasked
            return self._refuse(415, "expected Content-Type: application/json")
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdigit() and len(size) < 20):
            return self._refuse(411, "expected a Content-Length")
        length = int(size)
        if length > wire.REQUEST_BYTES:
            return self._refuse(413, f"{length} bytes; expected up to {wire.REQUEST_BYTES}")
        if not self.service.hold(length):
            return self._refuse(503, "too many requests")
        try:
            self._run(length)
        finally:
            self.service.hold(-length)

    def _run(self, length: int) -> None:
        body = self.rfile.read(length)
        try:
            program, inputs, limits = wire.read_request(body)
        except wire.BadMessageError as error:
            return self._refuse(400, str(error))
        del body
        if not self.service.knows(program.setting):
            return self._refuse(400, f"setting: expected one of {_SETTINGS} different ones")
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("X-Accel-Buffering", "no")  # a proxy must pass on what is there
        self.end_headers()
        while not self.service.places.acquire(timeout=_HEARTBEAT):
            if not self._wanted():
                return None
        try:
            with closing(cast(Any, local.execute(program, inputs, limits, wanted=self._wanted))) as executions:
                for one in executions:
                    if not self._wanted():
                        return None
                    self._send(*wire.execution(one))
            self._send(json.dumps({"end": True}).encode() + b"\n")
        except OSError:
            return None  # the client is gone
        except Exception as error:
            with suppress(OSError):
                self._send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        finally:
            self.service.places.release()
        return None

    def _allowed(self, path: str) -> bool:
        given, expected = self.headers.get("Authorization", ""), f"Bearer {self.service.token}"
        if self.service.token and not hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode()):
            self._refuse(401, f"expected the token of {wire.TOKEN}")
            return False
        self._deadline.cancel()
        if self.path != path:
            self._refuse(404, "expected /level or /run")
            return False
        return True

    def _wanted(self) -> bool:
        """Show the client a sign of life; False if it is gone."""
        try:
            # It sends nothing after its request, so there is something to read only when it is gone.
            if select.select([self.connection], [], [], 0)[0]:
                return False
            if time.monotonic() - self._written >= _HEARTBEAT:
                self._send(b"\n")
        except (OSError, ValueError):
            return False
        return True

    def _send(self, *parts: bytes) -> None:
        for part in parts:
            for begin in range(0, len(part), _PART):
                self.wfile.write(part[begin : begin + _PART])
        self._written = time.monotonic()

    def _refuse(self, status: int, message: str) -> None:
        self._reply(status, {"error": message})

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing: a request is a stranger's text."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(
        prog="python -m sftgen_tasks.sandbox.service", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8731, help="0 takes a free one (default: %(default)s)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help="programs at once (default: one a core)")
    chosen = parser.parse_args(arguments)
    if not 0 <= chosen.port < 1 << 16:
        parser.error(f"--port {chosen.port}: expected 0 to 65535")
    if not 1 <= chosen.workers <= _CONNECTIONS:
        parser.error(f"--workers {chosen.workers}: expected 1 to {_CONNECTIONS}")
    try:
        token, level = wire.token(), require_local()
    except SandboxError as error:
        parser.error(str(error))
    if not token and not _is_loopback(chosen.host):
        parser.error(f"--host {chosen.host} is open to other machines: set a token in {wire.TOKEN}, or use 127.0.0.1")
    # Programs of the weakest level could read the environment of this process.
    os.environ.pop(wire.TOKEN, None)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    try:
        service = Service(chosen.host, chosen.port, level=level, token=token, workers=chosen.workers)
    except OSError as error:
        parser.error(f"cannot listen at {chosen.host}, port {chosen.port}: {error.strerror or error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container ends by no other way
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    print(
        f"http://{host}:{service.server_address[1]} runs programs at level {level.name}: {level.description}",
        flush=True,
    )
    with service, suppress(KeyboardInterrupt):
        service.serve_forever()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
