"""A command in a forked process does what the installed one does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import commands


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
