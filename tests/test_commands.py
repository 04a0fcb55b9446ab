"""A command in a forked process does what the installed one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import PATIENCE, ROOT, commands


@pytest.mark.parametrize(
    "line",
    [("tasks-dir",), ("report", "nowhere"), ("train", "--no-such-flag"), ("judge", "run", "polite", "a", "--out", "b")],
)
def test_exit_code_and_output_are_those_of_the_installed_command(line: tuple[str, ...], tmp_path: Path) -> None:
    forked, installed = (run("sftgen", *line, cwd=tmp_path) for run in (commands.run, commands.run_installed))
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        installed.returncode, installed.stdout, installed.stderr,
    )  # fmt: skip


def test_what_a_command_changes_is_gone_after_it(tmp_path: Path) -> None:
    before = dict(os.environ), Path.cwd()
    commands.run("sftgen", "train", "--config", "nowhere.yaml", cwd=tmp_path, env={**os.environ, "ONLY_THERE": "1"})
    assert (dict(os.environ), Path.cwd()) == before


def test_a_setting_that_was_read_before_the_fork_is_refused() -> None:
    with pytest.raises(ValueError, match="HF_ENDPOINT: read before the fork"):
        commands.run("sftgen", "tasks-dir", env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1"})


def test_a_command_that_hangs_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never.jsonl")
    line = ("judge", "run", "refusal", tmp_path / "never.jsonl", "--out", tmp_path / "out.jsonl")
    with pytest.raises(subprocess.TimeoutExpired):
        commands.run("sftgen", *line, timeout=0.1)


def test_a_command_is_killed_with_all_of_its_group_once_nobody_can_wait_for_it(tmp_path: Path) -> None:
    """As after a test that was given up, or whose process was killed."""
    # One write each: print writes the number and the end of its line apart, and both processes write at once.
    code = "import os, time\nos.fork()\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(1000)\n"
    (tmp_path / "waits.py").write_text(code)
    process = commands.start(tmp_path / "waits.py", out=tmp_path / "out")
    while len(pids := (tmp_path / "out").read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    del process
    until = time.monotonic() + PATIENCE
    while any(Path("/proc", pid).exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_a_killed_worker_has_forked_does_not_hold_its_pipe() -> None:
    """pytest-xdist takes a worker for alive as long as anybody does."""
    code = "import os, signal, time\nif os.fork():\n    os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(1000)"
    line = [sys.executable, ROOT / "tests/warm_worker.py", "-u", "-c", code]
    env = {**os.environ, "PYTEST_XDIST_TESTRUNUID": commands.SESSION}
    done = subprocess.run(line, capture_output=True, timeout=PATIENCE, check=False, env=env)
    assert done.returncode == 256 - signal.SIGKILL, done.stderr.decode()


def test_test_processes_share_the_one_that_forks_and_it_ends_with_the_last() -> None:
    first, second = (commands.Warm("shared", modules) for modules in (["json"], ["no_such_module"]))
    for warm in (first, second):
        done = warm.run("sftgen", "tasks-dir")
        assert done.returncode == 0, done.stderr
    assert first._server
    assert not second._server
    for warm in (first, second):
        assert first._server.poll() is None
        assert warm._hold
        warm._hold.close()
    assert first._server.wait(PATIENCE) == 0


def test_another_takes_the_place_of_one_that_was_killed() -> None:
    warm = commands.Warm("killed", ["json"])
    for _ in range(2):
        assert warm.run("sftgen", "tasks-dir").returncode == 0
        assert warm._server
        warm._server.kill()
        warm._server.wait()


def test_what_is_asked_of_a_fork_is_done(tmp_path: Path) -> None:
    """As `subprocess.Popen` does it."""
    (tmp_path / "waits.py").write_text("import sys, time\nprint(*sys.argv[1:], flush=True)\ntime.sleep(1000)\n")
    process = commands.start(tmp_path / "waits.py", "a", "b c", out=tmp_path / "out")
    while not (tmp_path / "out").read_text().endswith("\n"):
        assert process.poll() is None
        time.sleep(0.01)
    assert (tmp_path / "out").read_text() == "a b c\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert os.getpgid(process.pid) == process.pid
    process.terminate()
    assert process.wait(PATIENCE) == process.poll() == process.returncode == -signal.SIGTERM
    (tmp_path / "says.py").write_text("import sys\nsys.exit('no')\n")
    done = commands.run(tmp_path / "says.py")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no\n")
