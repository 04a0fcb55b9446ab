"""The next checkpoint is generated while the last task of the one before is judged, whatever happens to either."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.behind import Behind
from sftgen_tasks.harness.task import GradeFilter
from sftgen_train.evaluation.evaluator import Evaluator, generate_checkpoint, load_model
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.entries import Queue
from tests import PATIENCE
from tests.conftest import Command
from tests.judges.server import Handler, say, serving
from tests.tasks.test_judged_tasks import hub_layout
from tests.train.sweeps.conftest import training, write
from tests.train.sweeps.test_sweep import noting

FINE = json.dumps({"analysis": "fine", "score": 1})


def judged(folder: Path, model: Path, url: str, steps: list[int]) -> tuple[Path, dict[str, str]]:
    """A sweep whose only task is judged by a server, and the environment that it wants."""
    training(model, folder / "a", steps)
    file = write(
        folder, checkpoints={"a": str(folder / "a")}, tasks=["sftgen_hex_phi"], gen_kwargs={"max_gen_toks": 8},
        judges={"one": {"model": "one", "base_url": url}},
    )  # fmt: skip
    return file, {**os.environ, "SFTGEN_DATA_DIR": str(hub_layout(folder / "data"))}


def test_a_sweep_is_killed_while_it_judges_one_checkpoint_and_generates_the_next(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    log, going_on = tmp_path / "log", threading.Event()

    def slow(handler: Handler) -> None:
        going_on.wait(PATIENCE)  # nothing is judged before the first process is gone
        say(FINE)(handler)

    with serving(slow) as judge:
        file, environment = judged(tmp_path, tiny_model, judge.url, [10, 20, 30])
        # The fourth response is the first of the second checkpoint: no judge has answered for the first one.
        killed = command("sftgen", "sweep", file, env=environment, before=partial(noting, log, 4))
        assert killed.returncode == -signal.SIGKILL
        going_on.set()
        queue = Queue(tmp_path / "out")
        assert [entry.step for entry in queue.entries("running")] == [10, 20]
        assert not list((tmp_path / "out").glob("verdicts/*"))
        done = command("sftgen", "sweep", file, env=environment, before=partial(noting, log))
    assert done.returncode == 0, done.stderr
    made = Counter(log.read_text().splitlines())
    assert len(made) == 9
    assert set(made.values()) == {1}
    assert [(entry.step, entry.deaths) for entry in queue.entries("done")] == [(10, 0), (20, 0), (30, 0)]
    verdicts = [row["key"] for row in read_rows(RunFolder(tmp_path / "out").verdicts("sftgen_hex_phi"))]
    assert len(verdicts) == len(set(verdicts)) > 0


def breaking(log: Path) -> None:
    """In a fork: what is generated is written down, and step 20 cannot be graded."""
    noting(log)
    real = GradeFilter.apply

    def apply(self: GradeFilter, answers: Any, docs: Any) -> Any:
        answers = list(answers)
        if answers[0][0].step == 20:
            raise RuntimeError("grading broke")
        return real(self, answers, docs)

    GradeFilter.apply = apply  # type: ignore[method-assign]


def test_broken_grading_is_charged_to_its_own_checkpoint(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(say(FINE)) as judge:
        file, environment = judged(tmp_path, tiny_model, judge.url, [10, 20, 30])
        done = command("sftgen", "sweep", file, env=environment, before=partial(breaking, log))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "a, step 20: not evaluated" in done.stdout
    assert "2 done | 1 failed" in done.stdout
    assert sorted(RunFolder(tmp_path / "out").evaluated_steps()) == [10, 30]
    [failed] = Queue(tmp_path / "out").entries("failed")
    assert (failed.step, failed.failures, failed.reason) == (20, 2, "RuntimeError: grading broke")
    assert set(Counter(log.read_text().splitlines()).values()) == {1}  # what stood is only graded again


def test_the_model_is_let_go_before_its_responses_are_graded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade, models, real = threading.Event(), [], GradeFilter.apply

    def load(*given: Any) -> Any:
        made: Any = load_model(*given)
        models.append(weakref.ref(made))
        return made

    def apply(*given: Any) -> Any:
        assert grade.wait(PATIENCE)
        return real(*given)

    monkeypatch.setattr(GradeFilter, "apply", apply)
    suite = Suite([Tier(["sftgen_parity"], every=1, limit=2), Tier(["sftgen_procedural"], every=9)])
    evaluation = generate_checkpoint(
        tiny_model, run_dir=tmp_path, step=1, evaluator=Evaluator(suite), model="sftgen-hf", model_args={},
        last=False, content_id="", load=load,
    )  # fmt: skip
    gc.collect()
    assert [made() for made in models] == [None]
    grade.set()
    assert [(found.task, found.documents) for found in evaluation.result()] == [("sftgen_parity", 2)]


class Answering:
    rank, world_size = 0, 1


def test_what_goes_wrong_before_the_model_is_free_is_raised_at_once() -> None:
    def refused(front: Any) -> str:
        raise ValueError("no prompt")

    def broken(front: Any) -> str:
        front.asked_by(lambda *_, **__: 1 / 0)
        front.generate_until([])
        return "not reached"

    with pytest.raises(ValueError, match="no prompt"):
        Behind(Answering(), refused, 1)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        Behind(Answering(), broken, 2)  # type: ignore[arg-type]
