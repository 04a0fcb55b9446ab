"""Grading samples: the sandbox runs the programs, and this module compares their outputs."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, cast

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Sandbox
from sftgen_judges.progress import stage
from sftgen_tasks.sandbox.cases import Case, Outcome, Reason, Same
from sftgen_tasks.sandbox.levels import LEVELS, require_sandbox, sandbox
from sftgen_tasks.sandbox.local import SANDBOX

_MOST_WORKERS = 64
# While the oldest sample still runs, at most so many others are started, with at most so much text in their tests.
_AHEAD = 2048
_AHEAD_CHARACTERS = 256 << 20
_DETAIL = 200
# What a program names if more than its streams may matter: descriptors, its end, or names made at run time.
_BEYOND_STREAMS = re.compile(
    r"\b(os|io|raw|dev|proc|posix|signal|fd|_thread)\b|open|fileno|interrupt|multiprocessing|asyncio|_exit|detach|"
    r"mmap|memmap|fromfile|ctypes|exec|eval|getattr|globals|builtins|import_module|__import__|finalize|__del__"
)


@dataclass(frozen=True)
class Sample:
    """One program with its tests.

    Attributes:
        program: What to run.
        cases: Its tests.
        same: Compares expected and actual output, in a thread of this process.
        limits: For this sample.
    """

    program: Program
    cases: Sequence[Case]
    same: Same
    limits: Limits = Limits()


class _BrokenTestError(Exception):
    """A test is broken: its output cannot be compared."""


def run_sample(program: Program, cases: Sequence[Case], limits: Limits = Limits(), *, same: Same) -> Outcome:
    """Run one program on its tests, until one fails.

    If a test fails after others in the same process, it counts as failed only if it also fails in a process of its own.
    If the sandbox fails, it is tried once more.

    Args:
        program: What to run.
        cases: Its tests.
        limits: For this sample.
        same: Compares expected and actual output, in this process.

    Raises:
        SandboxError: Programs may not be run here.
    """
    return _graded(program, cases, limits, same, _in_force())


def run_samples(
    samples: Iterable[tuple[Program, Sequence[Case]]],
    limits: Limits = Limits(),
    *,
    same: Same,
    workers: int | None = None,
    label: str = "",
) -> Iterator[Outcome]:
    """Run many programs in parallel, all within the same limits; see `run_each`.

    Raises:
        SandboxError: Programs may not be run here.
    """
    total = len(samples) if isinstance(samples, Sized) else None
    each = (Sample(program, cases, same, limits) for program, cases in samples)
    return run_each(each, workers=workers, label=label, total=total)


def run_each(
    samples: Iterable[Sample], *, workers: int | None = None, label: str = "", total: int | None = None
) -> Iterator[Outcome]:
    """Run many programs in parallel.

    Args:
        samples: Programs with their tests, each within limits of its own.
        workers: How many run at once; by default one per core.
        label: Title of the progress bar; without a title there is no bar.
        total: How many samples there are, for the bar.

    Yields:
        One outcome per sample, in order.

    Raises:
        SandboxError: Programs may not be run here.
    """
    used = _in_force()
    count = workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    waiting: deque[tuple[Future[Outcome], int]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(count, thread_name_prefix="sandbox")
    with stage(f"running {label}", total, hidden=not label) as more:
        try:
            for one in samples:
                outcome = pool.submit(_graded, one.program, one.cases, one.limits, one.same, used)
                outcome.add_done_callback(lambda _: more())
                waiting.append((outcome, sum(len(case.given) + len(case.expected) for case in one.cases)))
                ahead += waiting[-1][1]
                while waiting and (waiting[0][0].done() or len(waiting) > _AHEAD or ahead > _AHEAD_CHARACTERS):
                    outcome, characters = waiting.popleft()
                    ahead -= characters
                    yield outcome.result()
            for outcome, _ in waiting:
                yield outcome.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_force() -> Sandbox:
    name = require_sandbox().name
    return SANDBOX if name in LEVELS else sandbox(name)


def _graded(program: Program, cases: Sequence[Case], limits: Limits, same: Same, used: Sandbox) -> Outcome:
    if not cases:
        return Outcome(False, "sandbox error", None, "there are no tests")
    if not program.source.strip():
        return Outcome(False, "compile error", None, "the program is empty")
    for attempt in range(2):
        try:
            return _run(program, cases, limits, same, used)
        except _BrokenTestError as error:
            return Outcome(False, "sandbox error", None, str(error))
        except Exception as error:  # the sandbox's, which may be a plugin's
            failure = f"{type(error).__name__}: {error}"
        if attempt:
            break
    return Outcome(False, "sandbox error", None, _short(failure))


def _run(program: Program, cases: Sequence[Case], limits: Limits, same: Same, used: Sandbox) -> Outcome:
    outcome, spent, alone = _in_turn(program, cases, limits, same, used)
    if outcome.passed and not alone and spent > limits.test_seconds:
        # One test may have used the time of others: each must do with its own.
        left = limits.total_seconds
        for number, case in enumerate(cases):
            reason, detail, spent = _alone(program, case, replace(limits, total_seconds=left), same, used)
            left -= spent
            if reason or left <= 0:
                return Outcome(False, reason or "time limit", number, _short(detail))
    return outcome


def _in_turn(
    program: Program, cases: Sequence[Case], limits: Limits, same: Same, used: Sandbox
) -> tuple[Outcome, float, bool]:
    """Run the tests one after the other, in few processes: through streams only, and from a failure on as a process.

    Returns:
        The outcome, the seconds used, and whether each test had a process of its own.
    """
    start, left, alone, late = 0, limits.total_seconds, True, False
    both_ways = used.streams and program.function is None
    streams = both_ways
    right_alone: dict[int, float] = {}  # tests that passed as a process of their own, and the seconds they took
    while start < len(cases):
        inputs = [case.given for case in cases[start:]]
        allowed = replace(limits, total_seconds=left)
        number, before = start, 0.0
        run = replace(program, streams_only=streams)
        with closing(cast(Any, used.execute(run, inputs, allowed))) as executions:
            for number, execution in enumerate(executions, start):
                reason, detail = _judge(program, cases[number], execution, same)
                if reason:
                    break
                before = execution.spent
                alone &= execution.fresh
                late |= execution.late
            else:
                if number != len(cases) - 1:
                    raise RuntimeError("the sandbox gave too few results")
                left -= before
                break
        as_process = not streams or not _BEYOND_STREAMS.search(program.source)
        final = (execution.fresh and as_process) or reason in ("time limit", "compile error")
        # A test that is run again is charged once.
        left -= execution.spent if final else before
        if left > 0 and streams and not execution.fresh:  # most fail as a process too, which is how it is decided
            reason, detail, spent = _alone(program, cases[number], replace(limits, total_seconds=left), same, used)
            final, right_alone[number] = bool(reason), spent
        if final or left <= 0:
            return Outcome(False, reason, number, _short(detail)), limits.total_seconds - left, alone
        start, streams = number, streams and not execution.fresh
        if not streams and number in right_alone:
            start, left = number + 1, left - right_alone[number]
    return Outcome(True, only_as_process=both_ways and (late or not streams)), limits.total_seconds - left, alone


def _alone(program: Program, case: Case, limits: Limits, same: Same, used: Sandbox) -> tuple[Reason, str, float]:
    """Run one test as a process; why it failed, as `_judge` says it, and the seconds it took."""
    with closing(cast(Any, used.execute(program, [case.given], limits))) as executions:
        execution = next(executions)
        return *_judge(program, case, execution, same), execution.spent


def _judge(program: Program, case: Case, execution: Execution, same: Same) -> tuple[Reason, str]:
    """Why a test failed: the reason, and a detail for a person; both are empty if it passed."""
    if execution.reason:
        if program.function and execution.reason == "crash":
            _check_arguments(case)
        return cast(Reason, execution.reason), execution.detail
    expected, actual = case.expected, execution.output
    if len(actual) > 4 * len(expected) + (1 << 20):
        return "wrong answer", f"{len(actual)} characters of output where {len(expected)} were expected"
    try:
        if same(expected, actual):
            return "", ""
    except Exception as error:  # the output is the cause, unless the expected output alone fails too
        try:
            same(expected, expected)
        except Exception:
            raise _BrokenTestError(f"a test cannot be compared: {_short(str(error))}") from error
    return "wrong answer", ""


def _check_arguments(case: Case) -> None:
    try:
        for line in case.given.split("\n"):
            if line.strip():
                json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BrokenTestError("a test's arguments are not JSON, one a line") from error


def _short(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:_DETAIL])
    return f"{printable}..." if len(text) > _DETAIL else printable
