"""`sftgen plan --detect`: what it takes to see a dip, by the test that verdicts take."""

from __future__ import annotations

import json

import pytest

from sftgen_train.trajectory.detecting import Plan, Power, detect, simulated
from sftgen_train.trajectory.simulation import Design
from tests.conftest import Command

PLAN = Plan(0.1, steps=8, runs=60)


def test_more_of_anything_sees_more() -> None:
    one = simulated(Design("", 100, 1), PLAN)
    assert one.hits < simulated(Design("", 400, 1), PLAN).hits
    assert one.hits < simulated(Design("", 100, 8), PLAN).hits
    assert one.hits < simulated(Design("", 100, 1), PLAN, within=4).hits
    # Documents of one source say the same again.
    assert simulated(Design("", 200, 2, cluster=4), PLAN).hits < simulated(Design("", 200, 2), PLAN).hits


def test_it_is_the_number_of_the_error_rates() -> None:
    """The document has 84.8 % for a dip of 5 points at one of eight checkpoints, 500 documents x 4."""
    low, high = simulated(Design("", 500, 4), Plan(0.05)).interval
    assert low < 0.848 < high


def test_what_it_takes_is_named_where_the_whole_interval_reaches_the_goal() -> None:
    found = detect(Design("task", 100, 1), PLAN)
    assert [power.within for power in found.power] == [1, 2, 3, 4]
    assert found.documents
    assert found.documents.documents > 100
    assert found.documents.interval[0] >= 0.8 > found.power[0].interval[0]
    assert found.repeats is None or found.repeats.repeats > 1


@pytest.mark.parametrize(
    ("design", "plan", "says"),
    [
        (Design("", 500, 3, base=0.04), PLAN, "no room for a dip of 0.1"),
        (Design("", 500, 3, share=False), PLAN, "a logit"),
        (Design("", 9_000, 1), PLAN, "9,000 documents"),
        (Design("", 500, 3), Plan(0.1, steps=2), "2 checkpoints after the base were not simulated"),
    ],
)
def test_nothing_is_told_beyond_what_is_simulated(design: Design, plan: Plan, says: str) -> None:
    found = detect(design, plan)
    assert says in found.unknown
    assert (found.power, found.documents, found.within) == ((), None, None)


def test_the_interval_is_exact() -> None:
    assert Power(1, 1, 1, 0, 10).interval == pytest.approx((0, 0.308), abs=0.001)
    assert Power(1, 1, 1, 8, 10).interval == pytest.approx((0.444, 0.975), abs=0.001)


def test_the_command(command: Command) -> None:
    line = ("sftgen", "plan", "--tasks", "sftgen_aime24", "--detect", "0.3", "--checkpoints", "5")
    done = command(*line, "--json")
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["benchmarks"]
    assert (found["documents"], found["repeats"], found["cannot_tell"]) == (30, 10, None)
    assert found["power"][0]["share"] > 0.8
    shown = command(*line, "--base", "0.2")
    assert "aime24" in shown.stdout
    assert "cannot tell: a score of 0.2 has no room for a dip of 0.3." in shown.stdout
