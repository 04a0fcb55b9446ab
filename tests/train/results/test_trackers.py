"""Late scores in the real trackers, offline: each at its own step."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.journal import append_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.results.trackers import TrackerError, Trackers, parse_trackers
from tests.conftest import Command
from tests.train.report.test_report import add_step

TRACKERS = ["wandb", "tensorboard", "trackio"]


def add(run: RunFolder, step: int, score: float) -> None:
    row = {"step": step, "task": "sftgen_parity", "status": "ok", "metric": "score", "mean": score}
    append_rows(run.metrics, [row, {**row, "metric": "coverage", "mean": None}])


def made(folder: Path) -> RunFolder:
    """A run with three scores."""
    run = RunFolder(folder)
    run.update_manifest(model="tiny", tasks=["sftgen_parity"])
    for step, score in ((0, 0.9), (20, 0.1), (10, 0.5)):  # newest first, then what was left behind
        add(run, step, score)
    return run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    for name in list(os.environ):
        if name.startswith(("WANDB_", "TRACKIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for name in list(sys.modules):  # it reads that when it is imported, and a trainer of another test may have done so
        if name.partition(".")[0] == "trackio":
            monkeypatch.delitem(sys.modules, name)
    return made(tmp_path / "run")


def logged(run: RunFolder, tracker: str) -> list[tuple[int, float]]:
    """What the tracker's own files say."""
    return {"wandb": _wandb, "tensorboard": _tensorboard, "trackio": _trackio}[tracker](run.path)


def _wandb(folder: Path) -> list[tuple[int, float]]:
    import wandb
    from wandb.proto import wandb_internal_pb2 as messages

    wandb.teardown()  # its own process may write the end of the file after `finish` has returned
    found, axes = [], []
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        for data in _records(path.read_bytes()):
            record = messages.Record.FromString(data)
            items = {item.nested_key[0] if item.nested_key else item.key: item for item in record.history.item}
            values = {name: json.loads(item.value_json) for name, item in items.items()}
            if "sftgen/parity/score" in values:
                found.append((values["sftgen/step"], values["sftgen/parity/score"]))
            if record.metric.glob_name:
                axes.append((record.metric.glob_name, record.metric.step_metric))
    assert ("sftgen/*", "sftgen/step") in axes
    return found


def _records(content: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, which wandb writes after a header of 7 bytes."""
    place, record = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield record
            record = b""


def _tensorboard(folder: Path) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 6)) for event in events.Scalars("sftgen/parity/score")]


def _trackio(folder: Path) -> list[tuple[int, float]]:
    with sqlite3.connect(folder.parent / "trackio" / "sftgen.db") as database:
        rows = database.execute("select step, metrics from metrics order by id").fetchall()
    return [(step, json.loads(metrics)["sftgen/parity/score"]) for step, metrics in rows]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_scores_come_late_and_land_at_their_step(run: RunFolder, tracker: str) -> None:
    """Three scores, then one of an earlier step, then, after a restart, one that was graded again."""
    trackers = Trackers(run, [tracker])
    assert trackers.log_new() == 3
    add(run, 5, 0.7)
    assert trackers.log_new() == 1
    assert trackers.log_new() == 0
    trackers.close()
    again = Trackers(run, [tracker])  # a worker that is started again
    assert again.log_new() == 0
    add(run, 10, 0.6)  # graded again
    assert again.log_new() == 1
    again.close()
    assert sorted(logged(run, tracker)) == [(0, 0.9), (5, 0.7), (10, 0.5), (10, 0.6), (20, 0.1)]


def test_a_tracker_that_is_away_costs_nothing_and_is_told_later(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (run.path / "tensorboard").write_text("not a folder")
    assert Trackers(run, ["tensorboard"]).log_new() == 0
    assert "tracker tensorboard: step 0" in caplog.text
    (run.path / "tensorboard").unlink()
    trackers = Trackers(run, ["tensorboard"])
    assert trackers.log_new() == 3
    trackers.close()


def test_a_finished_run_is_told_by_the_report(command: Command, run: RunFolder, tmp_path: Path) -> None:
    run.metrics.unlink()
    for step, right in ((0, 36), (10, 4)):
        add_step(run, step, right)
    result = command("sftgen", "report", run.path, "--log-to", "tensorboard", env=dict(os.environ))
    assert result.returncode == 0, result.stderr
    assert logged(run, "tensorboard") == [(0, 0.9), (10, 0.1)]
    wrong = command("sftgen", "worker", tmp_path, "--log-to", "wandb,paper")
    assert wrong.returncode == 2
    assert "tracker 'paper': expected one of wandb, tensorboard, trackio" in wrong.stderr


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else real(name))
    with pytest.raises(TrackerError, match="pip install wandb"):
        parse_trackers("wandb")
