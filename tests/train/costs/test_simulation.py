"""The model of events behind `sftgen plan --gpus`: cases that can be computed by hand, and what it reads of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sftgen_train.costs.grid import Grid, devices_to_train, scale
from sftgen_train.costs.pace import Amount, Pace, predict, read_measured
from sftgen_train.costs.simulation import Checkpoint, Site, Stage, Training, reliefs, simulate
from sftgen_train.costs.throughput import Assumptions, CostError, Device, Model, Work
from tests.conftest import Command

ENDLESS = 10**9


def of(*stages: Stage, after: float = 0.0) -> Checkpoint:
    return Checkpoint(stages, after)


def test_one_device_and_nothing_beside_is_the_sum() -> None:
    """Each checkpoint has one task, whose grading runs beside the next checkpoint; that of the last beside nothing."""
    one = Training("a", tuple(of(Stage("t", 100, grading=8, requests=6)) for _ in range(3)), weights=50)
    found = simulate([one], Site(cores=4, judging=2, disk=10, start=30, reload=7, beside=1))
    assert found.wall == 3 * (5 + 1 + 100) + 30 + 2 * 7 + 8 / 4 + 6 / 2
    assert found.held == {"training": 0, "generating": 300, "loading": 47, "saving": 0, "waiting": 3 * 5}
    assert (found.grading, found.judging, found.free) == (24, 9, 8 / 4 + 6 / 2)


def test_one_checkpoint_is_graded_behind_another_and_no_second_one() -> None:
    """Each takes 10 s of a device and 40 s of a judge: the third is begun when the first is judged, at 50 s."""
    one = Training("a", tuple(of(Stage("t", 10, requests=40)) for _ in range(3)))
    found = simulate([one], Site(judging=1))
    assert found.wall == 10 + 3 * 40
    assert found.held["waiting"] == (50 - 20) + (90 - 60)


@pytest.mark.parametrize(("cores", "wall"), [(ENDLESS, 60), (1, 10 + 40 + 40 + 40), (4, 60 + 10)])
def test_grading_runs_beside_the_next_task(cores: int, wall: float) -> None:
    """Three tasks of 10, 20 and 30 s: without end of graders the generating alone counts, with one the graders do."""
    stages = [Stage("t", seconds, grading=40) for seconds in (10, 20, 30)]
    assert simulate([Training("a", (of(*stages),))], Site(cores=cores)).wall == pytest.approx(wall, abs=1e-3)


def test_as_many_devices_as_checkpoints_take_as_long_as_the_longest() -> None:
    one = Training("a", tuple(of(Stage("t", seconds)) for seconds in (5, 40, 12)))
    found = simulate([one], Site(devices=3))
    assert (found.wall, found.free) == (40, 35 + 28)
    assert simulate([one], Site(devices=2)).wall == 40
    assert found.idle == pytest.approx(1 - 57 / 120)


def test_a_training_comes_first_and_stops_while_it_saves() -> None:
    """20 s of weights: saved at 30 s and at 60 s of training, read again for each evaluation."""
    one = Training("a", (of(Stage("t", 5)), of(Stage("t", 5), after=30), of(Stage("t", 5), after=60)), 2, weights=200)
    alone = simulate([one], Site(devices=2, disk=10))
    # The base's evaluation waits for a device until the training ends, at 100 s, and the disk reads for one at a time.
    assert (alone.held["training"], alone.held["saving"]) == (120, 80)
    assert alone.wall == 100 + 3 * 20 + 5
    with pytest.raises(CostError, match="takes 2 devices of 1"):
        simulate([one], Site(devices=1))


def test_a_device_keeps_its_engine() -> None:
    two = [Training(name, tuple(of(Stage("t", 10)) for _ in range(2))) for name in "ab"]
    assert simulate(two[:1], Site(start=100, reload=1)).wall == 100 + 10 + 1 + 10
    assert simulate(two, Site(start=100, reload=1)).held["loading"] == 2 * (100 + 1)


def test_the_bottleneck_is_what_saves_most_when_doubled() -> None:
    slow_judge = [Training("a", (of(Stage("t", 10, grading=1, requests=100)),))]
    site = Site(cores=1, judging=1)
    first, *_ = reliefs(slow_judge, site)
    assert first.what == "judging"
    assert first.saved == pytest.approx(50 / 111)
    many = [Training("a", tuple(of(Stage("t", 10)) for _ in range(8)))]
    assert reliefs(many, site)[0].what in {"devices", "generating"}
    long = [Training("a", (of(*(Stage("t", 10) for _ in range(4))),))]
    assert reliefs(long, Site(devices=8))[0].what == "a device a task"


TRAININGS = some.lists(
    some.builds(
        Training,
        engine=some.sampled_from("ab"),
        checkpoints=some.lists(
            some.builds(
                Checkpoint,
                stages=some.lists(
                    some.builds(
                        Stage, task=some.just("t"), generating=some.floats(0, 50), grading=some.floats(0, 50),
                        requests=some.integers(0, 20),
                    ), min_size=1, max_size=3,
                ).map(tuple),
                after=some.floats(0, 60),
            ), max_size=4,
        ).map(lambda found: tuple(sorted(found, key=lambda one: one.after))),
        devices=some.integers(1, 2),
        weights=some.floats(0, 20),
    ), max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TRAININGS, some.integers(2, 5), some.integers(1, 4))
def test_nothing_is_lost_and_the_same_comes_out_twice(trainings: list[Training], devices: int, cores: int) -> None:
    site = Site(devices, cores, judging=3, disk=2, start=4, reload=1, beside=0.5)
    found = simulate(trainings, site)
    assert found == simulate(trainings, site)
    stages = [stage for one in trainings for checkpoint in one.checkpoints for stage in checkpoint.stages]
    assert found.held["generating"] == pytest.approx(sum(stage.generating for stage in stages))
    assert found.grading == pytest.approx(sum(stage.grading for stage in stages))
    assert found.judging == pytest.approx(sum(stage.requests for stage in stages) / 3)
    last = (one.checkpoints[-1].after * one.devices if one.checkpoints else 0 for one in trainings)
    assert found.held["training"] == pytest.approx(sum(last))
    assert found.free >= -1e-6 * found.wall  # no device is held twice
    assert 0 <= found.idle <= 1


DEVICE = Device(memory=100e9, bandwidth=1e12, compute=1e15)


def test_a_grid() -> None:
    """Two models by two sets, a speed that was given: hours by hand."""
    work = [Work("a", 10, 1, 1000), Work("b", 20, 1, 1000, "judge", "group"), Work("c", 30, 1, 1000, None, "group")]
    models = {"small": Model(1e9, 1000), "large": Model(10e9, 1000)}
    assert [devices_to_train(model, DEVICE) for model in models.values()] == [1, 2]
    grid = Grid(models, work, data_sets=2, checkpoints=3, tokens=1e6, grading=0.0)
    given = Assumptions(tokens=100, dip_tokens=200, dip_checkpoints=1, tokens_per_second=10)
    found = scale(grid, DEVICE, Site(), given)
    assert found.squeezed == ["large"]
    assert found.outcome.held["generating"] == 4 * (600 + 1200 + 600)
    assert found.outcome.held["training"] == pytest.approx(2 * 6 * 11e9 * 1e6 / 0.4e15)
    assert found.outcome.wall == pytest.approx(sum(found.outcome.held.values()))
    assert scale(grid, DEVICE, Site(devices=64), given).squeezed == []


def evaluation(second: int, **facts: Any) -> str:
    """12 s: 1 of loading, 8 of generating, 1 beside; then it waits for 1 s, and grading ends 2 s after generating."""
    begun, ended = (f"2026-01-01T00:00:{at:02d}.000+00:00" for at in (second, second + 11))
    row = {"step": second, "status": "ok", "at": ended, "seconds": 11.0, "begun": begun, "ended": ended}
    spent = {"loading_seconds": 1.0, "generation_seconds": 8.0, "waiting_seconds": 1.0, "grading_seconds": 2.0}
    return json.dumps({**row, **spent, "responses": 10, "tokens": 800, **facts}) + "\n"


def test_the_pace_of_a_run_predicts_the_run_itself(tmp_path: Path) -> None:
    # The worker goes on after 10 s and, from the second checkpoint on, after the 1 s that it waits for the one before.
    rows = [evaluation(0, loading_seconds=2.0, seconds=12.0), evaluation(13), evaluation(26)]
    rows += [evaluation(40, status="failed"), evaluation(41, tokens=None), '{"step": 3, "status": "ok"}\n']
    (tmp_path / "evaluations.jsonl").write_text("".join(rows))
    found = read_measured(tmp_path)
    assert found.pace == Pace(100, 2, 1, pytest.approx(0.2), 1 + (2 + 2) / 2)
    assert (found.wall, found.amounts) == (37, (Amount(10, 800),) * 3)
    told = predict(found.pace, found.amounts)
    assert told.wall == pytest.approx(2 + 1 + 1 + 3 * (3 + 8) + 2)
    assert predict(found.pace, [Amount(20, 1600)]).wall == pytest.approx(2 + 3 + 16 + 4)
    assert predict(found.pace, found.amounts, Site(devices=3, cores=3)).wall == pytest.approx(2 + 3 + 8 + 2)
    with (tmp_path / "evaluations.jsonl").open("a") as file:
        file.write(evaluation(0).replace("2026-01-01", "2026-01-02"))  # it was stopped, and went on a day later
    assert read_measured(tmp_path).pace == replace(found.pace, beside=pytest.approx(1 + (2 + 2) / 2))


def test_a_run_that_does_not_tell_its_pace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CostError, match="no evaluation there says how long loading and generating took"):
        read_measured(tmp_path)
    strange = [{"responses": 0}, {"tokens": 10**400}, {"seconds": "9"}, {"ended": "0001-01-01"}, {"begun": 5}]
    (tmp_path / "evaluations.jsonl").write_text("".join(evaluation(10, **facts) for facts in strange))
    with pytest.raises(CostError, match="no evaluation there says how long loading and generating took"):
        read_measured(tmp_path)
    (tmp_path / "evaluations.jsonl").write_text(evaluation(10) + evaluation(11) + evaluation(12))
    with pytest.raises(CostError, match="several processes evaluated at once"):
        read_measured(tmp_path)


LINE = ["sftgen", "plan", "--tasks", "sftgen_id,sftgen_hex_phi", "--rows", "1000", "--data-sets", "2"]


def test_the_command(command: Command) -> None:
    both = [*LINE, "--model", "Qwen/Qwen3-4B,Qwen/Qwen3-14B", "--gpus", "1,8", "--price", "2"]
    shown = command(*both)
    assert shown.returncode == 0, shown.stderr
    for part in ("models: 2, trainings of each: 2, checkpoints: 9, benchmarks: 3", "more devices 50%", "Assumed"):
        assert part in shown.stdout
    one, eight = json.loads(command(*both, "--json").stdout)
    assert one["seconds"] > 7 * eight["seconds"]
    assert one["squeezed"] == ["Qwen/Qwen3-14B"]
    assert one["cost"] == pytest.approx(one["seconds"] / 1800)
    assert sum(eight["held_seconds"].values()) == pytest.approx(8 * eight["seconds"])


def test_this_machine_and_the_pace_of_a_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "evaluations.jsonl").write_text(evaluation(10) + evaluation(20))
    line = ["sftgen", "plan", "--tasks", "sftgen_aime24", "--params", "2e6", "--device", "cpu", "--tokens", "10"]
    assert "2 million parameters" in command(*line).stdout
    line += ["--dip-tokens", "10", "--measured", str(tmp_path), "--gpus", "1", "--checkpoints", "2"]
    assert "100 tokens a second" in " ".join(command(*line).stdout.split())
    [found] = json.loads(command(*line, "--json").stdout)
    assert found["seconds"] == pytest.approx(2 * (300 * 10 / 100 + 1 + 1) + 300 * 0.2 / 12, rel=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "a-4B,b-8B"], "several models: expected --gpus"),
        (["--model", "a-4B", "--gpus", "8,0"], "--gpus '8,0': expected whole numbers from 1 on"),
        (["--model", "a-4B", "--measured", "nowhere"], "'nowhere': no evaluation there says"),
        (["--model", "a-400B", "--gpus", "8"], "do not fit on one device"),
    ],
)
def test_mistakes(command: Command, options: list[str], says: str) -> None:
    result = command(*LINE, *options)
    assert result.returncode == 2
    assert says in result.stderr


def test_half_the_speed_is_twice_the_time() -> None:
    pace = Pace(100, 0, 0, 0, 0)
    slow = replace(pace, tokens_per_second=50)
    amounts = [Amount(5, 1000), Amount(5, 3000)]
    assert predict(slow, amounts).wall == 2 * predict(pace, amounts).wall == 80
