"""Every correct way to write a program is graded as right, and every failure has its reason."""

from __future__ import annotations

import importlib.util
import json

import pytest

from sftgen_tasks.livecodebench import SETTING
from sftgen_tasks.sandbox import Case, Level, Limits, Outcome, Program, run_sample, run_samples
from tests.tasks.sandbox.conftest import Run, same
from tests.tasks.sandbox.correct import CORRECT, FUNCTIONS

PAIRS = [(f"{number}\n{number * number}\n", f"{number + number * number}") for number in range(4)]
WRITES = {"temporary file"}  # needs a folder that may be written to
# What is read or printed by descriptor, or printed when the main thread is at its end; or the process ends itself.
ONLY_AS_PROCESS = {
    *("open(0)", "open(0) and open(1)", "open('/dev/stdin')", "mmap of standard input", "os.read", "os.write"),
    *("sys.stdout detached", "sys.stdout replaced", "thread that is not joined", "atexit"),
    *("os._exit(0) after flushing", "descriptors closed"),
}


def same_json(expected: str, actual: str) -> bool:
    return bool(json.loads(expected) == json.loads(actual))


@pytest.mark.parametrize("name", CORRECT)
def test_correct_program(name: str, run: Run) -> None:
    if name == "numpy" and not importlib.util.find_spec("numpy"):
        pytest.skip("numpy is not installed")
    found = run(CORRECT[name], *PAIRS, setting=SETTING)
    assert found == Outcome(True, only_as_process=name in ONLY_AS_PROCESS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_correct_function(name: str, run: Run) -> None:
    function, source = FUNCTIONS[name]
    assert run(source, *PAIRS, function=function, setting=SETTING) == Outcome(True)


def test_correct_programs_at_each_level(each_level: Level) -> None:
    names = [name for name in CORRECT if name not in WRITES]
    samples = [(Program(CORRECT[name], None, SETTING), [Case(*pair) for pair in PAIRS]) for name in names]
    outcomes = zip(names, run_samples(samples, same=same), strict=True)
    assert {name: outcome for name, outcome in outcomes if not outcome.passed} == {}


def test_correct_programs_on_a_busy_machine() -> None:
    """Four times more workers than cores, which wait for a processor most of the time."""
    source = "n = int(input())\nx = 0\nfor i in range(300000):\n    x += i * i % 7\nprint(n)\n"
    samples = [(Program(source), [Case(f"{number}\n", f"{number}")] * 3) for number in range(48)]
    limits = Limits(test_seconds=0.5, total_seconds=2.0)
    assert all(outcome.passed for outcome in run_samples(samples, limits, same=same, workers=24))


@pytest.mark.parametrize(
    ("source", "reason", "failed", "detail"),
    [
        ("print(int(input()) * 2)", "", None, ""),
        ("print(int(input()) + 2)", "wrong answer", 2, ""),
        ("def f(:\n", "compile error", 0, "SyntaxError"),
        ("print('\0')", "compile error", 0, "null bytes"),
        ("x = '\ud800'", "compile error", 0, "UnicodeEncodeError"),
        ("", "compile error", None, "empty"),
        (" \n\t\n", "compile error", None, "empty"),
        ("# nothing\n", "wrong answer", 0, ""),
        ("n = int(input())\nwhile n: pass\nprint(0)", "time limit", 1, "0.5 s"),
        ("n = int(input())\nif n: x = bytearray(1 << 40)\nprint(0)", "memory limit", 1, "MemoryError"),
        ("n = int(input())\nprint(0 if not n else 1 // 0)", "crash", 1, "line 2: ZeroDivisionError"),
        ("n = int(input())\nif n: raise BaseException('why')\nprint(0)", "crash", 1, "BaseException: why"),
        ("import os\nprint(int(input()) * 2)\nos._exit(3)", "crash", 0, "exit code 3"),
        ("import os\nos.kill(os.getpid(), 11)", "crash", 0, "Segmentation fault"),
        ("import nothing_like_this", "crash", 0, "ModuleNotFoundError"),
        ("import os\nos.fork()", "refused call", 0, "not permitted"),
        ("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", "refused call", 0, "system call"),
        ("print(re.sub('0', '0', input()))", "crash", 0, "NameError"),  # as in plain Python
        ("def f(n): return n and f(n - 1)\nprint(f(2000))", "crash", 0, "RecursionError"),
        ("open('/tmp/../etc/x', 'w')", "refused call", 0, "Read-only"),
        ("import sys\nsys.stdout.write('x' * 10**8)", "crash", 0, "File too large"),
        ("print('x' * (3 << 20))", "wrong answer", 0, "characters"),
        ("print(input())\nprint(input())", "crash", 0, "EOFError"),
        ("raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()", "crash", 0, "cannot be shown"),
        ("raise ValueError('\\033[31m\\0 ' + 'x' * 10**6)", "crash", 0, "ValueError:  [31m  xx"),
    ],
)
def test_reasons(source: str, reason: str, failed: int | None, detail: str, run: Run) -> None:
    pairs = [("0\n", "0"), ("1\n", "2"), ("3\n", "6")]
    pairs = [("0\n", "2"), ("0\n", "2"), ("3\n", "6")] if reason == "wrong answer" and failed == 2 else pairs
    outcome = run(source, *pairs, limits=Limits(test_seconds=0.5))
    assert (outcome.passed, outcome.reason, outcome.failed_case) == (not reason, reason, failed), outcome
    assert detail in outcome.detail
    assert len(outcome.detail) <= 203
    assert outcome.detail.isprintable()


@pytest.mark.parametrize(
    ("source", "given", "expected", "reason", "detail"),
    [
        ("def f(x): return x, [x], {'a': None}", "3", '[3, [3], {"a": null}]', "", ""),
        ("def f(x): return x", '"a\u2028b\\n"', '"a\u2028b\\n"', "", ""),
        ("def f(): return 1", "", "1", "", ""),
        ("def f(x): return {x}", "3", "[3]", "wrong answer", "a set was returned"),
        ("def f(x): return lambda: x", "3", "3", "wrong answer", "a function was returned"),
        ("def f(x): x = []; x.append(x); return x", "3", "3", "wrong answer", "Circular"),
        ("def g(x): return x", "3", "3", "crash", "no function f"),
        ("class Solution:\n    def g(self): pass\ndef f(x): return x", "3", "3", "", ""),
        ("def f(x): exit()", "3", "3", "crash", "before the function returned"),
        ("import os\ndef f(x): os._exit(0)", "3", "3", "crash", "before the function returned"),
        ("def f(x, y): return x", "3", "3", "crash", "TypeError"),
        ("def f(x): return 10 ** 5000", "3", "3", "wrong answer", "4300 digits"),
        ("def f(x): return eval('[' * 90 + ']' * 90)", "3", "3", "wrong answer", ""),
        ("def f(x): return x", "{3", "3", "sandbox error", "not JSON"),
    ],
)
def test_functions(source: str, given: str, expected: str, reason: str, detail: str) -> None:
    outcome = run_sample(Program(source, "f"), [Case(given, expected)], same=same_json)
    assert (outcome.passed, outcome.reason) == (not reason, reason), outcome
    assert detail in outcome.detail


def test_five_megabytes_of_code(run: Run) -> None:
    number = "x = 1\n" * 800_000
    assert run(f"{number}print(input())", ("5", "5"), limits=Limits(test_seconds=20)) == Outcome(True)


def test_input_and_output_of_many_megabytes(run: Run) -> None:
    text = "0123456789\n" * (7 << 20)
    assert run("import sys\nsys.stdout.write(sys.stdin.read()[:1 << 25])", (text, text[: 1 << 25])) == Outcome(True)


def test_a_failure_counts_only_in_a_fresh_process(run: Run) -> None:
    """Tests share a process for speed; what an earlier one left behind must not fail a later one."""
    source = "import math\nprint(math.floor(float(input())))\nmath.floor = lambda x: 'patched'\n"
    assert run(source, ("1.5", "1"), ("2.5", "2"), ("3.5", "3")) == Outcome(True)


def test_stops_at_the_first_failing_test(run: Run) -> None:
    source = "n = int(input())\nwhile n > 1: pass\nprint(n)\n"
    outcome = run(source, ("0", "0"), ("1", "wrong"), ("2", "2"), limits=Limits(test_seconds=60))
    assert outcome == Outcome(False, "wrong answer", 1)


def test_total_budget(run: Run) -> None:
    source = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(1)\n"
    outcome = run(source, *[("", "1")] * 20, limits=Limits(test_seconds=2, total_seconds=1))
    assert (outcome.reason, outcome.passed) == ("time limit", False)
    assert "all tests together" in outcome.detail


def test_order_is_kept_and_the_same_each_time() -> None:
    source = "import random\nprint(random.random(), len({'a', 'b'}), *{str(i) for i in range(9)})\n"
    samples = [(Program(f"print({number})"), [Case("", f"{number}")]) for number in range(100)]
    assert all(outcome.passed for outcome in run_samples(iter(samples), same=same))
    seen: set[str] = set()
    list(run_samples([(Program(source), [Case("", "")])] * 8, same=lambda _, actual: bool(seen.add(actual))))
    assert len(seen) == 1
