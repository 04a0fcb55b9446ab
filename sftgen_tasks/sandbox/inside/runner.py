"""The process that is forked for one program: it runs the program on its tests, one after the other.

Each test gets its own standard input and output and a fresh `__main__`, as in a process of its own. If
that is impossible (threads are left, descriptors are gone), the process ends, and the worker forks another.
This module does not confine the program: it is confined before, and the worker measures it from outside.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import errno
import io
import json
import linecache
import os
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from sftgen_tasks.sandbox.inside import records

_MANY_BYTES = 16 << 20
_REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS}


@dataclass(frozen=True)
class Files:
    """Descriptors that are shared with the worker: input, output, and the records of how tests ended."""

    input: int
    output: int
    report: int


def prepare(modules: Sequence[str], recursion_limit: int) -> None:
    """Before the first program: set the depth of calls, and build in the names of modules, which costs a test no time.

    The standard streams are left out: they would belong to another test.
    """
    names: dict[str, Any] = {}
    for module in modules:
        exec(f"from {module} import *", names)
    for module in modules:
        exec(f"import {module}", names)
    for name, value in names.items():
        if not hasattr(builtins, name) and name[0] != "_" and name not in ("stdin", "stdout", "stderr"):
            setattr(builtins, name, value)
    if recursion_limit:
        sys.setrecursionlimit(recursion_limit)
    atexit._clear()


class _Stop(Exception):  # noqa: N818 - not an error of sftgen
    """The test ended for this reason."""


def run_tests(source: str, function: str | None, inputs: Sequence[str], first: int, files: Files) -> NoReturn:
    """Run the tests from `first` on and end this process."""
    report = files.report
    index, end = first, 0
    random.seed(0)  # so that a program that uses random numbers has one verdict
    try:
        code = _guarded(lambda: _compile(source))
        solution = _guarded(lambda: _load(code, function)) if function else None
        for index in range(first, len(inputs)):
            if not _give(inputs[index], files, function):
                records.write(report, records.LEAVE, index, 0)
                os._exit(0)
            seen: int | None = None
            if solution is not None:
                leave = _guarded(lambda: _call(solution, inputs[index], files.output))  # noqa: B023
            else:
                leave, seen = _guarded(lambda: _run(code, files)) or (False, None)
            begin, end = end, os.fstat(files.output).st_size
            records.write(report, records.OK, index, end, "" if seen in (None, end - begin) else str(seen))
            if leave or end > _MANY_BYTES:
                records.write(report, records.LEAVE, index + 1, 0)
                os._exit(0)
    except _Stop as stop:
        records.write(report, stop.args[0], index, 0, stop.args[1])
    # Everything that a program left to be done at exit is done or lost by now.
    os._exit(0)


def _guarded(action: Callable[[], Any]) -> Any:
    """Run an action that may raise anything, and turn an error into `_Stop` with a reason."""
    try:
        return action()
    except _Stop:
        raise
    except SystemExit:
        return False
    except MemoryError:
        raise _Stop(records.MEMORY, "MemoryError") from None
    except BaseException as error:
        refused = isinstance(error, OSError) and error.errno in _REFUSALS
        raise _Stop(records.REFUSED if refused else records.CRASH, _describe(error)) from None


def _describe(error: BaseException) -> str:
    line, trace = 0, error.__traceback__
    while trace:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<program>" else line
        trace = trace.tb_next
    try:
        text = f"{type(error).__name__}: {str(error)[:200]}"
    except BaseException:  # the program's class raised another error
        text = "an exception that cannot be shown"
    return f"line {line}: {text}" if line else text


def _compile(source: str) -> types.CodeType:
    lines = source.splitlines(keepends=True)
    linecache.cache["<program>"] = len(source), None, lines, "<program>"  # for inspect.getsource
    try:
        return compile(source, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise _Stop(records.COMPILE, f"{where}{type(error).__name__}: {str(error)[:100]}") from None


def _give(given: str, files: Files, function: str | None) -> bool:
    """Give the program the input of the test; False if an earlier test made that impossible."""
    if function:
        return True
    data = given.encode("utf-8", "surrogatepass")
    try:
        if os.pwrite(files.input, data, 0) != len(data):
            return False
        os.ftruncate(files.input, len(data))  # removes the rest of an earlier, longer input
        os.lseek(files.input, 0, os.SEEK_SET)
        os.dup2(files.input, 0)
        os.dup2(files.output, 1)
    except OSError:
        return False
    return True


def _text(buffer: Any, mode: str) -> io.TextIOWrapper:
    """A text stream with the attributes that the interpreter gives its own."""
    stream = io.TextIOWrapper(buffer, "utf-8", "surrogateescape")
    stream.mode = mode  # type: ignore[misc]
    return stream


class _Standard(io.FileIO):
    """Descriptor 0 or 1; it counts the bytes that go through `sys.stdin` or `sys.stdout`."""

    count = 0

    def readinto(self, buffer: Any) -> int:
        read = super().readinto(buffer)
        self.count += read
        return read

    def readall(self) -> bytes:
        data = super().readall()
        self.count += len(data)
        return data

    def write(self, data: Any) -> int:
        written = super().write(data)
        self.count += written
        return written


@cache
def _recursion_limit() -> int:
    """The limit before the first program; a program may set another one for itself."""
    return sys.getrecursionlimit()


def _module(name: str) -> dict[str, Any]:
    module = types.ModuleType(name)
    sys.modules[name] = module
    sys.argv = ["program.py"]
    module.__dict__.update(__builtins__=builtins, __file__=f"{os.getcwd().rstrip('/')}/program.py")
    sys.setrecursionlimit(_recursion_limit())
    return module.__dict__


def _run(code: types.CodeType, files: Files) -> tuple[bool, int]:
    """One run as `__main__`, including all that an interpreter does at its end.

    Returns:
        Whether this process cannot run another test, and the bytes of output that a checker in this process would have
        seen.
    """
    namespace = _module("__main__")
    given, printed = _Standard(0, "r", closefd=False), _Standard(1, "w", closefd=False)
    given.name, printed.name = "<stdin>", "<stdout>"
    sys.stdin = sys.__stdin__ = _text(io.BufferedReader(given), "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = own = _text(io.BufferedWriter(printed), "w")  # type: ignore[misc]
    with suppress(SystemExit):
        exec(code, namespace)
    threads = _thread._count() > 0
    if threads:
        _switch()
    _flush(own)
    by_descriptor = os.lseek(files.input, 0, os.SEEK_CUR) > given.count
    seen = 0 if by_descriptor else printed.count
    if threads:
        threading._shutdown()  # type: ignore[attr-defined]
    if atexit._ncallbacks():
        atexit._run_exitfuncs()
    for stream in (getattr(sys, "stdout", None), own):
        _flush(stream)
    namespace.clear()
    return threads, seen


def _switch() -> None:
    """Let other threads run for as long as Python lets them when the main thread waits for its turn."""
    interval = sys.getswitchinterval()
    end = time.monotonic() + interval
    sys.setswitchinterval(interval / 20)  # otherwise this thread would wait twice as long
    while _thread._count() and time.monotonic() < end:
        time.sleep(interval / 20)
    sys.setswitchinterval(interval)


def _flush(stream: Any) -> None:
    with suppress(AttributeError, ValueError):  # the stream is missing, closed or detached
        stream.flush()


def _load(code: types.CodeType, name: str) -> Callable[..., Any]:
    """The function, or the method of `class Solution`, of this name."""
    # The name is not `__main__`, so the part of a file that runs only as a program is left out.
    namespace = _module("solution")
    exec(code, namespace)
    found = getattr(namespace.get("Solution"), name, None)
    if found is not None:
        return lambda *arguments: getattr(namespace["Solution"](), name)(*arguments)
    if callable(namespace.get(name)):
        return namespace[name]  # type: ignore[no-any-return]
    raise _Stop(records.CRASH, f"there is no function {name}")


def _call(function: Callable[..., Any], given: str, output: int) -> bool:
    try:
        arguments = [json.loads(line) for line in given.split("\n") if line.strip()]
    except ValueError:
        raise _Stop(records.CRASH, "the arguments are not JSON") from None
    try:
        value = function(*arguments)
    except SystemExit:
        raise _Stop(records.CRASH, "ended before the function returned") from None
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError) as error:
        raise _Stop(records.WRONG, f"no JSON value: {_describe(error)}") from None
    data = memoryview(text.encode())
    while data:
        data = data[os.write(output, data) :]
    return _thread._count() > 0


def _plain(value: Any) -> Any:
    """A Python number for a number of numpy."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", None):
        return value.item()
    raise TypeError(f"a {type(value).__name__} was returned")
