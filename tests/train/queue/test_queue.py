"""Trainer, queue and worker: nothing is lost, nothing is measured twice, whoever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from sftgen_judges.errors import SftgenError
from sftgen_judges.records import hash_cache, weights
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints import leases
from sftgen_train.checkpoints.leases import CheckpointError, check_complete, lease, mark_stable, verify_stable
from sftgen_train.curation.sets import read_manifest
from sftgen_train.evaluation import evaluator
from sftgen_train.evaluation.schedule import ScheduleError, Suite, Tier
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.queue.liveness import is_dead, start_time
from sftgen_train.queue.worker import Policy, work
from tests import PATIENCE
from tests.commands import start
from tests.conftest import Command
from tests.logs import require_quiet
from tests.train.queue.conftest import write

# ------------------------------------------------------------------------------ suites


def test_a_task_in_two_tiers_is_evaluated_once_on_most_documents() -> None:
    suite = Suite([Tier(["a", "b"], every=5, limit=10), Tier(["b", "c"], at_steps=[10], limit=None)])
    assert [(list(t.tasks), t.limit) for t in suite.at(5)] == [(["a", "b"], 10)]
    assert [(list(t.tasks), t.limit) for t in suite.at(10)] == [(["b", "c"], None), (["a"], 10)]
    assert [(list(t.tasks), t.limit) for t in suite.at(7)] == []
    assert [(list(t.tasks), t.limit) for t in suite.at(7, last=True)] == [(["b", "c"], None), (["a"], 10)]
    assert [step for step in range(12) if suite.due(step)] == [0, 5, 10]


def test_a_suite_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    suite = Suite([Tier(["a"], at_steps=[1, 2], limit=3)], {"docs_seed": 1}, {"max_gen_toks": 8}, False, 4, 7)
    suite.write(tmp_path / "suite.json")
    assert Suite.read(tmp_path / "suite.json") == suite
    with pytest.raises(ScheduleError, match="is it a run directory"):
        Suite.read(tmp_path / "none.json")
    (tmp_path / "suite.json").write_text('{"tiers": [{"odd": 1}]}')
    with pytest.raises(ScheduleError, match="not an evaluation suite"):
        Suite.read(tmp_path / "suite.json")


def test_a_queue_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    written = {"tasks": ["a"], "at_steps": [1, 2], "every": None, "limit": 3}
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "plan.json").write_text(json.dumps({"tiers": [written], "seed": 7}))
    suite = Suite([Tier(["a"], at_steps=[1, 2], limit=3)], seed=7)
    assert Suite.read(Queue(tmp_path).suite) == suite
    Enqueuer(tmp_path, suite).open(resumed=True)
    with pytest.raises(RecordError, match="another evaluation suite"):
        Enqueuer(tmp_path, Suite([Tier(["a"])], seed=7)).open(resumed=True)


SCHEDULES = [
    (Tier(["a"]), "log-spaced", [0, 5, 10, 20, 40]),
    (Tier(["a"], at_steps=[3, 50]), "at_steps:3,50", [0, 3, 50]),
    (Tier(["a"], at_steps=[]), "at_steps:", [0]),
    (Tier(["a"], every=25), "every:25", [0, 25, 50]),
    (Tier(["a"], schedule="log-spaced"), "log-spaced", [0, 5, 10, 20, 40]),
    (Tier(["a"], schedule="at_steps: 3, 50"), "at_steps: 3, 50", [0, 3, 50]),
    (Tier(["a"], schedule="every:25"), "every:25", [0, 25, 50]),
]


@pytest.mark.parametrize(("tier", "when", "steps"), SCHEDULES)
def test_a_schedule_is_a_name_and_arguments(tier: Tier, when: str, steps: list[int], tmp_path: Path) -> None:
    assert tier.when == when
    assert [step for step in range(60) if tier.due(step)] == steps
    Suite([tier]).write(tmp_path / "suite.json")
    assert Suite.read(tmp_path / "suite.json").tiers == [tier]


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("hourly", "schedule 'hourly': no plugin registered it. Known: at_steps, every, log-spaced"),
        ("every", "schedule 'every' cannot be used: TypeError"),
        ("every:2,3", "schedule 'every:2,3' cannot be used: TypeError"),
        ("every:2.5", r"every=2\.5: expected a whole number"),
        ("every:soon", "every='soon': expected a whole number"),
        ("at_steps:3,ten", "'ten' is not a step"),
        ("log-spaced:2", "schedule 'log-spaced:2' cannot be used: TypeError"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_named(schedule: str, says: str) -> None:
    with pytest.raises(SftgenError, match=says):
        Tier(["a"], schedule=schedule)


# ------------------------------------------------------------------------------ training


def test_a_run_names_the_content_hash_of_the_set_that_it_is_trained_on(trained: Path) -> None:
    facts = RunFolder(trained).read_manifest()["training_data"]
    made = read_manifest(trained.parent / "data")
    assert facts["content_hash"] == made["content_hash"]
    assert (facts["set"], facts["first_rows"]) == ({"made of": "numbers"}, None)
    [(name, digest)] = facts["files"].items()
    assert digest == blake3((trained.parent / "data" / name).read_bytes()).hexdigest()[:32]


# ------------------------------------------------------------------------------ whole checkpoints, leases


@pytest.fixture
def checkpoint(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-10"
    shutil.copytree(tiny_model, folder)
    (folder / "optimizer.pt").write_bytes(b"0" * 1000)
    return folder


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES: dict[str, tuple[Any, str]] = {
    "half the weights": (truncate, "half written"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "half written"),
    "no header": (lambda folder: (folder / "model.safetensors").write_bytes(b"123"), "half written"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "no tokenizer": (
        lambda folder: [path.unlink() for path in folder.glob("*token*")],
        "no tokenizer",
    ),
    "deleted": (shutil.rmtree, "no such folder"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_named(checkpoint: Path, damage: Any, says: str) -> None:
    check_complete(checkpoint)
    damage(checkpoint)
    with pytest.raises(CheckpointError, match=says):
        check_complete(checkpoint)


def test_a_lease_outlives_its_checkpoint_and_leaves_the_optimizer(checkpoint: Path, tmp_path: Path) -> None:
    known = mark_stable(checkpoint)["model_id"]
    folder = tmp_path / "leases" / "step-10"
    lease(checkpoint, folder)
    assert (folder / "model.safetensors").samefile(checkpoint / "model.safetensors")  # no second copy
    shutil.rmtree(checkpoint)
    assert verify_stable(folder) == known
    assert not (folder / "optimizer.pt").exists()


def test_weights_that_change_under_a_lease_are_noticed(checkpoint: Path, tmp_path: Path) -> None:
    mark_stable(checkpoint)
    lease(checkpoint, tmp_path / "leased")
    path = checkpoint / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100:] = bytes(100)
    path.write_bytes(content)  # in place, through the hard link
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        verify_stable(tmp_path / "leased")


# ------------------------------------------------------------------------------ the queue


def entry(step: int, model: str = "m", **fields: Any) -> Entry:
    return Entry(step, f"leases/step-{step}", model, **fields)


def test_an_entry_is_claimed_once_in_order_or_newest_first(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for step in (20, 5, 10):
        assert queue.add(entry(step))
    claimed = [queue.claim(), queue.claim(newest_first=True), queue.claim(), queue.claim()]
    assert [found.step if found else None for found in claimed] == [5, 20, 10, None]
    assert claimed[0] is not None
    assert queue.finish(claimed[0], "done")
    assert [found.step for found in queue.entries("done")] == [5]


def test_many_workers_never_get_the_same_entry(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for step in range(60):
        queue.add(entry(step))
    claimed: list[int] = []

    def work() -> None:
        while found := queue.claim():
            claimed.append(found.step)
            queue.finish(found, "done")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(60))


def test_the_same_weights_are_not_enqueued_again_but_others_are(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    assert queue.add(entry(5))
    claimed = queue.claim()
    assert claimed
    assert not queue.add(entry(5))
    assert queue.add(entry(5, "others"))
    assert not queue.finish(claimed, "done")  # what was measured is no longer this step
    assert [found.model_id for found in queue.entries("waiting")] == ["others"]


def gone(queue: Queue, found: Entry, host: str = "", silent: float = 3600) -> None:
    """As if the owner of a running entry had died a while ago."""
    path = queue.folder / "running" / found.file
    facts = json.loads(path.read_text())
    facts["owner"] |= {"pid": 2**22 - 1, "host": host or socket.gethostname()}
    path.write_text(json.dumps(facts))
    os.utime(path, (time.time() - silent,) * 2)


@pytest.mark.parametrize(
    ("host", "silent", "freed"),
    [("", 3600, True), ("", 5, True), ("elsewhere", 3600, True), ("elsewhere", 5, False)],
)
def test_a_dead_workers_entry_goes_back(tmp_path: Path, host: str, silent: float, freed: bool) -> None:
    queue = Queue(tmp_path)
    queue.add(entry(5))
    claimed = queue.claim()
    assert claimed
    gone(queue, claimed, host, silent)
    again = queue.claim()
    assert (again is not None) == freed
    if again:
        assert [attempt.get("failed") for attempt in again.attempts] == ["the worker died", None]
        assert not queue.finish(claimed, "done")
        assert queue.finish(again, "done")


def this_process(**facts: Any) -> dict[str, Any]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": start_time(pid), **facts}


def test_who_is_dead() -> None:
    assert not is_dead(this_process())
    assert not is_dead(json.loads(json.dumps(this_process())))
    assert is_dead(this_process(started=start_time(os.getpid()) + 1))  # type: ignore[operator]  # its number is another's now
    assert is_dead(this_process(pid=2**22 - 1))
    assert not is_dead(this_process(pid=2**22 - 1, host="elsewhere"))  # nobody here knows
    assert not is_dead(None)


def test_a_process_that_has_ended_is_dead_before_its_parent_has_looked() -> None:
    process = subprocess.Popen(["sleep", "60"])
    owner = this_process(pid=process.pid, started=start_time(process.pid))
    assert not is_dead(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(owner)
    process.wait()
    assert is_dead(owner)


def test_owners_that_earlier_versions_wrote_are_known() -> None:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]  # as text, in the kernel's ticks
    assert not is_dead(this_process(started=ticks))
    assert is_dead(this_process(started=str(int(ticks) + 1)))
    for unknown in (None, "soon"):  # only its silence tells
        assert not is_dead(this_process(started=unknown))
        assert is_dead(this_process(pid=2**22 - 1, started=unknown))


def test_a_clock_that_is_set_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    owner = this_process()
    booted = psutil.boot_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + 3600)
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: booted + 3600)
    assert psutil.Process().create_time() > 3000 + booted
    assert not is_dead(owner)


def test_a_live_worker_keeps_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sftgen_train.queue import liveness as module

    monkeypatch.setattr(module, "BEAT", 0.05)
    queue = Queue(tmp_path)
    queue.add(entry(5))
    claimed = queue.claim()
    assert claimed
    path = queue.folder / "running" / claimed.file
    os.utime(path, (0, 0))
    with queue.alive(claimed):
        deadline = time.monotonic() + PATIENCE
        while path.stat().st_mtime < 1e9 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert queue.recover(patience=60) == []


def test_killed_between_outcome_and_move(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(entry(5))
    claimed = queue.claim()
    assert claimed
    path = queue.folder / "running" / claimed.file
    path.write_text(json.dumps({**json.loads(path.read_text()), "owner": None, "outcome": "done"}))
    os.utime(path, (0, 0))
    assert queue.recover() == [5]
    assert [found.step for found in queue.entries("done")] == [5]


# ------------------------------------------------------------------------------ the installed commands


def scores(folder: Path) -> dict[tuple[int, str], float]:
    return {
        (row["step"], row["task"]): row["mean"]
        for row in RunFolder(folder).metric_rows()
        if row.get("metric") == "score"
    }


def test_training_enqueues_and_a_worker_evaluates(
    command: Command, installed: Command, trained: Path, queued: Path, training: dict[str, Any]
) -> None:
    queue = Queue(queued)
    assert [(found.step, found.last) for found in queue.entries("waiting")] == [
        (0, False), (1, False), (2, False), (3, False), (4, False), (5, True),
    ]  # fmt: skip
    # The trainer was told to keep one checkpoint; the leases keep what was not measured yet.
    assert [path.name for path in queued.glob("checkpoint-*")] == ["checkpoint-5"]
    assert not list(queued.glob("leases/*/optimizer*"))
    assert sorted(path.name for path in (queued / "leases").iterdir()) == [f"step-{step}" for step in range(6)]
    evaluated = installed("sftgen", "worker", queued, "--keep", "4")
    assert evaluated.returncode == 0, evaluated.stderr
    assert RunFolder(queued).evaluated_steps() == {0, 1, 2, 3, 4, 5}
    assert [path.name for path in (queued / "leases").iterdir()] == ["step-4"]
    assert len(scores(queued)) == 12

    inside = {**training, "harness_form": "in_process"}
    done = command("sftgen", "train", "--config", write(inside, queued.parent))
    assert done.returncode == 0, done.stderr
    assert scores(queued.parent / "run") == scores(queued)
    weights = [folder / "model.safetensors" for folder in (trained, queued.parent / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_worker_checks_and_reads_weights_once_a_checkpoint(
    queued: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Leases that have stood for some seconds are read to check them, and not again for the model's id."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hash_cache, "SETTLED", -60.0)
    checked: list[str] = []
    read: list[str] = []
    for module, name, calls in (
        (leases, "check_complete", checked), (evaluator, "check_complete", checked), (weights, "file_leaves", read)
    ):  # fmt: skip
        real = getattr(module, name)

        def noted(path: Any, *, real: Any = real, calls: list[str] = calls, **options: Any) -> Any:
            calls.append(Path(path).name if Path(path).is_dir() else Path(path).parent.name)
            return real(path, **options)

        monkeypatch.setattr(module, name, noted)
    assert work(queued, policy=Policy(wait=False)) == [0, 1, 2, 3, 4, 5]
    assert checked == read == [f"step-{step}" for step in range(6)]


def test_trainer_and_worker_killed_and_started_again(
    command: Command, training: dict[str, Any], tmp_path: Path
) -> None:
    """Each is killed in the middle and started again with the same command; the end is that of an undisturbed run."""
    config = {
        **training, "max_steps": 40, "harness_at_steps": [5, 10, 20, 30], "save_total_limit": 2, "save_steps": 5,
        "save_strategy": "steps", "resume_from_checkpoint": "last",
    }  # fmt: skip
    results = {}
    for name, disturbed in (("plain", False), ("killed", True)):
        run = tmp_path / name
        path = write({**config, "output_dir": str(run)}, tmp_path)
        train = ["sftgen", "train", "--config", str(path)]
        worker = ["sftgen", "worker", str(run)]
        if disturbed:
            killed_when(train, lambda run=run: (run / "checkpoint-10").exists(), before="checkpoint-15")
        assert (done := command(*train)).returncode == 0, done.stderr
        if disturbed:
            killed_when(
                worker, lambda run=run: (run / "queue" / "running").is_dir() and Queue(run).entries("done") != [],
                before="done/00000030.json",
            )  # fmt: skip
        assert (done := command(*worker)).returncode == 0, done.stderr
        assert [found.step for found in Queue(run).entries("done")] == [0, 5, 10, 20, 30, 40]
        results[name] = scores(run)
        results[name, "weights"] = (run / "model.safetensors").read_bytes()
    assert results["plain"] == results["killed"]
    assert results["plain", "weights"] == results["killed", "weights"]


def held_before(place: str) -> None:
    """In a fork: it goes no further than to where it would make or move something to a path that ends so."""

    def hold(event: str, arguments: tuple[Any, ...]) -> None:
        while event in {"os.mkdir", "os.rename"} and any(str(given).endswith(place) for given in arguments[:2]):
            signal.pause()

    sys.addaudithook(hold)


def killed_when(command: list[str], due: Any, before: str) -> None:
    """Kill a command and all that it started as soon as something is seen, and before it makes something else."""
    process = start(*command, before=partial(held_before, before))
    while not due():
        assert process.poll() is None, "it ended before"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before"


BAD = {
    "half written": (truncate, "half written"),
    "deleted": (shutil.rmtree, "no such folder"),
    "another architecture": (
        lambda folder: (folder / "config.json").write_text('{"model_type": "nothing", "architectures": ["No"]}'),
        "has changed since it was saved",
    ),
    "no tokenizer": (lambda folder: [path.unlink() for path in folder.glob("*token*")], "no tokenizer"),
}


def test_checkpoints_that_cannot_be_evaluated_fail_alone(command: Command, queued: Path) -> None:
    for step, (damage, _) in enumerate(BAD.values(), 1):
        damage(queued / "leases" / f"step-{step}")
    result = command("sftgen", "worker", queued)
    assert result.returncode == 3, result.stderr
    require_quiet(result)
    assert "given up: step 1, 2, 3, 4; `sftgen queue" in result.stderr
    assert "Traceback" not in result.stderr
    failed = {found.step: found for found in Queue(queued).entries("failed")}
    assert sorted(failed) == [1, 2, 3, 4]
    for (_, says), found in zip(BAD.values(), failed.values(), strict=True):
        assert says in found.reason
        assert len(found.attempts) == 2
    assert RunFolder(queued).evaluated_steps() == {0, 5}
    assert {row["step"] for row in RunFolder(queued).metric_rows() if row["status"] == "failed"} == {1, 2, 3, 4}


def test_a_worker_that_is_behind_skips_and_says_so(command: Command, queued: Path) -> None:
    result = command("sftgen", "worker", queued, "--behind", "3")
    assert result.returncode == 0, result.stderr
    assert RunFolder(queued).evaluated_steps() == {0, 4, 5}
    assert [found.step for found in Queue(queued).entries("skipped")] == [1, 2, 3]
    assert "step 1: skipped" in result.stderr


def test_a_run_of_another_suite_is_refused(command: Command, training: dict[str, Any], queued: Path) -> None:
    config = {**training, "output_dir": str(queued)}
    again = command("sftgen", "train", "--config", write(config, queued.parent))
    assert again.returncode == 2
    assert "already holds queued checkpoints of steps [0, 1, 2, 3, 4, 5]" in again.stderr
    other = {**config, "harness_limit": 2, "resume_from_checkpoint": "last", "max_steps": 8}
    refused = command("sftgen", "train", "--config", write(other, queued.parent))
    assert refused.returncode == 2
    assert "would be another training: max_steps 5 there, 8 here; evaluation limit of sftgen_" in refused.stderr


def test_a_worker_elsewhere(command: Command, tmp_path: Path) -> None:
    result = command("sftgen", "worker", tmp_path, "--no-wait")
    assert result.returncode == 2
    assert "is it a run directory?" in result.stderr
