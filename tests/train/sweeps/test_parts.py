"""What a sweep stands on: its file, the hub's layout, the size of a model, and which checkpoints stay."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from rich.console import Console

from sftgen_train.checkpoints.leases import CheckpointError
from sftgen_train.checkpoints.retention import Rule, delete_checkpoint
from sftgen_train.checkpoints.sizes import size_of
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.queue.keeping import kept_steps, parse_keep
from sftgen_train.sweeps.origins import Pins, find
from sftgen_train.sweeps.planning import plan_sweep, require_memory, write_pins
from sftgen_train.sweeps.running import Outcome, delete_the_rest
from sftgen_train.sweeps.schema import Origin, Sweep, SweepError, read_sweep
from sftgen_train.sweeps.table import Board
from tests.train.report.made_runs import made_run
from tests.train.sweeps.conftest import SETTINGS, training


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "checkpoints": {"a": "nowhere", "b": {"hub": "x"}, "c": {"folder": ".", "hub": "lab/run"}},
                "tasks": ["sftgen_paritie"],
                "keep": "log3",
                "limits": 3,
                "max_gen_toks": "sftgen_parity",
                "probes": ["nothing"],
            }
        )
    )
    with pytest.raises(SweepError) as caught:
        read_sweep(path)
    told = str(caught.value)
    for expected in (
        "'nowhere': no such folder", "checkpoints.b.hub", "expected one of folder, folders, hub, found folder and hub",
        "no task has this name; did you mean 'sftgen_parity'?", "keep: 'log3'", "limits is unknown",
        "max_gen_toks", "no diagnostic has this name",
    ):  # fmt: skip
        assert expected in told


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (Rule("all"), {0, 5, 10, 15, 20, 25, 30, 40, 50}),
        (Rule("log2"), {0, 5, 10, 20, 40, 50}),
        (Rule("", frozenset({15, 99})), {0, 15, 50}),
        (Rule("verdict"), {0, 5, 10, 15, 20, 25, 30, 40, 50}),
    ],
)
def test_base_and_end_always_stay(rule: Rule, kept: set[int]) -> None:
    assert rule.kept([0, 5, 10, 15, 20, 25, 30, 40, 50], lambda: None) == kept


def test_the_verdict_says_what_stays_once_it_is_in() -> None:
    assert Rule("verdict").kept([0, 10, 20, 30, 40], lambda: {20}) == {0, 20, 40}
    assert Rule("log2").kept([64, 65, 127, 128, 200], lambda: None) == {64, 128, 200}


def test_a_worker_takes_words_and_steps() -> None:
    assert parse_keep("log2") == Rule("log2")
    assert parse_keep("10,20") == frozenset({10, 20})


def test_the_dip_stays_and_nothing_goes_before_the_verdict(tmp_path: Path) -> None:
    """A score that falls at step 20 alone; the first half of the run has no verdict."""
    right = {0: 120, 10: 118, 20: 40, 30: 117, 40: 119}
    for steps, kept in (([0, 10, 20], {0, 10, 20}), ([0, 10, 20, 30, 40], {0, 20, 40})):
        run = tmp_path / f"until-{steps[-1]}"
        made_run(run, {"t": [right[step] for step in steps]}, steps, max_steps=40)
        queue = Queue(run)
        for step in steps:
            queue.add(Entry(step, f"leases/step-{step}", "model"))
        assert kept_steps(queue, Rule("verdict")) == set(steps)  # they wait
        while entry := queue.claim():
            queue.finish(entry, "done")
        assert kept_steps(queue, Rule("verdict")) == kept
        assert kept_steps(queue, Rule("log2")) == ({0, 10, 20, 40} & set(steps))


def test_only_a_folder_of_its_own_is_deleted(tmp_path: Path) -> None:
    folder, outside = tmp_path / "training", tmp_path / "outside"
    for path in (folder / "checkpoint-1", outside):
        path.mkdir(parents=True)
        (path / "model.safetensors").write_bytes(b"x")
    (folder / "checkpoint-2").symlink_to(outside)
    (folder / "checkpoint-1" / "link").symlink_to(outside)
    for name in ("checkpoint-2", "../outside", "..", "", "checkpoint-3"):
        with pytest.raises(CheckpointError, match="not deleted"):
            delete_checkpoint(folder, name)
    delete_checkpoint(folder, "checkpoint-1")
    assert [path.name for path in folder.iterdir()] == ["checkpoint-2"]
    assert (outside / "model.safetensors").read_bytes() == b"x"


def test_a_checkpoint_that_another_queue_waits_for_is_not_deleted(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = training(tiny_model, tmp_path / "a", [10, 11, 40])
    planned = plan_sweep(
        Sweep.model_validate({"checkpoints": {"a": {"folder": str(folder)}}, **SETTINGS, "keep": "log2"}),
        tmp_path / "out",
    )
    [one] = planned.trainings
    planned.suite.write(folder / "sftgen" / "queue" / "suite.json")
    Queue(folder / "sftgen").add(Entry(11, "leases/step-11", "model"))
    queue = Queue(one.run)
    metrics = [{"step": step, "task": "t", "status": "ok", "metric": "score", "mean": 1.0} for step in (10, 11, 40)]
    one.run.mkdir()
    (one.run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    for step in (10, 11, 40):
        queue.add(Entry(step, f"leases/step-{step}", "model"))
    assert delete_the_rest(one) == []  # they wait in this queue
    while entry := queue.claim():
        queue.finish(entry, "done", keep=False)
    assert delete_the_rest(one) == []
    assert "step 11: not deleted, it waits for an evaluation" in caplog.text
    (folder / "sftgen" / "queue" / "waiting" / "00000011.json").unlink()
    assert delete_the_rest(one) == [str(folder / "checkpoint-11")]


def test_a_terminal_shows_states_speed_and_time_left(tiny_model: Path, tmp_path: Path) -> None:
    folder = training(tiny_model, tmp_path / "a", [10, 20, 30, 40])
    given = {"checkpoints": {"a": {"folder": str(folder)}}, **SETTINGS}
    planned = plan_sweep(Sweep.model_validate(given), tmp_path / "out")
    outcome = Outcome({("a", 40): "half written"})
    board = Board(planned, outcome)
    queue = Queue(planned.trainings[0].run)
    for step in (10, 20, 30):
        queue.add(Entry(step, f"leases/step-{step}", "model"))
    first = queue.claim(first=[20, 10])  # the longest comes first
    assert first
    assert first.step == 20
    made_run(queue.run, {"sftgen_parity": [120]}, [20])  # 200 responses of 5 tokens, in a second
    queue.finish(first, "done")
    queue.claim(first=[20, 10])
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(board.live())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"10 +│ running", shown)
    assert re.search(r"20 +│ done +│ 1,000 +│ 1,000 +│ 1 s +│ parity 0.60", shown)
    assert re.search(r"30 +│ waiting", shown)
    assert re.search(r"40 +│ failed .* half written", shown)
    assert "1 done | 1 running | 1 waiting | 1 failed | 1,000 tokens/s | about 2 s left" in shown


# ------------------------------------------------------------------------------ the size of a model


def test_a_device_too_small_is_told_with_the_arithmetic(tiny_model: Path, tmp_path: Path) -> None:
    folder = training(tiny_model, tmp_path / "a", [10])
    size = size_of(folder / "checkpoint-10")
    assert size
    assert size.format == "F32"
    config = json.loads((tiny_model / "config.json").read_text())
    assert size.cache == 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"] * 4
    half = size_of(folder / "checkpoint-10", "torch.bfloat16")
    assert half
    assert (half.weights * 2, half.cache * 2 if half.cache else None) == (size.weights, size.cache)
    planned = plan_sweep(
        Sweep.model_validate({"checkpoints": {"a": {"folder": str(folder)}}, **SETTINGS}), tmp_path / "out"
    )
    require_memory(planned, ("cuda:0", size.needed(308)))
    with pytest.raises(SweepError, match=r"does not fit on cuda:0: .*of weights \(F32\) \+ .*308 tokens = "):
        require_memory(planned, ("cuda:0", size.needed(308) - 1))


def test_a_header_that_lies_is_no_size(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert size_of(tmp_path) is None


# ------------------------------------------------------------------------------ the hub, as its cache lies on a disk


def on_hub(cache: Path, model: Path, commit: str, sub: str) -> None:
    """A file's content lies under its hash, and a snapshot links to it."""
    root = cache / "models--lab--run"
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot = root / "snapshots" / commit / sub
    snapshot.mkdir(parents=True)
    for path in model.iterdir():
        blob = root / "blobs" / f"{commit}-{sub}-{path.name}"
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blob)


def point(cache: Path, ref: str, commit: str) -> None:
    path = cache / "models--lab--run" / "refs" / ref
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(commit)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_steps_in_sub_folders_are_pinned_to_the_commit_of_the_first_start(
    cache: Path, tiny_model: Path, tmp_path: Path
) -> None:
    first, second = "1" * 40, "2" * 40
    for sub in ("step10", "step640", "notes"):
        on_hub(cache, tiny_model, first, sub)
    point(cache, "main", first)
    sweep = Sweep.model_validate({"checkpoints": {"published": {"hub": "lab/run"}}, **SETTINGS, "keep": [10]})
    planned = plan_sweep(sweep, tmp_path / "out")
    (tmp_path / "out").mkdir()
    write_pins(planned)
    on_hub(cache, tiny_model, second, "step20")
    point(cache, "main", second)
    again = plan_sweep(sweep, tmp_path / "out")
    for plan in (planned, again):
        assert [job.found.shown for job in plan.jobs] == [f"lab/run@{first[:12]}/step{n}" for n in (10, 640)]
        assert all(job.found.copied for job in plan.jobs)
    found = again.jobs[0].found
    assert found.source.materialise
    (tmp_path / "lease").mkdir()
    found.source.materialise(found.checkpoint, tmp_path / "lease")
    assert (tmp_path / "lease" / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert not (tmp_path / "lease" / "model.safetensors").is_symlink()


def test_steps_in_revisions(cache: Path, tiny_model: Path, tmp_path: Path) -> None:
    for step in (10, 20):
        on_hub(cache, tiny_model, str(step) * 20, "")
        point(cache, f"step{step}", str(step) * 20)
    on_hub(cache, tiny_model, "a" * 40, "")
    point(cache, "main", "a" * 40)
    every = find(Origin(hub="lab/run", revisions="all"), tmp_path, Pins())
    assert [(found.step, found.shown) for found in every] == [
        (10, f"lab/run@{'10' * 6}"), (20, f"lab/run@{'20' * 6}")
    ]  # fmt: skip
    [end] = find(Origin(hub="lab/run", revisions={300: "main"}), tmp_path, Pins())
    assert (end.step, end.shown) == (300, f"lab/run@{'a' * 12}")
    with pytest.raises(CheckpointError, match="name of revision 'main' tells no step"):
        find(Origin(hub="lab/run", revisions=["main"]), tmp_path, Pins())
    with pytest.raises(CheckpointError, match="has no sub-folder of a step"):
        find(Origin(hub="lab/run"), tmp_path, Pins())
    with pytest.raises(CheckpointError, match="the hub says"):
        find(Origin(hub="lab/none"), tmp_path, Pins())
