"""Messages between sftgen and its worker: a JSON header, then bytes; or open files."""

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


def send_files(channel: socket.socket, *files: int) -> None:
    """Send open files; the other side gets descriptors of its own."""
    socket.send_fds(channel, [b"f"], files)


def receive_files(channel: socket.socket, count: int) -> list[int]:
    """The descriptors of files that were sent together.

    Raises:
        EOFError: The other side is gone, or sent another number of files.
    """
    _, files, _, _ = socket.recv_fds(channel, 1, count)
    if len(files) != count:
        raise EOFError
    return files
