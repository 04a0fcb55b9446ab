"""What runs programs that nobody has read: `Sandbox`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What a benchmark's programs find before their first line; by default what plain Python gives.

    Attributes:
        modules: Modules whose names are there as after `from MODULE import *` and `import MODULE`, without their
            standard streams.
        recursion_limit: Python's limit on the depth of calls; 0 for its own.
    """

    modules: tuple[str, ...] = ()
    recursion_limit: int = 0


@dataclass(frozen=True)
class Program:
    """Python source that nobody has read.

    Attributes:
        source: The program.
        function: None for a program that reads standard input and runs as `__main__`. Else the name of
            the function, or of the method of `class Solution`, that is called.
        setting: What the benchmark promises its programs.
        streams_only: Run it as a checker does that runs programs inside its own process, as LiveCodeBench's: there is
            nothing at descriptors 0 and 1, only at `sys.stdin` and `sys.stdout`, and such a checker sees what was
            printed when the main thread was at its end (`Execution.late`).
    """

    source: str
    function: str | None = None
    setting: Setting = Setting()
    streams_only: bool = False


@dataclass(frozen=True)
class Limits:
    """What one sample may use.

    Attributes:
        test_seconds: For one test: CPU time, plus time in which the program sleeps. Waiting for a busy
            machine does not count. A program is ended at 1.15 times as much (`docs/sandbox.md` says
            why), or after ten times as much wall time.
        total_seconds: The same for all tests of a sample together.
        memory_bytes: Address space.
    """

    test_seconds: float = 6.0
    total_seconds: float = 30.0
    memory_bytes: int = 4 << 30


@dataclass(frozen=True)
class Execution:
    """What one test of a program came to.

    Attributes:
        output: Standard output, or the return value as JSON text.
        reason: Empty where the program ended by itself; else one of `Outcome.reason`'s words.
        detail: For a person, short.
        spent: Seconds of the limits used so far.
        fresh: Whether this was the first test in its process, or had nothing of an earlier one around.
        late: For a program that has its streams only: whether a part of the output was printed after the main thread
            had ended, by other threads or at exit.
    """

    output: str = ""
    reason: str = ""
    detail: str = ""
    spent: float = 0.0
    fresh: bool = True
    late: bool = False


@dataclass(frozen=True)
class Sandbox:
    """A place to run programs that nobody has read.

    Expected outputs are never given to it.

    Attributes:
        name: The name it is registered under.
        describe: One line on what it keeps a program from; raises `SftgenError` where it cannot run.
        execute: Runs a program on each input (standard input, or arguments as JSON, one a line) and
            yields one `Execution` an input, in order, up to the first with a reason. Closed early, it
            stops the program. Anything it raises is the sandbox's failure, not the program's.
        streams: Whether it does as `Program.streams_only` says; else no program is ever `only_as_process`.
    """

    name: str
    describe: Callable[[], str]
    execute: Callable[[Program, Sequence[str], Limits], Iterator[Execution]]
    streams: bool = False
