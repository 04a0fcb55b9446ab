"""What the paper's code puts around a program (arXiv 2604.06628), to be run inside the sandbox.

`paper_programs.inside_paper` sends the text of this file there, with a call of `run` or `call` at its end. So it needs
nothing but the standard library, and imports little. It keeps no secret and decides nothing: a program that tampers
with it can only change its own output.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import importlib
import io
import json
import os
import sys
import time
from contextlib import contextmanager, suppress

# What that code takes away before it runs a program.
_NO_CALLS = (
    *("chdir", "chmod", "chown", "chroot", "fchdir", "fchmod", "fchown", "fork", "forkpty", "getcwd", "kill", "killpg"),
    *("lchown", "putenv", "remove", "removedirs", "rename", "renames", "replace", "rmdir", "setuid", "system"),
    *("truncate", "unlink"),
)
_NO_MODULES = ("ipdb", "joblib", "psutil", "resource", "tkinter")

# What that code has imported before; afterwards these cannot be.
_PRESENT = ("numpy", "scipy")


def run(program: str) -> None:
    """Run a program that reads and prints; what it has printed by the end of its last line is the output."""
    ours = _Ours(program)
    sys.stdin, sys.stdout = io.StringIO(ours.given), io.StringIO()
    printed = sys.stdout
    _execute(program, {})
    _switch()
    ours.give(printed.getvalue())


def call(program: str, name: str) -> None:
    """Run a program and call the function of this name; the JSON of its result is the output."""
    ours = _Ours(program)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    names: dict[str, object] = {}
    _execute(program, names)
    sys.stdout = io.StringIO()
    with _no_way_out():
        result = names[name](*json.loads(ours.given))  # type: ignore[operator]
    ours.give(json.dumps(_plain(result)))


class _Ours:
    """The test's input and the way to its output, out of reach of the program, and the process as it was."""

    def __init__(self, program: str) -> None:
        for name in _PRESENT:
            if name in program:
                with suppress(ImportError):
                    importlib.import_module(name)
        self.given = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
        # Descriptors 0 and 1 are the evaluator's own there: nothing comes, and nothing is seen.
        with suppress(OSError):
            os.ftruncate(0, 0)
        self._output = os.dup(1)
        os.dup2(2, 1)
        self._calls = {name: vars(os)[name] for name in _NO_CALLS if name in vars(os)}
        vars(os).update(dict.fromkeys(self._calls))
        vars(builtins).update(exit=None, quit=None)
        sys.argv = ["eval.py", "--model"]
        self._modules = {name: sys.modules.pop(name) for name in _NO_MODULES if name in sys.modules}
        sys.modules.update(dict.fromkeys(_NO_MODULES))  # type: ignore[arg-type]

    def give(self, output: str) -> None:
        """Write the output, and leave the process as the next test needs it."""
        data = memoryview(output.encode("utf-8", "surrogatepass"))
        while data:
            data = data[os.write(self._output, data) :]
        if _thread._count():  # nobody waits for threads, and what they print is not seen
            os._exit(0)
        os.close(self._output)
        atexit._clear()
        vars(os).update(self._calls)
        for name in _NO_MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(self._modules)


def _switch() -> None:
    """Let other threads run as long as Python lets them, whose modules that code has imported already."""
    interval = sys.getswitchinterval()
    end = time.monotonic() + interval
    while _thread._count() and time.monotonic() < end:
        time.sleep(interval / 20)


def _execute(program: str, names: dict[str, object]) -> None:
    # This file's future import is not the program's.
    code = compile(program, "<string>", "exec", dont_inherit=True)
    with _no_way_out():
        exec(code, names)


@contextmanager
def _no_way_out():  # type: ignore[no-untyped-def]
    try:
        yield
    except SystemExit:
        raise RuntimeError("the program ended the process before its result was known") from None


def _plain(value: object) -> object:
    """A value of JSON that is equal to this one, because only such a value can be the expected one.

    Raises:
        ValueError: There is none: it is a tuple, a set, an array, an object.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: _plain(one) for name, one in value.items()}
    for kind in (int, float):  # a number of numpy, a fraction, a decimal, a complex number
        with suppress(TypeError, ValueError, OverflowError):
            number = kind(getattr(value, "real", value))  # type: ignore[call-overload, arg-type]
            if number == value:
                return number
    raise ValueError(f"a {type(value).__name__} is never the expected result")
