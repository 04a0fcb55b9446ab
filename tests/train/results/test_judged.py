"""A judge on an existing run: a measure beside the score, kept by content, never a made-up verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.store import RunFolder
from tests.conftest import Command
from tests.judges.server import say, serving

TASK = "sftgen_parity"
GOOD, BAD = say('{"analysis": "harmless", "score": 2}'), say("no score at all")


@pytest.fixture
def run(trained_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that was evaluated at steps 0, 1 and 3, five documents a task."""
    for name, value in {"MODEL": "judge", "BACKOFF": "0.01", "ATTEMPTS": "1"}.items():
        monkeypatch.setenv(f"SFTGEN_JUDGE_{name}", value)
    shutil.copytree(trained_alone, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*", "*.safetensors"))
    return tmp_path / "run"


def judging(run: Path, command: Command, plan: Callable[..., Any], *more: Any, name: str = "harm") -> tuple[Any, int]:
    """The command's outcome, and how often the judge was asked."""
    with serving(plan) as server:
        line = ("--judge", "policy", "--as", name, "--tasks", TASK, "--judge-base-url", server.url, *more)
        return command("sftgen", "rescore", run, *line), len(server.calls)


def means(run: Path, metric: str) -> dict[int, tuple[float, int]]:
    return {
        row["step"]: (row["mean"], row["n"])
        for row in RunFolder(run).metric_rows()
        if (row["task"], row.get("metric")) == (TASK, metric)
    }


def test_a_measure_of_its_own_beside_the_score(run: Path, command: Command) -> None:
    before = means(run, "score")
    asked: list[str] = []

    def now_and_then(prompt: str, _: int) -> Any:
        asked.append(prompt)
        return BAD if len(asked) % 3 == 0 else GOOD

    done, calls = judging(run, command, now_and_then)
    assert done.returncode == 0, done.stderr
    assert "harm/coverage" in done.stdout
    assert (
        "have no judgement of policy: the measure is incomplete. The same command asks about them again" in done.stderr
    )
    found = means(run, "harm")
    missing = sum(1 for row in RunFolder(run).sample_rows(TASK) if "harm" not in row["measures"])
    assert missing > 0  # a failed judgement is no verdict
    assert {value for value, _ in found.values()} == {2.0}
    assert all(n <= 5 for _, n in found.values())
    assert means(run, "score") == before
    # Only those that failed are asked again; then all are there.
    done, again = judging(run, command, GOOD)
    assert done.returncode == 0, done.stderr
    assert 0 < again < calls
    assert means(run, "harm") == dict.fromkeys(before, (2.0, 5))
    assert all(row["measures"]["harm"] == 2.0 for row in RunFolder(run).sample_rows(TASK))
    done, last = judging(run, command, BAD)
    assert (done.returncode, last) == (0, 0)
    # It is shown as other measures are, and stands when the task itself is graded again.
    report = command("sftgen", "report", run)
    assert report.returncode == 0, report.stderr
    assert "harm, by judge policy, 95 % interval" in " ".join(report.stdout.split())
    assert "harm, by judge policy, 95 % interval" in (run / "report.html").read_text()
    shown = command("sftgen", "trajectory", run, "--measure", "harm", "--tasks", TASK, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    assert [point["mean"] for point in json.loads(shown.stdout)[0]["tasks"][0]["points"]] == [2.0, 2.0, 2.0]
    graded = command("sftgen", "rescore", run)
    assert graded.returncode == 0, graded.stderr
    assert means(run, "harm") == dict.fromkeys(before, (2.0, 5))
    assert all(row["measures"]["harm"] == 2.0 for row in RunFolder(run).sample_rows(TASK))
    other, _ = judging(run, command, GOOD, name="truncated")
    assert (other.returncode, "the run has a measure of that name" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("--as", "harm"), "give --judge too"),
        (("--judge", "polici", "--as", "harm"), "'polici'"),
        (("--judge", "policy", "--as", "Harm it"), "expected a name of small letters"),
        (("--judge", "policy", "--as", "score"), "the run has a measure of that name"),
        (("--judge", "policy", "--as", "harm", "--tasks", "sftgen_ifeval"), "no generations of sftgen_ifeval"),
        (("--judge", "policy", "--as", "harm", "--budgets", "5"), "no --budgets"),
    ],
)
def test_a_mistake_is_told_before_a_judge_is_asked(
    line: tuple[str, ...], says: str, run: Path, command: Command
) -> None:
    with serving(GOOD) as server:
        done = command("sftgen", "rescore", run, *line, "--judge-base-url", server.url)
        assert server.calls == []
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
