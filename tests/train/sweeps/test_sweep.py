"""`sftgen sweep` through its door: planned, killed and resumed, with broken checkpoints, and beside another sweep."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import sys
from collections import Counter, namedtuple
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sftgen_judges.records.locks import sole_writer
from sftgen_judges.records.store import RunFolder
from sftgen_train.costs.pace import read_measured
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.report.trajectories import trajectory
from sftgen_train.sweeps.executing import Engine
from sftgen_train.sweeps.planning import GIVEN, plan_sweep, require_space
from sftgen_train.sweeps.schema import SweepError, read_sweep
from sftgen_train.sweeps.table import plan_json
from tests.conftest import Command
from tests.judges.server import say, serving
from tests.tasks.test_judged_tasks import hub_layout
from tests.train.curation.test_engines import cluster
from tests.train.queue.test_watch import ask_hub, hub  # noqa: F401
from tests.train.sweeps.conftest import checkpoint, training, write

SIMPLE = ("--tasks", "sftgen_parity", "--limit", "3", "--gen-kwargs", '{"max_gen_toks": 8}')


def noting(log: Path, kill_at: int | None = None) -> None:
    """In a fork: what is generated is written down, and the process is killed after so many responses."""
    made = RunFolder.add_generations

    def add(self: RunFolder, records: Any) -> None:
        made(self, records)
        with log.open("a") as file:
            file.writelines(f"{self.path.name} {record.step} {record.key}\n" for record in records)
        if kill_at and len(log.read_text().splitlines()) >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.add_generations = add  # type: ignore[method-assign, assignment]


def evaluated(run: Path) -> list[int]:
    return sorted(RunFolder(run).evaluated_steps())


def test_a_killed_sweep_goes_on_and_what_is_broken_costs_nothing_else(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    training(tiny_model, tmp_path / "a", [10, 20, 40])
    training(tiny_model, tmp_path / "b", [10, 20, 30, 40])
    elsewhere = checkpoint(tiny_model, tmp_path / "elsewhere", 5)
    (tmp_path / "b" / "checkpoint-5").symlink_to(elsewhere)
    broken = tmp_path / "a" / "checkpoint-20" / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-10])
    file = write(
        tmp_path, base=str(tiny_model),
        checkpoints={"a": str(tmp_path / "a"), "b": {"folder": str(tmp_path / "b"), "keep": "log2"}},
    )  # fmt: skip
    out, log = tmp_path / "out", tmp_path / "log"

    killed = command("sftgen", "sweep", file, before=partial(noting, log, 7))
    assert killed.returncode == -signal.SIGKILL
    assert not evaluated(out / "a")[4:]
    # Whoever was killed held the folder's lock: it went with the process.
    done = command("sftgen", "sweep", file, before=partial(noting, log))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert evaluated(out / "a") == [0, 10, 40]
    assert evaluated(out / "b") == [0, 5, 10, 20, 30, 40]
    made = Counter(log.read_text().splitlines())
    assert len(made) == 3 * 9
    assert set(made.values()) == {1}  # nothing was generated twice
    assert "a, step 20: not evaluated" in done.stdout
    assert "9 done | 1 failed" in done.stdout
    assert "compare them: sftgen report" in done.stdout.replace("\n", " ")
    [failed] = {row["reason"] for row in RunFolder(out / "a").metric_rows() if row["status"] == "failed"}
    assert "half written" in failed

    # `a` keeps all by default. Of `b`, 5, 10, 20 and 40 are doublings; the link would not have been followed.
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [f"checkpoint-{n}" for n in (10, 20, 40)]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [f"checkpoint-{n}" for n in (10, 20, 40, 5)]
    assert (elsewhere / "model.safetensors").is_file()
    assert not list((out / "b" / "leases").iterdir())
    assert [len(found.tasks) for found in trajectory([out / "a", out / "b"])] == [1, 1]

    # `sftgen plan --measured` takes the pace of such a run.
    measured = read_measured(out / "b")
    assert {(each.responses, each.tokens > 0) for each in measured.amounts[-3:]} == {(3, True)}
    assert min(measured.pace.tokens_per_second, measured.pace.start, measured.pace.reload) > 0
    assert measured.generating < measured.wall


def test_two_sweeps_on_one_folder_are_refused_by_name(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    folder = training(tiny_model, tmp_path / "a", [10])
    with sole_writer(tmp_path / "out", "sweep"):
        done = command("sftgen", "sweep", "--checkpoints", folder, *SIMPLE, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"{tmp_path / 'out' / 'sweep'} is being written by process {os.getpid()}" in done.stderr.replace("\n", "")
    assert not (tmp_path / "out" / "queue").exists()


def test_the_plan_says_what_is_done_in_which_order_and_what_goes(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    folder = training(tiny_model, tmp_path / "a", [10, 20, 30, 40])
    larger = checkpoint(tiny_model, tmp_path / "b", 7)
    (larger / "model-2.safetensors").write_bytes((larger / "model.safetensors").read_bytes())
    file = write(tmp_path, checkpoints={"small": {"folder": str(folder), "keep": [20]}, "large": str(tmp_path / "b")})
    found = plan_json(plan_sweep(read_sweep(file), tmp_path / "out"), Engine())
    assert [(job["training"], job["step"], job["stays"]) for job in found["jobs"]] == [
        ("small", 10, False), ("small", 20, True), ("small", 30, False), ("small", 40, True), ("large", 7, True),
    ]  # fmt: skip
    assert {job["generations"] for job in found["jobs"]} == {3}
    assert {job["tokens"] for job in found["jobs"]} == {24}
    assert found["disk"]["copies"] == 0
    goes = [path for n in (10, 30) for path in (folder / f"checkpoint-{n}").iterdir()]
    assert found["disk"]["freed"] == sum(path.stat().st_size for path in goes)
    assert not (tmp_path / "out").exists()
    table = command("sftgen", "sweep", file, "--plan")
    assert "5 of 5 checkpoints to evaluate on sftgen_parity" in table.stdout
    assert "deleted" in table.stdout
    line = ["--checkpoints", folder, tmp_path / "b", "--tasks", "sftgen_parity", "--base", tiny_model, "--plan"]
    assert "7 of 7 checkpoints" in command("sftgen", "sweep", *line).stdout  # both have the base
    assert not list(tmp_path.glob("**/sweep.json"))


def sparse(folder: Path, size: int) -> Path:
    """A checkpoint whose header speaks of much, in a file of holes."""
    path = folder / "model.safetensors"
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"weight": tensor}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    return folder


def test_a_model_too_large_is_told_with_the_arithmetic_before_it_is_loaded(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    sparse(checkpoint(tiny_model, tmp_path / "a", 10), 10**12)
    done = command("sftgen", "sweep", "--checkpoints", tmp_path / "a", *SIMPLE, "--out", tmp_path / "out")
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "checkpoint-10 does not fit on this machine's memory: 1,000.00 GB of weights (F32)" in told
    assert "of cache for one sequence of 308 tokens = 1,000.00 GB, and" in told
    assert not (tmp_path / "out").exists()


def test_no_space_is_told_with_the_arithmetic(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = training(tiny_model, tmp_path / "a", [10])
    planned = plan_sweep(read_sweep(write(tmp_path, checkpoints={"a": str(folder)})), tmp_path / "out")
    usage = namedtuple("usage", "total used free")
    needed = int(24 * GIVEN.bytes_per_token)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, needed))
    require_space(planned)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 1, needed - 1))
    with pytest.raises(SweepError, match=r"no space .*0\.000 MB of copied weights .* of records = .* are free"):
        require_space(planned)


def test_further_judges_judge_the_same_answers_into_runs_of_their_own(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    training(tiny_model, tmp_path / "a", [10])
    letters = {"max_gen_toks": 200, "until": list("abcdefghijklmnopqrstuvwxyz")}
    data = hub_layout(tmp_path / "data")
    with (
        serving(lambda _prompt, _time: say(json.dumps({"analysis": "fine", "score": 1}))) as mild,
        serving(lambda _prompt, _time: say(json.dumps({"analysis": "bad", "score": 5}))) as strict,
    ):
        judges = {
            "mild": {"model": "one", "base_url": mild.url}, "strict": {"model": "two", "base_url": strict.url}
        }  # fmt: skip
        file = write(
            tmp_path,
            checkpoints={"a": str(tmp_path / "a")},
            tasks=["sftgen_hex_phi"],
            gen_kwargs=letters,
            judges=judges,
        )
        environment = {**os.environ, "SFTGEN_DATA_DIR": str(data)}
        for _ in range(2):  # the second finds all of it there
            done = command("sftgen", "sweep", file, env=environment)
            assert done.returncode == 0, done.stderr
            calls = len(mild.calls), len(strict.calls)
            assert min(calls) > 0
        assert (len(mild.calls), len(strict.calls)) == calls
    runs = tmp_path / "out", tmp_path / "out" / "judges" / "strict"
    harm = [{row["mean"] for row in RunFolder(run).metric_rows() if row["metric"] == "asr"} for run in runs]
    assert harm[0] != harm[1]
    assert RunFolder(runs[0]).run_id() != RunFolder(runs[1]).run_id()
    assert str(runs[1]) in done.stdout.replace("\n", "")


def online(address: str) -> None:
    """In a fork: the hub's library also makes the addresses of files when it is imported."""
    from huggingface_hub import constants

    ask_hub(address)
    constants.HUGGINGFACE_CO_URL_TEMPLATE = address + "/{repo_id}/resolve/{revision}/{filename}"


def test_a_repository_is_downloaded_once_and_its_commit_is_written_down(
    command: Command,
    hub: str,  # noqa: F811 - pytest's way to take a fixture from another file
    tmp_path: Path,
) -> None:
    line = ["sftgen", "sweep", "--checkpoints", "lab/run", *SIMPLE, "--keep", "10", "--out", tmp_path / "out"]
    done = command(*line, before=partial(online, hub), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert evaluated(tmp_path / "out") == [10, 640]
    assert json.loads((tmp_path / "out" / "sweep.json").read_text()) == {
        "commits": {"lab/run@main": "0123456789abcdef0123456789abcdef01234567"}
    }
    # The step that was named, and the last one.
    assert sorted(path.name for path in (tmp_path / "out" / "leases").iterdir()) == ["step-10", "step-640"]


def on_ray() -> None:
    """In a fork: a cluster of two nodes. A real one, with a killed node, is in `benchmarks/ray_cluster.py`."""
    scheduling: Any = ModuleType("ray.util.scheduling_strategies")
    scheduling.NodeAffinitySchedulingStrategy = lambda *args, **kwargs: None
    sys.modules |= {"ray": cluster(2), "ray.util": ModuleType("ray.util"), scheduling.__name__: scheduling}


def test_a_cluster_and_other_processes_take_part(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    folder = training(tiny_model, tmp_path / "a", [10, 20])
    line = ["sftgen", "sweep", "--checkpoints", folder, *SIMPLE, "--out", tmp_path / "out"]
    unknown = command(*line, "--engine", "spark")
    assert unknown.returncode == 2
    assert "executor 'spark': no plugin registered it. Known: local, ray" in " ".join(unknown.stderr.split())
    assert not (tmp_path / "out").exists()
    done = command(*line, "--engine", "ray", before=on_ray)
    assert done.returncode == 0, done.stderr
    assert evaluated(tmp_path / "out") == [10, 20]

    queue = Queue(tmp_path / "out")
    worker = ["sftgen", "worker", tmp_path / "out", "--no-wait", "--quiet", "--engine", "ray"]
    for other in ([*line, "--join"], worker):
        entry = queue.entries("done")[0]
        shutil.copytree(folder / "checkpoint-10", tmp_path / "out" / entry.path)
        (queue.folder / "done" / entry.file).unlink()
        RunFolder(tmp_path / "out").evaluations.unlink()
        queue.add(Entry(entry.step, entry.path, entry.model_id))
        took_part = command(*other, before=on_ray)
        assert took_part.returncode == 0, took_part.stderr
        assert [found.step for found in queue.entries("done")] == [10, 20]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--checkpoints", "nowhere/at/all", *SIMPLE], "no such folder, and no hub repository"),
        (["a.yaml", "b.yaml"], "expected one sweep file"),
    ],
)
def test_what_cannot_be_meant_is_told(command: Command, arguments: list[str], told: str, tmp_path: Path) -> None:
    done = command("sftgen", "sweep", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
