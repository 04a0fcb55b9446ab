"""The jobs of `decode`, which work on bytes that cannot be trusted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

DECODED_BYTES = 256 << 20
"""The most that decoding may give: a few bytes can stand for gigabytes."""


def pickled_json(data: bytes) -> bytes:
    """The text in a compressed pickle: LiveCodeBench's private tests."""
    import pickle  # here: every program's process would be a copy of one that holds these modules
    import zlib

    class Values(pickle.Unpickler):
        """Reads texts, numbers, lists and the like. A pickle may name any code; this one is refused."""

        def find_class(self, module: str, name: str) -> Any:
            raise pickle.UnpicklingError(f"it names code: {module}.{name}"[:100])

    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, DECODED_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError(f"more than {DECODED_BYTES >> 20} MiB")
    if not unpacking.eof:
        raise ValueError("incomplete zlib data")
    found = Values(io.BytesIO(unpacked)).load()
    return (found if isinstance(found, str) else json.dumps(found)).encode("utf-8", "surrogatepass")


JOBS: dict[str, Callable[[bytes], bytes]] = {"pickled_json": pickled_json}
