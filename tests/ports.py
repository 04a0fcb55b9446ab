"""Ports for programs that must be told one."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL = "32768 60999"
LOWEST, HIGHEST = 10_000, 65_535


@contextmanager
def own_port() -> Iterator[int]:
    """A free port that nobody else is given while the block runs.

    None of those that the system gives to whoever asks for any: another process could get it before the program that
    was told it listens. Test processes know each other's by a name in Linux's abstract namespace.
    """
    first, last = map(int, (RANGE.read_text() if RANGE.exists() else USUAL).split())
    ports = [port for port in range(LOWEST, HIGHEST + 1) if not first <= port <= last]
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket(socket.AF_UNIX) as name:
            try:
                name.bind(f"\0sftgen-tests-port-{port}")
                with socket.socket() as free:
                    free.bind(("127.0.0.1", port))
            except OSError:  # somebody has it
                continue
            yield port
            return
    raise OSError(f"no port from {LOWEST} to {HIGHEST} is free beside those that the system gives, {first} to {last}")
