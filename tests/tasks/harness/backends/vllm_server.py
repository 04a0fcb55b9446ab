"""`vllm serve`, for real, as a fork of a process that has imported it."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import PATIENCE
from tests.commands import Warm
from tests.ports import own_port

LONGEST = 256
"""Tokens of a prompt and its answer."""


@contextmanager
def vllm_serving(vllm: Warm, model: Path, log: Path, *flags: str | Path) -> Iterator[str]:
    """The address of a server of a model, `http://.../v1`, from when it answers."""
    with own_port() as port:
        yield from _serving(vllm, model, log, port, *flags)


def _serving(vllm: Warm, model: Path, log: Path, port: int, *flags: str | Path) -> Iterator[str]:
    line = ("serve", model, "--dtype", "float32", "--max-model-len", str(LONGEST), "--enforce-eager", *flags)
    where = ("--host", "127.0.0.1", "--port", str(port))
    serving = vllm.start("vllm", *line, *where, out=log, err=log)
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(port):
            assert serving.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        serving.terminate()
        try:
            serving.wait(60)
        except subprocess.TimeoutExpired:
            serving.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return bool(answer.status == 200)
    return False
