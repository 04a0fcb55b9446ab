"""A chat completions server on this machine that answers as it is told, faults included."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], Any]


def completion(content: str | None, reason: str | None = "stop", tokens: int = 9, **message: Any) -> dict[str, Any]:
    """A response as servers send it."""
    return {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 21, "completion_tokens": tokens, "total_tokens": 21 + tokens},
    }


@dataclass(frozen=True)
class Refused:
    """A status with what the server says about it."""

    status: int
    body: Any


@dataclass
class ChatServer:
    """What was asked of it, and where it is.

    `answer(question, body)` gives a response, an HTTP status for a failure, `Refused`, raw bytes, seconds to be silent
    for, or None to hang up.
    """

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    def questions(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.asked]


@contextmanager
def chat_server(answer: Answer, models: Any = None) -> Iterator[ChatServer]:
    """Serve while the block runs; `models` is what the server lists, None if it has no list."""
    lock, stopping = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                served.asked.append(body)
                served.keys.add(self.headers.get("Authorization"))
                reply = answer(body["messages"][-1]["content"], body)
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return
            if isinstance(reply, float):
                stopping.wait(reply)
                return
            if isinstance(reply, int):
                reply = Refused(reply, {"error": {"message": f"refused with {reply}"}})
            status, sent = (reply.status, reply.body) if isinstance(reply, Refused) else (200, reply)
            data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            found = models is not None and self.path == "/v1/models"
            data = json.dumps({"object": "list", "data": models}).encode() if found else b"{}"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that stopped waiting
            pass

    server = Server(("127.0.0.1", 0), Handler)
    served = ChatServer(f"http://127.0.0.1:{server.server_port}/v1/chat/completions")
    threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    try:
        yield served
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
