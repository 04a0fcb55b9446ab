"""A real HTTP server that speaks the OpenAI protocol and does wrong what its script says."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from typing import Any

Action = Callable[["Handler"], None]
# What the server does when it is asked with this prompt for the n-th time.
Plan = Callable[[str, int], Action]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: JudgeServer

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body: Any = json.loads(data) if self.headers["Content-Type"] == "application/json" and data else data
        with self.server.lock:
            prompt = prompt_of(self.body)
            self.server.times[prompt] += 1
            self.server.calls.append(
                {
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": self.body,
                }
            )
            self.server.started.append(time.monotonic())
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
            time_of = self.server.times[prompt]
        try:
            self.server.plan(prompt, time_of)(self)
        except (BrokenPipeError, ConnectionResetError):  # a client that gave up, or was killed
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.running -= 1

    do_GET = do_POST  # noqa: N815

    def send(self, data: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class JudgeServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.times: Counter[str] = Counter()
        self.calls: list[dict[str, Any]] = []
        self.started: list[float] = []
        self.running = self.most = self.taken = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serving(plan: Plan | Action) -> Iterator[JudgeServer]:
    """A server with a plan, or with one action for all."""
    server = JudgeServer(plan if len(signature(plan).parameters) == 2 else lambda _prompt, _time: plan)  # type: ignore[arg-type,return-value]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def prompt_of(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    return str(body.get("prompt") or body.get("messages", [{}])[-1].get("content"))


def named(prompt: str) -> str:
    """The name that a test hid in a prompt as `<<name>>`."""
    found = re.search(r"<<(.*?)>>", prompt)
    return found.group(1) if found else ""


# ------------------------------------------------------------------------------ what it can do


def completion(text: str | None, body: dict[str, Any], finish: str = "stop", **message: Any) -> dict[str, Any]:
    content = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text, **message}}
    return {
        "id": "x",
        "model": f"{body['model']}-2026",
        "choices": [{"index": 0, "finish_reason": finish, **content}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def say(text: str | None, finish: str = "stop", **message: Any) -> Action:
    return lambda handler: handler.send(json.dumps(completion(text, handler.body, finish, **message)).encode())


def fail(status: int, message: str = "no", code: str | None = None, **headers: str) -> Action:
    data = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return lambda handler: handler.send(data, status, **headers)


def send(data: bytes, kind: str = "application/json") -> Action:
    return lambda handler: handler.send(data, kind=kind)


def after(seconds: float, action: Action) -> Action:
    def wait(handler: Handler) -> None:
        handler.server.stopping.wait(seconds)
        action(handler)

    return wait


def only_first(count: int, action: Action) -> Action:
    """Holds every call after the first `count` until the server stops: a client cannot be done before it is stopped."""

    def answer(handler: Handler) -> None:
        with handler.server.lock:
            handler.server.taken += 1
            held = handler.server.taken > count
        if held:
            handler.server.stopping.wait()
        action(handler)

    return answer


def dribble(handler: Handler) -> None:
    """A byte now and then, so that no two of them are far apart."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.stopping.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def reset(handler: Handler) -> None:
    """Half a reply, then a reset connection."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
