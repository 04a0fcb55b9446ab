"""Steps that are chosen after looking: candidates are kept, and evaluated where something moved, within a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.store import RunFolder
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue import adaptive
from sftgen_train.queue.adaptive import choose, choose_next, means_of
from sftgen_train.queue.entries import Entry, Queue
from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.config import TrainingConfigError, steps_of
from sftgen_train.training.requirements import CallbackError
from tests.conftest import Command
from tests.train.queue.conftest import write

SCORE, LENGTH = ("a", "score"), ("a", "response_tokens")


def at(score: float, length: float = 10.0) -> dict[tuple[str, str], float]:
    return {SCORE: score, LENGTH: length}


def test_the_step_is_between_those_where_most_moved() -> None:
    means = {0: at(0.5), 8: at(0.45), 16: at(0.1), 32: at(0.12)}
    found = choose(means, [4, 10, 12, 14, 24])
    assert found
    assert (found.step, found.low, found.high, found.metric) == (12, 8, 16, "score")
    assert found.told() == "a score 0.45 at step 8, 0.10 at step 16"
    # A length that doubles moves by half, more than this score.
    longer = choose({**means, 32: at(0.12, 25.0)}, [4, 12, 24])
    assert longer
    assert (longer.step, longer.told()) == (24, "a length 10 at step 16, 25 at step 32")
    # There is nothing to choose where most moved.
    beside = choose(means, [4, 24])
    assert beside
    assert beside.step == 4
    assert choose({0: at(0.5), 8: at(0.5)}, [4]) is None
    assert choose(means, []) is None
    assert choose({0: at(0.5)}, [4]) is None


def test_a_failed_evaluation_is_no_score() -> None:
    rows = [
        {"status": "ok", "step": 0, "task": "a", "metric": "score", "mean": 0.5},
        {"status": "failed", "step": 4, "task": "a", "reason": "?"},
        {"status": "ok", "step": None, "task": "a", "metric": "score", "mean": 0.1},
    ]
    assert means_of(rows) == {0: {SCORE: 0.5}}


def test_the_budget_ends_it_and_leases_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(tmp_path)
    for step in (2, 4, 6):
        (tmp_path / "leases" / f"step-{step}").mkdir(parents=True)
        queue.add(Entry(step, f"leases/step-{step}", "m"), "candidate")
    means = {0: at(0.5), 8: at(0.1)}
    monkeypatch.setattr(adaptive, "means_of", lambda rows: means)
    (tmp_path / "queue" / "training.json").write_text('{"state": "running"}')
    assert not choose_next(queue, 3)  # the training goes on
    (tmp_path / "queue" / "training.json").write_text('{"state": "finished", "step": 8}')
    for step in (0, 8):
        queue.add(Entry(step, f"leases/step-{step}", "m"))
        assert choose_next(queue, 3)  # what was fixed beforehand comes first
        taken = queue.claim()
        assert taken
        assert not choose_next(queue, 3)  # another worker evaluates
        queue.finish(taken, "done")
    assert choose_next(queue, 3)
    taken = queue.claim()
    assert taken
    assert taken.step == 2  # the middle of 0 and 8 on a logarithmic scale
    queue.finish(taken, "done")
    assert RunFolder(tmp_path).manifest()["chosen_steps"] == {"2": "a score 0.50 at step 0, 0.10 at step 8"}
    assert not choose_next(queue, 3)
    assert [entry.step for entry in queue.entries("skipped")] == [4, 6]
    assert "3 steps are evaluated, of at most 3" in queue.entries("skipped")[0].reason
    assert not (tmp_path / "leases" / "step-4").exists()


def test_the_first_tier_is_of_every_step_that_is_evaluated() -> None:
    suite = Suite([Tier(["a"]), Tier(["b"], at_steps=[3])], adaptive=8)
    assert [tier.tasks for tier in suite.at(12)] == [["a"]]
    assert not suite.due(12)
    assert Suite([Tier(["a"])]).at(12) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"form": "in_process"}, "expected form='queue'"),
        ({"schedule": "every:3"}, "no schedule"),
        ({"max_evaluations": 2}, "expected at least 3 evaluations"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(CallbackError, match=says):
        HarnessCallback(["sftgen_parity"], at_steps="adaptive", **given)


def test_steps_of_a_training_file() -> None:
    assert (steps_of(None), steps_of(["3", 4]), steps_of("adaptive"), steps_of(["adaptive"])) == (
        None, [3, 4], "adaptive", "adaptive",
    )  # fmt: skip
    with pytest.raises(TrainingConfigError, match="expected steps, or adaptive"):
        steps_of(["soon"])


def test_a_training_keeps_candidates_and_evaluates_some(
    command: Command, training: dict[str, Any], tmp_path: Path
) -> None:
    config = {
        **training, "harness_at_steps": "adaptive", "harness_every": 1, "harness_max_evaluations": 4, "max_steps": 6,
        "harness_worker": "after", "harness_tasks": ["sftgen_parity"], "learning_rate": 3.0e-2,
    }  # fmt: skip
    done = command("sftgen", "train", "--config", write(config, tmp_path))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    # Saved: 2, 4 and 6; fixed beforehand: 0, 5 and the last; the others are from memory.
    assert "step 3 of 6: checkpoint kept as a candidate" in done.stdout
    states = json.loads(command("sftgen", "queue", run, "--json").stdout)
    by_state = {state: [row["step"] for row in states if row["state"] == state] for state in ("done", "skipped")}
    chosen = json.loads((run / "manifest.json").read_text()).get("chosen_steps", {})
    assert len(by_state["done"]) <= 4
    assert set(by_state["done"]) == {0, 5, 6, *map(int, chosen)}
    assert chosen, "nothing moved: the test trains too little"
    assert sorted(by_state["done"] + by_state["skipped"]) == [0, 1, 2, 3, 4, 5, 6]
    assert not list((run / "leases").glob("step-*"))
    [(step, why)] = chosen.items()
    assert f"step {step}: chosen (4 of at most 4): {why}" in done.stderr
    shown = command("sftgen", "trajectory", run)
    assert f"step {step} ({why})" in " ".join(shown.stdout.split())
