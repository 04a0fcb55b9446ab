"""The sandbox itself: which level is on, what happens when it fails, plugins, decoding, and what is left behind."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks.sandbox import (
    Case,
    Level,
    Limits,
    Outcome,
    Program,
    SandboxError,
    decode,
    level,
    require_sandbox,
    run_sample,
    run_samples,
    workers,
)
from sftgen_tasks.sandbox.levels import ALLOW, CHOOSE, LEVELS
from tests import PATIENCE, ROOT
from tests.judges.plugins.conftest import Door
from tests.tasks.sandbox import table
from tests.tasks.sandbox import test_another_user as another_user
from tests.tasks.sandbox.conftest import Run, same
from tests.tasks.sandbox.hostile import HOSTILE
from tests.tasks.sandbox.search import children, depth

RIGHT = [("", "1")]


def python(source: str, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(before and (shutil.which(before[0]) or "", *before[1:])), sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_the_level_says_what_it_is_and_why_no_stronger_one(each_level: Level) -> None:
    assert each_level.description
    assert require_sandbox() == each_level


@pytest.mark.parametrize("bubblewrap", [True, False])
def test_a_machine_without_user_namespaces(bubblewrap: bool, tmp_path: Path) -> None:
    """The kernel is told to allow none, in a user namespace where that can be told."""
    forbid = [
        "unshare",
        "-Ur",
        shutil.which("sh") or "",
        "-c",
        'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
        "sh",
    ]
    if subprocess.run([*forbid, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces cannot be forbidden on this machine")
    done = python(
        """
        from sftgen_tasks.sandbox import *
        found = level()
        print(found.name, found.missing, sep="\\n")
        print(run_sample(Program("print(1)"), [Case("", "1")], same=lambda a, b: a == b.strip()).passed)
        """,
        *forbid,
        PATH=os.environ["PATH"] if bubblewrap else str(tmp_path),
    )
    name, missing, passed = done.stdout.splitlines()
    assert name in LEVELS[1 if bubblewrap else 2 : -1]
    assert missing.startswith("namespaces: ")
    assert "unshare" in missing
    assert passed == "True"
    assert bubblewrap or "bwrap is not installed" in missing


def test_the_weakest_level_needs_permission(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv(CHOOSE, LEVELS[-1])
    for action in (require_sandbox, lambda: run("print(1)", *RIGHT), lambda: decode("pickled_json", b"")):
        with pytest.raises(SandboxError, match=f"--allow-unsandboxed-code or {ALLOW}=1"):
            action()
    monkeypatch.setenv(ALLOW, "1")
    assert require_sandbox().weakest
    assert run("print(1)", *RIGHT).passed


def test_a_name_that_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOOSE, "docker")
    with pytest.raises(SandboxError, match=r"SFTGEN_SANDBOX=docker: expected one of namespaces, .*local"):
        level()


def test_elsewhere_than_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="on Linux only, this is darwin"):
        level()


PLUGIN = """
    from sftgen_judges import Execution, Sandbox, hookimpl

    asked = []

    def execute(program, inputs, limits):
        asked.append((list(inputs), limits.total_seconds))
        for given in inputs:
            if program.source == "always" or (program.source == "once" and len(asked) == 1):
                raise ConnectionError("the machine is gone")
            yield Execution(output=given.upper())

    @hookimpl
    def register_sandboxes(register):
        register("remote", Sandbox("remote", lambda: "another machine", execute))
"""


@pytest.mark.parametrize(
    ("source", "tests", "printed"),
    [
        ("never", "aA bB", "True||1"),
        ("never", "aA b? cC", "False|wrong answer|1"),
        ("once", "aA bB", "True||2"),
        ("always", "aA bB", "False|sandbox error|2"),
    ],
)
def test_a_sandbox_of_a_plugin(source: str, tests: str, printed: str, tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.add("remote_sandbox", PLUGIN)
    done = door.python(
        """
        import sys
        from sftgen_tasks.sandbox import *
        print(level())
        cases = [Case(*pair) for pair in sys.argv[2].split()]
        outcome = run_sample(Program(sys.argv[1]), cases, same=str.__eq__)
        import remote_sandbox
        assert remote_sandbox.asked[0] == ([case.given for case in cases], Limits().total_seconds)
        print(outcome.passed, outcome.reason, len(remote_sandbox.asked), sep="|")
        """,
        source,
        tests,
        SFTGEN_SANDBOX="remote",
    )
    shown, result = done.stdout.splitlines()
    assert "another machine" in shown
    assert result == printed


@pytest.mark.parametrize("broken", [ValueError("no decimal"), RecursionError()])
def test_a_test_that_cannot_be_compared_is_no_failure_of_the_program(broken: Exception) -> None:
    def picky(expected: str, actual: str) -> bool:
        if "?" in expected or "?" in actual:
            raise broken
        return expected == actual.strip()

    broken_test = run_sample(Program("print(1)"), [Case("", "1"), Case("", "?")], same=picky)
    assert (broken_test.reason, broken_test.passed) == ("sandbox error", False)
    assert run_sample(Program("print('?')"), [Case("", "1")], same=picky) == Outcome(False, "wrong answer", 0)


def test_no_tests_are_no_failure_of_the_program(run: Run) -> None:
    assert run("print(1)") == Outcome(False, "sandbox error", None, "there are no tests")


def processes_of_workers() -> list[int]:
    return [worker.process.pid for worker in workers._idle.workers]


def test_a_killed_worker_is_replaced(run: Run) -> None:
    assert run("print(1)", *RIGHT).passed
    for pid in processes_of_workers():
        os.kill(pid, signal.SIGKILL)
    assert run("print(1)", *RIGHT).passed


@pytest.mark.parametrize(("deaths", "expected"), [(1, Outcome(True)), (2, "sandbox error"), (9, "sandbox error")])
def test_a_worker_killed_while_it_runs_a_program(deaths: int, expected: Outcome | str, run: Run) -> None:
    """Graded again once, then it is the sandbox that failed."""
    assert run("print(1)", *RIGHT).passed
    # Not all children of this process are workers: one may serve forks to other tests, and is as deep at times.
    spared = set(children(os.getpid())) - set(processes_of_workers())
    idle, stop = 1 + max(map(depth, processes_of_workers())), threading.Event()

    def kill() -> None:
        killed: set[int] = set()
        while len(killed) < deaths and not stop.wait(0.02):
            for pid in set(children(os.getpid())) - killed - spared:
                if depth(pid) == idle:  # one deeper than without a program
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        outcome = run("import time\ntime.sleep(4)\nprint(1)", *RIGHT)
    finally:
        stop.set()
        killer.join()
    assert outcome in (expected, Outcome(False, expected, None, "WorkerError: the worker died"))


def test_workers_that_give_no_sign_of_life(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    together, start_one = threading.Barrier(3), workers.Worker.__init__

    def once_all_run(expected: str, actual: str) -> bool:
        together.wait(PATIENCE)
        return same(expected, actual)

    def patiently(*given: Any) -> None:
        monkeypatch.setattr(workers, "PATIENCE", float(PATIENCE))
        start_one(*given)

    one = (Program("print(1)"), [Case(*RIGHT[0])])
    assert all(outcome.passed for outcome in run_samples([one] * 3, same=once_all_run, workers=3))
    stopped = processes_of_workers()
    assert len(stopped) >= 3
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    monkeypatch.setattr(workers.Worker, "__init__", patiently)  # a new one may take its time, on a busy machine
    for pid in stopped:
        for each in (pid, *children(pid)):
            os.kill(each, signal.SIGSTOP)
    assert run("print(1)", *RIGHT).passed
    assert not set(stopped) & set(processes_of_workers())


@pytest.mark.parametrize("how", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit(1)"])
def test_nothing_outlives_sftgen(how: str) -> None:
    """However it ends, and while a program runs."""
    done = python(
        f"""
        import os, sys, threading, time
        from pathlib import Path
        from sftgen_tasks.sandbox import *
        from sftgen_tasks.sandbox import workers
        from tests.tasks.sandbox.search import depth
        run = lambda source: run_sample(Program(source), [Case("", "1")], same=lambda a, b: True)
        run("print(1)")
        print(*[worker.process.pid for worker in workers._idle.workers], flush=True)
        idle = depth(os.getpid())
        threading.Thread(target=run, args=("while True: pass",), daemon=True).start()
        while depth(os.getpid()) == idle:
            time.sleep(0.01)
        {how}
        """
    )
    pids = [int(word) for word in done.stdout.split()]
    assert pids, done.stderr
    assert gone(pids)


def gone(pids: Sequence[int]) -> bool:
    """Whether they end, given time."""
    end = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    return time.monotonic() < end


def test_stopping_early_stops_the_programs() -> None:
    samples = [(Program("print(1)"), [Case("", "1")])] + [(Program("while True: pass"), [Case("", "1")])] * 50
    outcomes = run_samples(samples, Limits(test_seconds=0.5), same=same, workers=2)
    assert next(outcomes).passed
    outcomes.close()  # type: ignore[attr-defined]


def test_in_a_forked_process(run: Run) -> None:
    """A forked process does not use its parent's workers."""
    assert run("print(1)", *RIGHT).passed
    pid = os.fork()
    if not pid:
        try:
            code = 0 if run("print(1)", *RIGHT).passed else 1
            workers._idle.close()
        except BaseException:
            code = 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("print(1)", *RIGHT).passed


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/sftgen-evil",)


class Loop:
    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("[0 for x in iter(int, 1)]",)


def test_decode() -> None:
    text = '[{"input": "1\\n", "output": "\u00e9 \\ud800"}]'
    assert decode("pickled_json", zlib.compress(pickle.dumps(text))).decode() == text
    big = "x" * (100 << 20)
    assert decode("pickled_json", zlib.compress(pickle.dumps(big), 1), Limits(test_seconds=60)) == big.encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no pickle", "UnpicklingError"),
        (pickle.dumps(Evil()), "names code: posix.system"),
        (pickle.dumps(Loop()), "names code: builtins.eval"),
        (b"(" * (1 << 20), "UnpicklingError|EOFError|more than|memory"),
        (pickle.dumps({1, 2}), "not JSON serializable"),
    ],
)
def test_decode_what_is_not_to_be_trusted(data: bytes, why: str) -> None:
    with pytest.raises(SandboxError, match=why):
        decode("pickled_json", zlib.compress(data), Limits(test_seconds=0.5))
    assert not Path("/tmp/sftgen-evil").exists()


@pytest.mark.parametrize(("size", "why"), [(1 << 29, "more than"), (1 << 28, "UnpicklingError|more than")])
def test_decode_what_grows(size: int, why: str) -> None:
    with pytest.raises(SandboxError, match=why):
        decode("pickled_json", zlib.compress(bytes(size)), Limits(test_seconds=0.5))


def test_decode_nothing() -> None:
    with pytest.raises(SandboxError, match="incomplete"):
        decode("pickled_json", b"", Limits(test_seconds=0.5))


def test_documentation_has_every_hostile_program() -> None:
    """`python -m tests.tasks.sandbox.table` writes the table."""
    rows = re.findall(r"^\| \d+ \| (.+?) \| (.+?) \| .+ \|$", table.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(hostile.name, hostile.stops) for hostile in HOSTILE]


def test_documentation_names_a_test_for_each_fault() -> None:
    text = table.PAGE.read_text(encoding="utf-8")
    part = text.partition("<!-- faults: begin -->")[2].partition("<!-- faults: end -->")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| `(.+)::(\w+)`( \*)? \| .+ \|$", part, re.MULTILINE)
    assert len({fault for fault, *_ in rows}) == 26
    again = another_user.WHICH.split(" or ")
    for fault, file, name, star in rows:
        paths = list((ROOT / "tests").glob(f"**/{file}"))
        assert any(f"def {name}(" in path.read_text(encoding="utf-8") for path in paths), fault
        assert not star or any(word in name for word in again), fault
