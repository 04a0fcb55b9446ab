"""How far a long job is, told while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftgen_train.study import jobs
from sftgen_train.study.jobs import Devices, Job, _State


class Running:
    def poll(self) -> int | None:
        return None

    def kill(self) -> None:
        raise AssertionError("nobody ends it")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (b"step 0: evaluating\ngenerating: 100 of 600\n\n", ["a, seed 0: generating: 100 of 600"]),
        (b"10 %\r20 %\r", ["a, seed 0: 20 %"]),
        (b"x" * 5000 + b"\n\x1b[2Jstep 8\xff", ["a, seed 0: \ufffd[2Jstep 8\ufffd"]),
        (b"", []),
        (None, []),
    ],
)
def test_the_last_line_of_a_log_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bytes | None, told: list[str]
) -> None:
    said: list[str] = []
    job = Job("a, seed 0", "module:function", {}, tmp_path / "a.log")
    if log is not None:
        job.log.write_bytes(log)
    state = _State(Devices(1), said.append, {job.label})
    state.running[0] = job, Running(), 0.0
    monkeypatch.setattr(jobs, "_SILENCE", float("inf"))
    state.tell()
    assert said == []  # it has just begun
    monkeypatch.setattr(jobs, "_SILENCE", 0.0)
    state.tell()
    state.tell()
    assert said == told
