"""Messages between sftgen and its worker: a JSON header, then bytes; or an open file."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<IQ")


def send(channel: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Send one message."""
    text = json.dumps(header).encode()
    channel.sendall(_LENGTHS.pack(len(text), len(body)) + text)
    if body:
        channel.sendall(body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message.

    Raises:
        EOFError: The other side is gone.
    """
    lengths = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size))
    header = json.loads(_exactly(channel, lengths[0]))
    return header, _exactly(channel, lengths[1])


def _exactly(channel: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = channel.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def send_file(channel: socket.socket, file: int) -> None:
    """Send an open file; the other side gets a descriptor of its own."""
    socket.send_fds(channel, [b"f"], [file])


def receive_file(channel: socket.socket) -> int:
    """The descriptor of a file that was sent.

    Raises:
        EOFError: The other side is gone, or sent no file.
    """
    _, files, _, _ = socket.recv_fds(channel, 1, 1)
    if not files:
        raise EOFError
    return files[0]
