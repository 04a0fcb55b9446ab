"""The process that is forked for one program: it runs the program on its tests, one after the other.

Each test gets its own standard input and output and a fresh `__main__`, as in a process of its own. If
that is impossible (threads are left, descriptors are gone), the process ends, and the worker forks another.
The input of a test is there once the one before has ended. This module does not confine the program: it is confined
before, and the worker measures it from outside.
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
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, NoReturn

from sftgen_tasks.sandbox.inside import records

_REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS}


class Files(NamedTuple):
    """Descriptors that are shared with the worker.

    Attributes:
        input: A file with the input of the test.
        output: A file for its output.
        go: A pipe that holds a byte when a test may begin.
        report: A pipe for the records of how tests ended.
    """

    input: int
    output: int
    go: int
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
    compile("", "<program>", "exec")  # the first call makes some hundred classes


class _Stop(Exception):  # noqa: N818 - not an error of sftgen
    """The test ended for this reason."""


def run_tests(source: str, function: str | None, files: Files, nothing: int | None) -> NoReturn:
    """Run one test after the other until the worker ends this process.

    Args:
        source: The program.
        function: Name of the function to call, if it is not run as `__main__`.
        files: Where inputs come from and outputs go.
        nothing: What to put at descriptors 0 and 1 of a program that has its streams only; None for a process.
    """
    report = files.report
    try:
        code = _guarded(lambda: _compile(source))
        solution = _guarded(lambda: _load(code, function)) if function else None
        while os.read(files.go, 1):
            if solution is not None:
                status = _guarded(lambda: _call(solution, files))
            else:
                status = _guarded(lambda: _run(code, files, nothing))
            records.write(report, status or records.OK)
    except _Stop as stop:
        records.write(report, *stop.args)
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


def _text(buffer: Any, mode: str) -> io.TextIOWrapper:
    """A text stream with the attributes that the interpreter gives its own."""
    stream = io.TextIOWrapper(buffer, "utf-8", "surrogateescape", newline="\n")
    stream.mode = mode  # type: ignore[misc]
    return stream


class _Standard(io.FileIO):
    """Standard input or output of one test, which says its usual number whatever descriptor it reads or writes."""

    main_ended = late = over = False
    """`late`: something was written after the main thread had ended. `over`: what is written after its test is lost."""

    def __init__(self, number: int, file: int) -> None:
        super().__init__(file, "rw"[number], closefd=False)
        self.number = number
        self.name = ("<stdin>", "<stdout>")[number]

    def fileno(self) -> int:
        super().fileno()  # a closed stream has none
        return self.number

    def write(self, data: Any) -> int:
        if self.over:
            return len(data)
        self.late |= self.main_ended
        return super().write(data)


@cache
def _recursion_limit() -> int:
    """The limit before the first program; a program may set another one for itself."""
    return sys.getrecursionlimit()


@cache
def _file() -> str:
    """Where the program would be a file, in the folder in which it starts."""
    return f"{os.getcwd().rstrip('/')}/program.py"


def _module(name: str) -> dict[str, Any]:
    module = types.ModuleType(name)
    sys.modules[name] = module
    sys.argv = ["program.py"]
    module.__dict__.update(__builtins__=builtins, __file__=_file())
    sys.setrecursionlimit(_recursion_limit())
    return module.__dict__


def _run(code: types.CodeType, files: Files, nothing: int | None) -> int:
    """One run as `__main__`, including all that an interpreter does at its end; returns the status of its record."""
    streams = nothing is not None
    os.dup2(files.input if nothing is None else nothing, 0)
    os.dup2(files.output if nothing is None else nothing, 1)
    namespace = _module("__main__")
    namespace["__annotations__"] = {}
    printed = _Standard(1, files.output if streams else 1)
    given = _Standard(0, files.input if streams else 0)
    sys.stdin = sys.__stdin__ = _text(io.BufferedReader(given), "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = own = _text(io.BufferedWriter(printed), "w")  # type: ignore[misc]
    try:  # noqa: SIM105 - `suppress` would cost each test more
        exec(code, namespace)
    except SystemExit:
        pass
    threads = _thread._count() > 0
    if threads and streams:
        _switch()
    _flush(own)
    printed.main_ended = True  # a checker in the same process looks now
    if threads:
        threading._shutdown()  # type: ignore[attr-defined]
    if atexit._ncallbacks():
        atexit._run_exitfuncs()
    if getattr(sys, "stdout", None) is not own:
        _flush(getattr(sys, "stdout", None))
    namespace.clear()
    _flush(own)
    printed.over = True
    return records.LATE if streams and printed.late else records.LAST if threads else records.OK


def _switch() -> None:
    """Let other threads run for as long as Python lets them when the main thread waits for its turn."""
    interval = sys.getswitchinterval()
    end = time.monotonic() + interval
    sys.setswitchinterval(interval / 20)  # otherwise this thread would wait twice as long
    while _thread._count() and time.monotonic() < end:
        time.sleep(interval / 20)
    sys.setswitchinterval(interval)


def _flush(stream: Any) -> None:
    try:  # noqa: SIM105 - as above
        stream.flush()
    except (AttributeError, ValueError):  # the stream is missing, closed or detached
        pass


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


def _call(function: Callable[..., Any], files: Files) -> int:
    data = os.pread(files.input, os.fstat(files.input).st_size, 0)
    try:
        given = data.decode("utf-8", "surrogatepass")
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
    rest = memoryview(text.encode())
    while rest:
        rest = rest[os.write(files.output, rest) :]
    return records.LAST if _thread._count() else records.OK


def _plain(value: Any) -> Any:
    """A Python number for a number of numpy."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", None):
        return value.item()
    raise TypeError(f"a {type(value).__name__} was returned")
