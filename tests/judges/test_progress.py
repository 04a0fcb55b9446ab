"""How far a stage is, in a log and in a terminal."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from sftgen_judges import progress
from sftgen_judges.progress import duration, stage, told_elsewhere


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_now_and_then_with_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "sftgen_judges.progress")
    with stage("training", 300) as more:
        for step in range(300):
            now[0] += 2.0
            more(1, f"loss {1 / (1 + step):.2f}")
    with stage("short", 2) as more:
        more()
    with stage("unknown", None) as more:
        now[0] += 40
        more(7)
    with stage("hidden", 9, hidden=True) as more:
        now[0] += 4000
        more(7)
    with told_elsewhere(), stage("elsewhere", 9) as more:
        now[0] += 4000
        more(7)
    # After 30 s, then after twice the pause each time.
    assert caplog.messages == [
        "training: 15 of 300, loss 0.07, about 10 min left",
        "training: 45 of 300, loss 0.02, about 8 min left",
        "training: 105 of 300, loss 0.01, about 6 min left",
        "training: 225 of 300, loss 0.00, about 2 min left",
        "training: 300 of 300 in 10 min",
        "unknown: 7 done",
        "unknown: 7 done in 40 s",
    ]
    assert capfd.readouterr() == ("", "")  # no bar, no carriage return


def test_a_terminal_has_one_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "DELAY", 0)
    # A bar is drawn anew a few times a second at most: by a clock that goes on, each time.
    now = iter(range(1000))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(now)))
    with stage("generating", 4) as more:
        for _ in range(4):
            more(1, "6 tokens/s")
    shown = terminal.getvalue()
    assert "generating: 0 of 4" in shown
    assert "generating, 6 tokens/s: 3 of 4" in shown
    assert shown.split("\r")[-1].strip() == ""


@pytest.mark.parametrize(("seconds", "told"), [(3, "3 s"), (89.4, "89 s"), (90, "2 min"), (9000, "2.5 h")])
def test_times_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
