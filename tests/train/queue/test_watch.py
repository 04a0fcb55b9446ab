"""`sftgen watch`: checkpoints of any trainer and layout, whole ones only, and merged ones bit for bit."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import filesystem, metadata

from sftgen_judges import Checkpoint
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import append_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import STABLE, CheckpointError, mark_stable
from sftgen_train.checkpoints.merging import merge_dcp
from sftgen_train.checkpoints.planned import last_step_of
from sftgen_train.checkpoints.sources import DCP, FSDP, STEPS, TRAINER, known_sources
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.queue.progress import describe
from sftgen_train.queue.watch import Watch, watch
from tests import PATIENCE, commands
from tests.conftest import Command
from tests.judges.server import say, serving
from tests.tasks.test_judged_tasks import hub_layout

SUITE = Suite([Tier(["sftgen_parity"], every=1, limit=2)], gen_kwargs={"max_gen_toks": 8})
OPTIONS = ["--tasks", "sftgen_parity", "--limit", "2", "--gen-kwargs", '{"max_gen_toks": 8}']


@pytest.fixture(scope="session")
def sharded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as two ranks save it, without configuration: `verl` and `dcp`."""
    folder = tmp_path_factory.mktemp("sharded")
    done = commands.run(sys.executable, "-m", "tests.train.training.sharded", tiny_model, folder, "2")
    assert done.returncode == 0, done.stderr
    return folder


def without_tokenizer(model: Path, folder: Path) -> None:
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*token*", "*.jinja"))


def configuration(model: Path, folder: Path) -> None:
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)


@pytest.fixture
def layouts(tiny_model: Path, sharded: Path, tmp_path: Path) -> Path:
    """A folder with a checkpoint of every layout, and some that are no good."""
    folder = tmp_path / "training"
    shutil.copytree(tiny_model, folder / "checkpoint-1")
    without_tokenizer(tiny_model, folder / "step2")
    shutil.copytree(tiny_model, folder / "merged_step3")
    shutil.copytree(tiny_model, folder / "global_step_4" / "actor" / "huggingface")
    shutil.copytree(sharded / "verl", folder / "global_step_5" / "actor")
    configuration(tiny_model, folder / "global_step_5" / "actor" / "huggingface")
    shutil.copytree(sharded / "dcp", folder / "checkpoint-6" / "pytorch_model_fsdp_0")  # configuration: the base's
    shutil.copytree(tiny_model, folder / "checkpoint-7")
    weights = folder / "checkpoint-7" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    shutil.copytree(sharded / "verl", folder / "global_step_8")
    (folder / "global_step_8" / "model_world_size_2_rank_1.pt").unlink()
    shutil.copytree(tiny_model, folder / "final")
    return folder


def test_every_layout_is_known(layouts: Path) -> None:
    found = {
        source.name: [(found.step, found.path.relative_to(layouts).as_posix()) for found in source.list(layouts)]
        for source in known_sources()
    }
    assert found == {
        "trainer": [(1, "checkpoint-1"), (7, "checkpoint-7")],
        "steps": [(2, "step2"), (3, "merged_step3"), (4, "global_step_4/actor/huggingface")],
        "fsdp": [(5, "global_step_5/actor")],  # not 8: a rank is missing
        "dcp": [(6, "checkpoint-6/pytorch_model_fsdp_0")],
        "hub": [],
    }


def test_what_any_trainer_left_is_evaluated(command: Command, layouts: Path, tiny_model: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in layouts.rglob("*")}
    line = ["sftgen", "watch", layouts, *OPTIONS, "--base", tiny_model, "--once", "--settle", "0.2", "--keep", "5,6"]
    result = command(*line)
    assert result.returncode == 0, result.stderr
    run = layouts / "sftgen"
    assert RunFolder(run).evaluated_steps() == {0, 1, 2, 3, 4, 5, 6}
    scores = {row["step"]: row["mean"] for row in RunFolder(run).metric_rows() if row["metric"] == "response_tokens"}
    assert len(set(scores.values())) == 1  # all are the same model
    assert "step 7: left out. weights" in result.stderr
    assert "half written" in result.stderr
    assert "Warning" not in result.stderr
    assert "DeviceMesh" not in result.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing is written into them
    assert sorted(path.name for path in (run / "leases").iterdir()) == ["step-5", "step-6"]
    whole = load_file(tiny_model / "model.safetensors")
    for name in ("step-5", "step-6"):
        merged = load_file(run / "leases" / name / "model.safetensors")
        assert all(torch.equal(merged[key], value) for key, value in whole.items())

    again = command(*line)
    assert again.returncode == 0, again.stderr
    assert "evaluating" not in again.stderr
    other = command("sftgen", "watch", layouts, "--tasks", "sftgen_refusal", "--once", "--settle", "0.2")
    assert other.returncode == 2
    assert "another evaluation suite" in other.stderr


def test_only_the_steps_of_a_schedule_are_taken(command: Command, layouts: Path, tiny_model: Path) -> None:
    line = ["sftgen", "watch", layouts, *OPTIONS, "--base", tiny_model, "--once", "--settle", "0.2", "--no-evaluate"]
    result = command(*line, "--schedule", "every:3")
    assert result.returncode == 0, result.stderr
    assert [entry.step for entry in Queue(layouts / "sftgen").entries("waiting")] == [0, 3, 6]
    refused = command(*line, "--schedule", "hourly", "--run", layouts / "other")
    assert refused.returncode == 2
    assert "schedule 'hourly': no plugin registered it" in refused.stderr


# ------------------------------------------------------------------------------ while a trainer writes


class Watching:
    """A watcher in a thread that only enqueues."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.queue = Queue(folder / "sftgen")
        what = Watch(folder, poll=0.05, **{"settle": 0.3, **options})
        self.thread = threading.Thread(target=watch, args=(what, folder / "sftgen", SUITE))
        self.thread.start()

    def waiting(self) -> list[int]:
        return [entry.step for entry in self.queue.entries("waiting")]


def test_a_checkpoint_is_taken_when_its_last_byte_is_there(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    folder.mkdir()
    watching = Watching(folder, until=10)
    target = folder / "checkpoint-10"
    configuration(tiny_model, target)
    content = (tiny_model / "model.safetensors").read_bytes()
    still = threading.Event()
    with (target / "model.safetensors").open("wb") as file:
        for start in range(0, len(content), len(content) // 4):
            assert watching.waiting() == []
            file.write(content[start : start + len(content) // 4])
            file.flush()
            still.wait(0.5)  # longer than it takes to settle
    watching.thread.join()
    assert watching.waiting() == [10]
    assert (folder / "sftgen" / "leases" / "step-10" / "model.safetensors").read_bytes() == content


def test_a_stable_checkpoint_is_trusted_and_outlives_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    shutil.copytree(tiny_model, folder / "making")
    mark_stable(folder / "making")
    watching = Watching(folder, until=10, settle=10_000.0)
    (folder / "making").rename(folder / "checkpoint-10")
    watching.thread.join()
    assert watching.waiting() == [10]
    shutil.rmtree(folder / "checkpoint-10")
    assert (folder / "sftgen" / "leases" / "step-10" / STABLE).is_file()


def test_a_step_that_is_written_again_with_other_weights_is_evaluated_again(tiny_model: Path, tmp_path: Path) -> None:
    folder, run = tmp_path / "training", tmp_path / "run"
    shutil.copytree(tiny_model, folder / "step10")
    what = Watch(folder, settle=0.0, once=True)
    watch(what, run, SUITE)
    first = Queue(run).find(10)
    os.utime(folder / "step10" / "config.json")  # the same weights in another dress
    watch(what, run, SUITE)
    assert Queue(run).find(10) == first
    config = json.loads((folder / "step10" / "config.json").read_text())
    (folder / "step10" / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))
    watch(what, run, SUITE)
    second = Queue(run).find(10)
    assert first
    assert second
    assert first[1].model_id != second[1].model_id


def planned(model: Path, folder: Path, state: str | None, **options: Any) -> object:
    """The last step that the manifest names after a watcher saw one checkpoint with this state."""
    shutil.copytree(model, folder / "checkpoint-10")
    if state is not None:
        (folder / "checkpoint-10" / "trainer_state.json").write_text(state)
    watch(Watch(folder, settle=0.0, once=True, **options), folder / "sftgen", SUITE)
    return RunFolder(folder / "sftgen").manifest().get("max_steps")


def test_the_last_step_of_a_training_is_that_of_its_state(tiny_model: Path, tmp_path: Path) -> None:
    assert planned(tiny_model, tmp_path / "state", '{"max_steps": 40, "log_history": []}') == 40
    assert planned(tiny_model, tmp_path / "named", '{"max_steps": 40}', last_step=20) == 20
    assert planned(tiny_model, tmp_path / "until", None, until=10) == 10


@pytest.mark.parametrize("state", [None, "{", "[]", '{"max_steps": -1}', '{"max_steps": "40"}', '{"max_steps": true}'])
def test_without_a_state_the_end_is_not_known(tiny_model: Path, tmp_path: Path, state: str | None) -> None:
    assert planned(tiny_model, tmp_path / "training", state) is None


def test_a_state_is_looked_for_above_the_weights_and_never_behind_a_link(tmp_path: Path) -> None:
    inner = tmp_path / "global_step_4" / "actor" / "huggingface"
    inner.mkdir(parents=True)
    (tmp_path / "elsewhere.json").write_text('{"max_steps": 7}')
    (tmp_path / "global_step_4" / "trainer_state.json").symlink_to(tmp_path / "elsewhere.json")
    assert last_step_of(inner, tmp_path) is None
    (tmp_path / "global_step_4" / "trainer_state.json").unlink()
    (tmp_path / "global_step_4" / "trainer_state.json").write_text('{"max_steps": 8}')
    assert last_step_of(inner, tmp_path) == 8
    # A state beside all checkpoints is of no one of them.
    (tmp_path / "trainer_state.json").write_text('{"max_steps": 9}')
    (tmp_path / "step5").mkdir()
    assert last_step_of(tmp_path / "step5", tmp_path) is None


# ------------------------------------------------------------------------------ merging


class Runs:
    """A pickle that runs code when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("where", ["alone", "among the tensors", "as a class of torch"])
def test_the_metadata_of_a_stranger_runs_nothing(tmp_path: Path, where: str) -> None:
    mark = tmp_path / "ran"
    content = {
        "alone": Runs(mark),
        "among the tensors": metadata.Metadata({"weight": Runs(mark)}),
        "as a class of torch": Loads(str(mark)),
    }
    (tmp_path / ".metadata").write_bytes(pickle.dumps(content[where]))
    (tmp_path / "__0_0.distcp").touch()
    with pytest.raises(CheckpointError, match="it names code"):
        merge_dcp(tmp_path, tmp_path)
    assert not mark.exists()


class Loads(Runs):
    """The same through a function of torch."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.load, (self.mark,)


@pytest.mark.parametrize("path", ["../other/__0_0.distcp", "/etc/hostname"])
def test_metadata_cannot_name_a_file_elsewhere(tmp_path: Path, path: str) -> None:
    index = metadata.MetadataIndex("weight")
    found = metadata.Metadata({}, storage_data={index: filesystem._StorageInfo(path, 0, 1)})
    (tmp_path / ".metadata").write_bytes(pickle.dumps(found))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        merge_dcp(tmp_path, tmp_path)


@pytest.mark.parametrize(("source", "kind"), [(FSDP, "verl"), (DCP, "dcp")], ids=["fsdp", "dcp"])
def test_merging_says_what_is_wrong(tiny_model: Path, sharded: Path, tmp_path: Path, source: Any, kind: str) -> None:
    folder, out = tmp_path / "step1", tmp_path / "out"
    shutil.copytree(sharded / kind, folder)
    [checkpoint] = source.list(tmp_path)
    out.mkdir()
    with pytest.raises(CheckpointError, match="--base MODEL"):
        source.materialise(checkpoint, out)
    configuration(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"11 of 36 tensors are missing, model\.layers\.2"):
        source.materialise(checkpoint, out)
    configuration(tiny_model, folder)
    for path in folder.glob("*_0*"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        source.materialise(Checkpoint(1, folder), out)
    assert not list(out.glob("*.safetensors"))


# ------------------------------------------------------------------------------ the hub


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[str]:
    """A server that speaks as much of the hub's language as is needed, with one repository."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    files = {
        f"{folder}{path.name}": path.read_bytes()
        for folder in ("step10/", "step640/", "notes/")
        for path in tiny_model.iterdir()
    }

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/lab/run/tree/"):
                sizes = {name: len(body) for name, body in files.items()}
                rows = [{"type": "file", "path": name, "size": n, "oid": "0" * 40} for name, n in sizes.items()]
                self.answer(json.dumps(rows).encode())
            elif path.startswith("/api/models/lab/run"):
                siblings = [{"rfilename": name} for name in files]
                self.answer(json.dumps({"id": "lab/run", "sha": commit, "siblings": siblings}).encode())
            elif path.startswith(f"/lab/run/resolve/{commit}/") and (name := path.partition(f"{commit}/")[2]) in files:
                self.answer(files[name], ETag=f'"{hash(name)}"', **{"X-Repo-Commit": commit})
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def answer(self, body: bytes, **headers: str) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def ask_hub(address: str) -> None:
    """In a fork: what HF_ENDPOINT and HF_HUB_OFFLINE do where they stand before the hub's library is imported."""
    from huggingface_hub import constants

    constants.ENDPOINT, constants.HF_HUB_OFFLINE = address, False


def test_a_hub_repository_with_a_folder_a_step(command: Command, installed: Command, hub: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    environment |= dict.fromkeys(("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), str(PATIENCE))
    line = ["--once", "--run", tmp_path / "run", *OPTIONS]
    result = installed("sftgen", "watch", "lab/run", *line, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert RunFolder(tmp_path / "run").evaluated_steps() == {10, 640}
    assert not list((tmp_path / "run" / "leases").iterdir())
    absent = command("sftgen", "watch", "lab/none", *line, before=partial(ask_hub, hub), cwd=tmp_path)
    assert absent.returncode == 2
    assert "'lab/none': no such folder here, and the hub says: RepositoryNotFoundError" in absent.stderr


# ------------------------------------------------------------------------------ mistakes


def test_mistakes_are_named_before_anything_is_written(tiny_model: Path, tmp_path: Path) -> None:
    from sftgen_tasks import UnknownTaskError

    folder, run = tmp_path / "training", tmp_path / "run"
    (folder / "checkpoint-x").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"holds no checkpoints .*global_step_N"):
        watch(Watch(folder, once=True), run, SUITE)
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        watch(Watch(tmp_path / "none" / "there" / "is"), run, SUITE)
    with pytest.raises(UnknownTaskError, match="sftgen_nothing"):
        watch(Watch(folder), run, Suite([Tier(["sftgen_nothing"])]))
    assert not run.exists()
    shutil.copytree(tiny_model, folder / "checkpoint-1")
    watch(Watch(folder, settle=0.0, once=True), run, SUITE)
    with pytest.raises(RecordError, match="another evaluation suite"):
        watch(Watch(folder, settle=0.0, once=True), run, Suite([Tier(["sftgen_refusal"], every=1)]))


def test_a_checkpoint_with_config_but_no_weights_yet_is_not_one(tiny_model: Path, tmp_path: Path) -> None:
    configuration(tiny_model, tmp_path / "checkpoint-1")
    configuration(tiny_model, tmp_path / "step1")
    assert TRAINER.list(tmp_path) == STEPS.list(tmp_path) == []


# ------------------------------------------------------------------------------ a judge that is not there


def test_without_a_judge_generations_are_kept_and_graded_later(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    """An untrained model never ends by itself: stopped at its first letter, its responses are whole."""
    data, run = hub_layout(tmp_path / "data"), tmp_path / "run"
    shutil.copytree(tiny_model, tmp_path / "training" / "step10")
    settings = json.dumps({"max_gen_toks": 200, "until": list("abcdefghijklmnopqrstuvwxyz")})
    line = ["--tasks", "sftgen_hex_phi", "--limit", "6", "--gen-kwargs", settings, "--once", "--settle", "0.1"]
    environment = {**os.environ, "SFTGEN_DATA_DIR": str(data)}
    result = command("sftgen", "watch", tmp_path / "training", "--run", run, *line, env=environment)
    assert result.returncode == 0, result.stderr
    coverage = {row["metric"]: row["mean"] for row in RunFolder(run).metric_rows()}["coverage"]
    assert coverage == 0.0
    assert len(RunFolder(run).read_generations("sftgen_hex_phi")) == 6
    with serving(lambda _prompt, _time: say(json.dumps({"analysis": "fine", "score": 1}))) as server:
        given = {"SFTGEN_JUDGE_BASE_URL": server.url, "SFTGEN_JUDGE_MODEL": "judge"}
        later = command("sftgen", "rescore", run, env={**environment, **given})
        assert later.returncode == 0, later.stderr
        assert server.calls
    coverage = {row["metric"]: row["mean"] for row in RunFolder(run).metric_rows()}["coverage"]
    assert coverage > 0.5


# ------------------------------------------------------------------------------ what is shown meanwhile


def test_a_terminal_shows_step_queue_worker_and_time(tmp_path: Path) -> None:
    enqueuer = Enqueuer(tmp_path, SUITE)
    enqueuer.open(resumed=False)
    enqueuer.tell("running", step=35, max_steps=640)
    for step in (0, 5, 10, 20):
        enqueuer.queue.add(Entry(step, f"leases/step-{step}", "m"))
    done = enqueuer.queue.claim()
    assert done
    enqueuer.queue.finish(done, "done")
    enqueuer.queue.claim()
    append_rows(tmp_path / "evaluations.jsonl", [{"step": 0, "status": "ok", "seconds": 40.0}])
    shown = describe(tmp_path)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    assert shown == f"training running, step 35 of 640 | 2 waiting, 1 done | step 5 at {owner} | about 2 min left"
