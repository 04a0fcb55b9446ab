"""Training is never ended by its own evaluation: whatever fails, wherever, is said once, recorded, and left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_train.evaluation import evaluator
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue import enqueueing
from sftgen_train.queue.entries import Queue
from sftgen_train.training import continuing, measuring
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.failures import Failures
from tests.train.training.test_callback import weights_hash
from tests.train.training.test_last_step import QUICK, Weights, plain

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/step-3/.queue.json.x8a_1")
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
SAFETENSORS = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

# What fails from the first step on, by form: whose attribute, and with which error.
FAULTS: dict[str, tuple[str, list[tuple[Any, str]], Exception]] = {
    "disk full, telling the workers": ("queue", [(enqueueing, "write_atomic")], FULL),
    "disk full, saving the weights": ("queue", [(enqueueing, "mark_stable")], SAFETENSORS),
    "read-only, adding to the queue": ("queue", [(Queue, "add")], READ_ONLY),
    "read-only, all of the queue": (
        "queue",
        [(Queue, "add"), (Queue, "find"), (enqueueing, "write_atomic")],
        READ_ONLY,
    ),
    "memory, saving the weights": ("queue", [(measuring, "gathered_weights")], MemoryError()),
    "lease": ("queue", [(enqueueing, "lease"), (enqueueing.Enqueuer, "end")], RuntimeError("no")),
    "disk full, results": ("in_process", [(evaluator, "add_results")], FULL),
    "disk full, all records": (
        "in_process",
        [(RunFolder, name) for name in ("append", "add_evaluation", "add_failure", "compact", "update_manifest")],
        FULL,
    ),
    "memory, making the model": ("in_process", [(evaluator, "RecordingHFLM")], MemoryError("no room")),
    "identity": ("in_process", [(evaluator, "identity_in_memory")], RuntimeError("CUDA error: 1")),
    "schedule": ("in_process", [(Suite, "due"), (Suite, "at")], KeyError("a plugin")),
    "the end": ("in_process", [(continuing, "end"), (RunFolder, "compact")], ValueError("no")),
}


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    trainer = plain(tiny_model, tmp_path_factory.mktemp("undisturbed"), [], max_steps=4)
    trainer.train()
    return weights_hash(trainer.model)


class Breaks(Weights):
    """Lets something fail from the end of the first step on, before the harness hears of it."""

    def __init__(self, patched: pytest.MonkeyPatch, places: list[tuple[Any, str]], error: Exception) -> None:
        super().__init__()
        self.patched, self.places, self.error = patched, places, error

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        def fails(*given: Any, **named: Any) -> Any:
            raise self.error

        for owner, name in self.places if state.global_step == 1 else []:
            self.patched.setattr(owner, name, fails)


@pytest.mark.parametrize(("form", "places", "error"), FAULTS.values(), ids=FAULTS)
def test_whatever_fails_training_goes_on(  # noqa: PLR0917
    form: Any,
    places: list[tuple[Any, str]],
    error: Exception,
    tiny_model: Path,
    tmp_path: Path,
    undisturbed: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(enqueueing, "PROGRESS_EVERY", -1.0)
    callback = HarnessCallback(["sftgen_parity"], every=1, form=form, run_dir=tmp_path / "run", **QUICK)
    with monkeypatch.context() as patched:
        callbacks = [Breaks(patched, places, error), callback]
        saving = {"save_strategy": "steps", "save_steps": 2}
        trainer = plain(tiny_model, tmp_path / "out", callbacks, max_steps=4, **saving)
        trainer.train()
    assert trainer.state.global_step == 4
    assert weights_hash(trainer.model) == undisturbed
    said = [record.getMessage() for record in caplog.records if "training goes on" in record.getMessage()]
    assert said
    assert len(said) == len(set(said)) <= 3  # once a kind, not once a step
    assert not list((tmp_path / "run").rglob(".*.making"))  # the trainer's own checkpoints may need the space


def test_what_could_not_be_recorded_is_recorded_later(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    run.require_writable()
    failures = Failures(run, ["sftgen_parity"], first=True)

    def full(*given: Any, **named: Any) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "add_failure", full)
        for step in (2, 4, 6):
            failures.report("evaluation", step, OSError(errno.ENOSPC, "No space left on device", f"/run/step-{step}"))
        assert not run.metrics.exists()
    failures.report("evaluation", 8, SAFETENSORS)
    failures.close()
    rows = run.metric_rows()
    assert [(row["step"], row["status"]) for row in rows] == [(step, "failed") for step in (2, 4, 6, 8)]
    assert "No space left on device" in rows[0]["reason"]
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "training goes on" in text] == [
        "evaluation at step 2 failed, training goes on. OSError: [Errno 28] No space left on device: '/run/step-2'",
        f"evaluation at step 8 failed, training goes on. SafetensorError: {SAFETENSORS}",
    ]
    assert messages[-1] == "evaluation failed with OSError at 3 steps: 2, 4, 6"


BEGIN: dict[str, tuple[Any, str]] = {
    "the queue": (enqueueing, "write_atomic"),
    "the settings": (continuing, "write_atomic"),
    "the lock": (continuing, "hold"),
}


@pytest.mark.parametrize(("owner", "name"), BEGIN.values(), ids=BEGIN)
def test_a_full_disk_before_the_first_step_is_one_message(
    owner: Any, name: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise FULL

    monkeypatch.setattr(owner, name, full)
    trainer = plain(tiny_model, tmp_path, [HarnessCallback(["sftgen_parity"], every=1, **QUICK)], max_steps=1)
    with pytest.raises(RecordError, match=r"cannot be written: No space left on device; make room"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_no_hook_lets_an_exception_out(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hook that the trainer calls after the first step is guarded as a whole."""
    hooks = [name for name in vars(HarnessCallback) if name.startswith("on_") and name != "on_train_begin"]
    assert set(hooks) == {"on_step_begin", "on_step_end", "on_save", "on_log", "on_train_end"}
    callback = HarnessCallback(["sftgen_parity"], form="queue")
    for name in hooks:
        hook: Callable[..., None] = getattr(callback, name)
        hook(_Broken(), _Broken(), _Broken(), logs=_Broken(), model=_Broken())


class _Broken:
    """Whatever is asked of it fails."""

    global_step = 1

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __contains__(self, name: object) -> bool:
        raise RuntimeError(str(name))
