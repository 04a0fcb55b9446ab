"""Whose fault it was that an evaluation failed: the checkpoint's, or that of the worker and its machine."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from sftgen_train.queue.entries import Fault

OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC", "EDQUOT", "EROFS", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EACCES", "EPERM", "EBUSY", "ESTALE",
        "ENODEV", "ENXIO", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ETIMEDOUT",
        "ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOTDIR", "ELOOP",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Errors of an operating system that say nothing about a checkpoint: disk, memory, mounts, network, rights."""

_TEXT = re.compile(
    r"out of memory|CUDA error|CUDA driver|no kernel image|NCCL|cuBLAS|cuDNN|No space left|Too many open files"
    r"|Free memory on device|larger than the available KV cache|No available memory for the cache blocks",
    re.IGNORECASE,
)


def fault_of(error: BaseException) -> Fault:
    """Whose fault an error of an evaluation is, as far as the error itself tells.

    Returns:
        `worker` for a full GPU or disk, a lost mount, a missing package; `unclear` for everything else: wrong
        arguments of the worker and broken weights look alike.
    """
    return "worker" if any(map(_of_the_machine, _chain(error))) else "unclear"


def _of_the_machine(error: BaseException) -> bool:
    if isinstance(error, MemoryError | ConnectionError | TimeoutError | ImportError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in OF_THE_MACHINE
    return type(error).__name__ == "OutOfMemoryError" or bool(_TEXT.search(str(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
