"""Whose fault it was: a checkpoint fails for what it is, never for what happened to a worker."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue import evaluating, liveness, progress, worker
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.queue.evaluating import WorkerError
from sftgen_train.queue.faults import fault_of
from sftgen_train.queue.policy import Policy
from sftgen_train.queue.worker import work
from sftgen_train.results.training_file import TRAINING
from tests import PATIENCE
from tests.conftest import Command

STEPS = [0, 1, 2, 3, 4, 5]
STAY = Policy(wait=False)


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


FAULTS: list[tuple[Exception, str]] = [
    (OSError(errno.ENOSPC, "No space left on device"), "worker"),
    (OSError(errno.EROFS, "Read-only file system"), "worker"),
    (OSError(errno.ESTALE, "Stale file handle"), "worker"),
    (OSError(errno.EIO, "Input/output error"), "worker"),
    (PermissionError(errno.EACCES, "Permission denied"), "worker"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset"), "worker"),
    (TimeoutError("no answer"), "worker"),
    (MemoryError(), "worker"),
    (OutOfMemoryError("tried to allocate 2 GiB"), "worker"),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), "worker"),
    (ValueError("Free memory on device (1.0/80 GiB) on startup is less than desired"), "worker"),
    (ModuleNotFoundError("No module named 'vllm'"), "worker"),
    (caused(ValueError("cannot be loaded"), OSError(errno.EIO, "Input/output error")), "worker"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory"), "unclear"),
    (OSError("no file named model.safetensors"), "unclear"),
    (ValueError("dtype float8 is unknown"), "unclear"),
    (RuntimeError("size mismatch for lm_head.weight"), "unclear"),
]


@pytest.mark.parametrize(("error", "fault"), FAULTS, ids=[repr(error)[:60] for error, _ in FAULTS])
def test_an_error_tells_whose_fault_it_is_or_that_it_cannot(error: Exception, fault: str) -> None:
    assert fault_of(error) == fault


def unharmed(run: Path) -> bool:
    """Whether every step waits with nothing counted against it."""
    queue = Queue(run)
    waiting = queue.entries("waiting")
    return [entry.step for entry in waiting] == STEPS and not any(entry.failures for entry in waiting)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--model", "sftgen-vlm"],
            "model 'sftgen-vlm': lm_eval knows no model of this name; did you mean 'sftgen-vllm'?",
        ),
        (["--model-args", "dtype=float8"], "could evaluate none of the checkpoints that it tried (step 0:"),
    ],
)
def test_a_wrong_argument_is_the_workers_fault(command: Command, queued: Path, arguments: list[str], says: str) -> None:
    refused = command("sftgen", "worker", queued, *arguments)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
    assert unharmed(queued)
    right = command("sftgen", "worker", queued)
    assert right.returncode == 0, right.stderr
    assert RunFolder(queued).evaluated_steps() == set(STEPS)


Evaluate = Callable[[int], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Evaluate], None]:
    """Makes the evaluation of some steps fail."""
    real = evaluating.generate_checkpoint
    monkeypatch.setattr(evaluating, "PAUSES", (0.0, 0.0, 0.0))

    def install(fail: Evaluate) -> None:
        def evaluate(path: Any, **given: Any) -> Any:
            fail(given["step"])
            return real(path, **given)

        monkeypatch.setattr(evaluating, "generate_checkpoint", evaluate)

    return install


def test_a_full_gpu_is_waited_for(queued: Path, failing: Any) -> None:
    failures = iter([OutOfMemoryError("tried to allocate 2 GiB"), OSError(errno.ENOSPC, "No space left on device")])

    def fail(step: int) -> None:
        for error in failures:
            raise error

    failing(fail)
    assert work(queued, policy=STAY) == STEPS
    assert not any(entry.failures for entry in Queue(queued).entries("done"))


def test_a_machine_that_stays_unfit_ends_the_worker(queued: Path, failing: Any) -> None:
    def fail(step: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    failing(fail)
    with pytest.raises(WorkerError, match="step 0 cannot be evaluated here: OSError"):
        work(queued, policy=STAY)
    assert unharmed(queued)


def test_a_checkpoint_that_fails_where_others_do_not_fails_alone(queued: Path, failing: Any) -> None:
    def fail(step: int) -> None:
        if step in {0, 3}:
            raise RuntimeError("probability tensor contains inf or nan")

    failing(fail)
    assert work(queued, policy=STAY) == [1, 2, 4, 5]
    failed = Queue(queued).entries("failed")
    assert [(entry.step, entry.failures) for entry in failed] == [(0, 2), (3, 2)]
    assert [attempt["fault"] for attempt in failed[0].attempts] == ["unclear", "checkpoint", "checkpoint"]


def test_kills_and_interruptions_are_no_attempts(queued: Path, failing: Any) -> None:
    queue = Queue(queued)
    for _ in range(evaluating.UNPROVEN + 2):
        claimed = queue.claim()
        assert claimed
        assert claimed.step == 0 if claimed.deaths < 3 else claimed.step == 1
        path = queue.folder / "running" / claimed.file
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "owner": {**facts["owner"], "pid": 2**22 - 1}}))
        os.utime(path, (time.time() - 10,) * 2)
    interrupted = [True, True, True]

    def fail(step: int) -> None:
        if interrupted:
            interrupted.pop()
            raise KeyboardInterrupt

    failing(fail)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            work(queued, policy=STAY)
    assert sorted(work(queued, policy=STAY)) == STEPS
    assert not any(entry.failures for entry in queue.entries("done"))


def test_entries_of_earlier_versions_count_as_they_were_meant() -> None:
    tries = [{"failed": "the worker died"}, {"failed": "interrupted"}, {"failed": "ValueError: no"}, {}]
    assert Entry(1, "leases/step-1", "m", attempts=tries).failures == 1


# ------------------------------------------------------------------------------ entries that cannot be read


def damaged(run: Path, how: Callable[[str], str], step: int = 3) -> Path:
    path = run / "queue" / "waiting" / f"{step:08d}.json"
    path.write_text(how(path.read_text()), encoding="utf-8", errors="surrogatepass")
    return path


def with_fields(**fields: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **fields})


DAMAGES: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "Invalid JSON"),
    "cut": (lambda text: text[: len(text) // 2], "Invalid JSON"),
    "binary": (lambda text: "\0\1\2", "Invalid JSON"),
    "a list": (lambda text: "[]", "should be an object"),
    "no model": (lambda text: json.dumps({"step": 3, "path": "leases/step-3"}), "model_id"),
    "step as text": (with_fields(step="3"), "step: "),
    "another step": (with_fields(step=4), "it names step 4"),
    "attempts of another shape": (with_fields(attempts="two"), "attempts: "),
    "an unknown state": (with_fields(outcome="lost"), "outcome: "),
    "a path out of the run": (with_fields(path="../../elsewhere"), "expected leases/NAME"),
    "an absolute path": (with_fields(path="/elsewhere"), "expected leases/NAME"),
    "huge": (lambda text: text + " " * (2 << 20), "larger than"),
}


@pytest.mark.parametrize(("how", "says"), DAMAGES.values(), ids=DAMAGES)
def test_an_entry_that_cannot_be_read_is_named_and_kept(tmp_path: Path, how: Any, says: str) -> None:
    queue = Queue(tmp_path)
    for step in (2, 3):
        queue.add(Entry(step, f"leases/step-{step}", "m"))
    path = damaged(tmp_path, how)
    [found] = queue.unreadable()
    assert (found.path, found.step) == (path, 3)
    assert says in found.reason
    assert [entry.step for entry in queue.entries("waiting")] == [2]
    claimed = [queue.claim(), queue.claim()]
    assert [entry.step if entry else None for entry in claimed] == [2, None]
    assert path.exists()


def test_a_field_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    Queue(tmp_path).add(Entry(3, "leases/step-3", "m"))
    damaged(tmp_path, with_fields(priority=7))
    claimed = Queue(tmp_path).claim()
    assert claimed
    assert claimed.step == 3


def test_a_worker_evaluates_the_others_and_names_the_one(command: Command, queued: Path) -> None:
    path = damaged(queued, lambda text: text[:20])
    result = command("sftgen", "worker", queued)
    assert result.returncode == 2
    assert f"{path}: Invalid JSON" in result.stderr
    assert "--retry STEP" in result.stderr
    assert RunFolder(queued).evaluated_steps() == {0, 1, 2, 4, 5}
    shown = command("sftgen", "queue", queued)
    assert shown.returncode == 0, shown.stderr
    assert "unreadable" in shown.stdout
    again = command("sftgen", "queue", queued, "--retry", "3")
    assert again.returncode == 0, again.stderr
    assert "waiting again: 3" in again.stdout
    assert path.with_suffix(".unreadable").exists()
    result = command("sftgen", "worker", queued)
    assert result.returncode == 0, result.stderr
    assert RunFolder(queued).evaluated_steps() == set(STEPS)


def test_failed_steps_wait_again_when_asked(command: Command, queued: Path) -> None:
    weights = queued / "leases" / "step-2" / "model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(whole[:-1])
    assert command("sftgen", "worker", queued).returncode == 3
    rows = json.loads(command("sftgen", "queue", queued, "--json").stdout)
    assert [(row["step"], row["state"], row["failures"]) for row in rows if row["state"] != "done"] == [
        (2, "failed", 2)
    ]
    for steps, says in (
        ("4", "step 4: it is done"),
        ("9", "step 9: not in the queue"),
        ("two", "expected whole numbers"),
    ):
        refused = command("sftgen", "queue", queued, "--retry", steps)
        assert refused.returncode == 2
        assert says in refused.stderr
    weights.write_bytes(whole)
    assert "waiting again: 2" in command("sftgen", "queue", queued, "--retry", "all").stdout
    assert command("sftgen", "worker", queued).returncode == 0
    assert RunFolder(queued).evaluated_steps() == set(STEPS)
    assert not any(
        "step 2" in line for line in command("sftgen", "report", queued).stdout.splitlines() if "fail" in line
    )


def test_a_queue_is_asked_for_where_none_is(command: Command, tmp_path: Path) -> None:
    refused = command("sftgen", "queue", tmp_path)
    assert refused.returncode == 2
    assert "holds no queue" in refused.stderr


# ------------------------------------------------------------------------------ clocks and machines


@pytest.mark.parametrize("host", ["", "elsewhere"])
def test_a_clock_that_went_back_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    queue = Queue(tmp_path)
    queue.add(Entry(5, "leases/step-5", "m"))
    claimed = queue.claim()
    assert claimed
    path = queue.folder / "running" / claimed.file
    facts = json.loads(path.read_text())
    facts["owner"] |= {"pid": 2**22 - 1, "host": host or socket.gethostname()}
    path.write_text(json.dumps(facts))
    os.utime(path, (time.time() + 3600,) * 2)
    if host:  # nobody here can ask for its process: only its silence tells
        assert queue.claim() is None
        later = time.monotonic() + liveness.PATIENCE + 1
        monkeypatch.setattr(liveness.time, "monotonic", lambda: later)
    again = queue.claim()
    assert again
    assert again.step == 5


@pytest.mark.parametrize(
    ("facts", "age", "more"),
    [
        ({"state": "running", "host": "elsewhere", "pid": 1}, 5, True),
        ({"state": "running", "host": "elsewhere", "pid": 1}, 60, True),
        ({"state": "running", "host": "elsewhere", "pid": 1}, 3600, False),
        ({"state": "finished", "host": "elsewhere", "pid": 1}, 5, False),
        ({"state": "running", "host": socket.gethostname(), "pid": 2**22 - 1}, 5, False),
        ({"state": "running", "host": socket.gethostname(), "pid": "one"}, 3600, False),
        ({}, 3600, False),
    ],
)
def test_a_trainer_on_another_machine_is_known_by_the_age_of_its_file(
    tmp_path: Path, facts: dict[str, Any], age: float, more: bool
) -> None:
    queue = Queue(tmp_path)
    queue.folder.mkdir()
    path = queue.folder / TRAINING
    path.write_text(json.dumps(facts))
    os.utime(path, (time.time() - age,) * 2)
    assert progress.training_goes_on(queue) is more


def test_a_trainer_gives_signs_of_life_between_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT", 0.02)
    enqueuer = Enqueuer(tmp_path, Suite([Tier(["a"])]))
    enqueuer.open(resumed=False)
    path = enqueuer.queue.folder / TRAINING

    def touched() -> bool:
        os.utime(path, (0, 0))
        deadline = time.monotonic() + PATIENCE
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        return path.stat().st_mtime > 0

    assert touched()
    enqueuer.tell("finished")
    os.utime(path, (0, 0))
    time.sleep(0.2)
    assert path.stat().st_mtime == 0


def test_a_worker_waits_for_a_training_that_has_not_begun(trained: Path, tmp_path: Path) -> None:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.extend(work(tmp_path / "run")))
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    shutil.copytree(trained, tmp_path / "making")
    (tmp_path / "making").rename(tmp_path / "run")
    thread.join(PATIENCE)
    assert done == STEPS


def test_a_run_that_vanishes_is_no_end(queued: Path, failing: Any) -> None:
    away = queued.with_name("away")

    def fail(step: int) -> None:
        if step == 0:
            queued.rename(away)
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    failing(fail)
    with pytest.raises(WorkerError, match="is gone"):
        work(queued, policy=STAY)
    away.rename(queued)
    [running] = Queue(queued).entries("running")
    assert running.failures == 0


# ------------------------------------------------------------------------------ killed between two writes


def test_results_that_were_written_before_a_kill_are_not_made_again(
    queued: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = Queue.finish, []

    def killed(self: Queue, entry: Entry, state: Any, *rest: Any, **given: Any) -> bool:
        if gone or (state == "done" and entry.step == 2):
            gone.append(entry.step)
            raise KeyboardInterrupt
        return real(self, entry, state, *rest, **given)

    monkeypatch.setattr(Queue, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        work(queued, policy=STAY)
    monkeypatch.setattr(Queue, "finish", real)
    for step in (2, 3):  # the second was generated meanwhile
        path = queued / "queue" / "running" / f"{step:08d}.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "owner": {**facts["owner"], "pid": 2**22 - 1}}))
        os.utime(path, (time.time() - 10,) * 2)
    assert work(queued, policy=STAY) == [3, 4, 5]
    assert [entry.step for entry in Queue(queued).entries("done")] == STEPS
    run = RunFolder(queued)
    rows = [(row["step"], row["task"], row["metric"]) for row in read_rows(run.metrics)]
    assert len(rows) == len(set(rows))
    assert sorted(row["step"] for row in read_rows(run.evaluations)) == STEPS


def test_leases_of_evaluated_steps_do_not_stay(queued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = worker.release
    monkeypatch.setattr(worker, "release", lambda folder: None)  # killed before it could
    assert work(queued, policy=Policy(wait=False, keep=[4])) == STEPS
    monkeypatch.setattr(worker, "release", real)
    assert len(list((queued / "leases").iterdir())) == 6
    assert work(queued, policy=STAY) == []
    assert [path.name for path in (queued / "leases").iterdir()] == ["step-4"]
    # A resumed training saves the last checkpoint again; its step is done.
    enqueuer = Enqueuer(queued, Suite.read(Queue(queued).suite))
    enqueuer.add(5, queued / "checkpoint-5")
    assert [path.name for path in (queued / "leases").iterdir()] == ["step-4"]
