"""Worker processes with a hard time limit for each call, shared by all graders that set a limit."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import pickle
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import pebble

# Each worker imports what its grader needs, often 100 MB, and a large server has hundreds of cores.
MOST_WORKERS = 16


class CallError(Exception):
    """Why a call in a worker gave no result, in one line."""


class _Process(SpawnProcess):
    """A spawned process that does not run the caller's `__main__` again.

    Workers only call module-level functions, and a training script without a `__main__` guard must
    not start a second training in every worker.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    # Spawned, not forked: the parent may hold a CUDA context and threads.
    Process = _Process


@cache
def _pool() -> pebble.ProcessPool:
    pool = pebble.ProcessPool(
        max_workers=min(len(os.sched_getaffinity(0)), MOST_WORKERS), context=_Context(), initializer=_start
    )
    atexit.register(_close, pool)
    return pool


def _start() -> None:
    import signal

    # Ctrl-C goes to the whole process group; the parent stops the workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _close(pool: pebble.ProcessPool) -> None:
    pool.stop()
    pool.join()


def submit(function: Callable[..., Any], *arguments: Any, time_limit: float) -> Callable[[], Any]:
    """Start `function(*arguments)` in a worker and return a function that waits for its result.

    Args:
        function: A module-level function of an importable module.
        arguments: Passed by pickling.
        time_limit: Seconds after which the worker is stopped.

    Returns:
        A function that returns the result, or raises `CallError` when the call raised anything, took
        too long or took the worker down with it.
    """
    return _submitted(function, *arguments, time_limit=time_limit)[0]


def _submitted(function: Callable[..., Any], *arguments: Any, time_limit: float) -> tuple[Callable[[], Any], int]:
    """As `submit`, with the bytes that the call takes until its result is there."""
    try:
        if function.__module__ == "__main__":
            raise CallError("with a time limit, a grader has to live in a module that workers can import")
        # Pickled here and unpickled in `_run`: a worker that cannot read its job would break the pool.
        job = pickle.dumps((function, arguments))
        started = _schedule(job, time_limit)
    except Exception as error:
        reason = str(error) if isinstance(error, CallError) else f"cannot be sent to a worker: {error}"
        return lambda: _raise(reason), 0
    return lambda: _result(job, started, time_limit), len(job)


def submit_all(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, time_limit: float, chunk: int = 1
) -> Iterator[Callable[[], Any]]:
    """Start `function(*arguments)` for all `calls` and yield functions that wait for each result, in order.

    Calls are started so far ahead that the workers have enough to do: each holds a copy of its arguments.

    Args:
        function: A module-level function of an importable module.
        calls: The arguments of each call.
        time_limit: Seconds for one call.
        chunk: Calls that a worker takes at once. Calls that a chunk does not finish are made again, one by one.
    """
    if chunk == 1:
        yield from _ahead(_submitted(function, *arguments, time_limit=time_limit) for arguments in calls)
        return
    chunks = [calls[start : start + chunk] for start in range(0, len(calls), chunk)]
    started = _ahead(_submitted(_run_chunk, function, part, time_limit=_PATIENCE + time_limit) for part in chunks)
    for part, wait in zip(chunks, started, strict=True):
        try:
            done = wait()
        except CallError:
            done = []
        rest = [submit(function, *arguments, time_limit=time_limit) for arguments in part[len(done) :]]
        yield from [partial(_result_of, *one) for one in done]
        yield from rest


def _ahead(started: Iterator[tuple[Callable[[], Any], int]]) -> Iterator[Callable[[], Any]]:
    """The same functions, with calls of `_AHEAD` bytes started before the first is waited for, and one a worker."""
    waiting: deque[tuple[Callable[[], Any], int]] = deque()
    size = 0
    for call in started:
        waiting.append(call)
        size += call[1]
        while waiting and size > _AHEAD and len(waiting) > MOST_WORKERS:
            first, taken = waiting.popleft()
            size -= taken
            yield first
    yield from (wait for wait, _ in waiting)


_AHEAD = 8 << 20
"""Bytes of calls that are started before the first is waited for."""
_PATIENCE = 2.0
"""Seconds after which a worker returns a chunk, finished or not."""


def _run_chunk(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[tuple[Any, str | None]]:
    """In the worker: the results of the first calls, until the time of a chunk is over."""
    end = time.monotonic() + _PATIENCE
    done: list[tuple[Any, str | None]] = []
    for arguments in calls:
        try:
            result = function(*arguments)
            pickle.dumps(result)  # a result that cannot be sent back fails its own call only
            done.append((result, None))
        except BaseException as error:
            done.append((None, _describe(error)))
        if time.monotonic() > end:
            break
    return done


def _result_of(result: Any, error: str | None) -> Any:
    return _raise(error) if error else result


def _schedule(job: bytes, time_limit: float) -> Any:
    if not _pool().active:  # broken: a worker died while no call was known to run in it
        _pool.cache_clear()
    return _pool().schedule(_run, args=(job,), timeout=time_limit)


def _result(job: bytes, started: Any, time_limit: float) -> Any:
    for _ in range(3):
        try:
            result, error = pickle.loads(started.result())
        except BrokenProcessPool:  # perhaps another call broke it
            started = _schedule(job, time_limit)
        except (TimeoutError, concurrent.futures.TimeoutError):
            _raise(f"took longer than {time_limit:g} s")
        except pebble.ProcessExpired as expired:
            _raise(f"the worker process died with exit code {expired.exitcode}")
        else:
            return _result_of(result, error)
    return _raise("the worker process died")


def _run(job: bytes) -> bytes:
    """In the worker: run a call and return its outcome as bytes that the parent can always read."""
    try:
        function, arguments = pickle.loads(job)
        return pickle.dumps((function(*arguments), None))
    except BaseException as error:
        return pickle.dumps((None, _describe(error)))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _raise(reason: str) -> None:
    raise CallError(reason)
