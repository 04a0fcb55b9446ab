"""The jobs of `decode`, which work on bytes that cannot be trusted."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Callable


def pickled_json(data: bytes) -> bytes:
    """The text in a compressed pickle: LiveCodeBench's private tests. Unpickling can run any code."""
    found = pickle.loads(zlib.decompress(data))
    return (found if isinstance(found, str) else json.dumps(found)).encode("utf-8", "surrogatepass")


JOBS: dict[str, Callable[[bytes], bytes]] = {"pickled_json": pickled_json}
