"""No program gets out, is graded as right, outlasts its budget or leaves anything behind."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from sftgen_tasks.sandbox import Case, Level, Limits, Program, run_sample
from tests import PATIENCE, ROOT, commands
from tests.tasks.sandbox.hostile import HOSTILE, Hostile

LIMITS = Limits(test_seconds=0.5, total_seconds=1.0, memory_bytes=1 << 30)


def processes_with(marker: str) -> list[str]:
    """Processes whose command line or memory-file names hold a word."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                found += [folder.name] if marker.encode() in (folder / "cmdline").read_bytes() else []
            except OSError:  # it ended
                continue
    return found


def descendants() -> set[int]:
    """All processes below this one, but for the one that forks commands: others' may come and go below it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    forking = commands.HERE._server
    parents.pop(forking.pid if forking else 0, None)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_program(hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(hostile, tmp_path, monkeypatch)


# The rest of them differs between levels in nothing that the sandbox does.
FILES = ("outside", "user's files", "/proc", "/dev/shm", "link", "interpreter", "small files", "temporary", "killing")


@pytest.mark.parametrize(
    "hostile",
    [hostile for hostile in HOSTILE if any(word in hostile.name for word in FILES)],
    ids=lambda each: each.name,
)
def test_hostile_program_at_each_level(
    hostile: Hostile, each_level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if each_level.weakest and hostile.name == "reading the user's files":
        pytest.skip("what the weakest level does not stop, and why it needs permission")
    check(hostile, tmp_path, monkeypatch)


def check(hostile: Hostile, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary, marker = secrets.token_hex(8), f"marker{secrets.token_hex(8)}"
    monkeypatch.setenv("SFTGEN_CANARY", canary)
    (folder / "secret.txt").write_text(canary)
    run_sample(Program("print(1)"), [Case("", "1")], same=str.__eq__)  # the workers are there
    before = descendants()
    outputs: list[str] = []

    def same(expected: str, actual: str) -> bool:
        outputs.append(actual)
        return expected.strip() == actual.strip()

    given = f"{marker} {folder} {os.getpid()}\n"
    outcome = run_sample(Program(hostile.source), [Case(given, "right")] * 2, LIMITS, same=same)
    assert not outcome.passed
    assert outcome.reason in hostile.reasons, outcome
    assert len(outcome.detail) < 250
    assert not any(canary in output for output in outputs)
    assert canary not in outcome.detail
    assert [path.name for path in folder.iterdir()] == ["secret.txt"]
    assert (folder / "secret.txt").read_text() == canary
    assert not Path(f"/dev/shm/{marker}").exists()
    assert processes_with(marker) == []
    assert len(descendants() - before) <= 1, "at most a worker in place of another"
    after = run_sample(Program("print(1)"), [Case("", "1")], same=lambda a, b: a == b.strip())
    assert after.passed, "the next program is not affected"


def test_there_are_forty_of_them() -> None:
    assert len(HOSTILE) >= 40
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE)


def test_expected_outputs_never_enter_the_worker(tmp_path: Path) -> None:
    """All memory of the worker and its processes is searched, while a program runs."""
    secret = secrets.token_hex(16)
    program = tmp_path / "grade.py"
    program.write_text(
        "import sys, threading\n"
        "from sftgen_tasks.sandbox import *\n"
        "from tests.tasks.sandbox.search import memory_holds\n"
        "secret = sys.argv[1]\n"
        "same = lambda a, b: False\n"
        "source = 'import time\\nprint(input())\\ntime.sleep(999)\\n'\n"
        "limits = Limits(1000, 1000)  # it ends with this process\n"
        "grade = lambda: run_sample(Program(source), [Case('known\\n', secret)] * 2, limits, same=same)\n"
        "run_sample(Program('print(1)'), [Case('', '1')], same=same)  # the worker is there\n"
        "threading.Thread(target=grade, daemon=True).start()\n"
        "print(*memory_holds(b'time.sleep(999)', secret.encode()))\n"
    )
    if os.geteuid():
        pytest.skip("only root can read the memory of the worker")
    done = subprocess.run(
        [sys.executable, str(program), secret],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split() == ["True", "False"], done
