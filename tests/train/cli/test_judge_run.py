"""`sftgen judge run`: one at a time on one output, a summary that is JSON, and settings that reach every judge."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.journal import read_rows
from tests import commands
from tests.conftest import Command
from tests.judges.server import completion, named, only_first, say, serving

GOOD = say('{"analysis": "harmless", "score": 2}')


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name, value in {"MODEL": "judge", "BACKOFF": "0.01", "ATTEMPTS": "1", "CONCURRENCY": "4"}.items():
        monkeypatch.setenv(f"SFTGEN_JUDGE_{name}", value)
    lines = [{"question": f"<<{number}>>", "response": "fine"} for number in range(20)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "in.jsonl"


def line(rows: Path, out: Path, *more: Any) -> list[Any]:
    return ["sftgen", "judge", "run", "policy", rows, "--out", out, *more]


@pytest.mark.parametrize("second", ["out.jsonl", "out.json", "linked.jsonl"])
def test_a_second_run_on_one_output_is_refused_and_pays_nothing(
    second: str, rows: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    (tmp_path / "linked.jsonl").symlink_to(out)
    with serving(only_first(5, GOOD)) as server:
        first = commands.start(*line(rows, out, "--base-url", server.url))
        while len(list(read_rows(tmp_path / "out.verdicts.jsonl"))) < 5:
            assert first.poll() is None
            time.sleep(0.01)
        asked = len(server.calls)
        refused = command(*line(rows, tmp_path / second, "--base-url", "http://127.0.0.1:9/v1"))
        assert refused.returncode == 2
        assert "out.verdicts.jsonl is being written by process" in refused.stderr
        assert f"process {first.pid}" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert asked <= len(server.calls) <= 5 + 4
        first.kill()
        first.wait()
    # The lock goes with the process.
    with serving(GOOD) as server:
        done = command(*line(rows, out, "--base-url", server.url))
        assert done.returncode == 0, done.stderr
        again = command(*line(rows, out, "--base-url", server.url))
        assert (again.returncode, len(server.calls) <= 15) == (0, True)


def test_into_a_run_directory_that_is_being_written_nothing_is_judged(
    rows: Path, command: Command, tmp_path: Path
) -> None:
    from sftgen_judges.records.store import RunFolder

    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    with serving(GOOD) as server, RunFolder(run).sole_writer():
        refused = command(*line(rows, run / "judged" / "out.jsonl", "--base-url", server.url))
        assert (refused.returncode, server.calls) == (2, [])
    assert f"run directory '{run}' is being written" in refused.stderr


def test_the_summary_and_the_rows_are_json_whatever_comes(rows: Path, command: Command, tmp_path: Path) -> None:
    rows.write_text('{"question": "<<0>>", "response": "fine", "weight": NaN}\n' + rows.read_text())

    def odd(handler: Any) -> None:
        body = completion('{"analysis": "x", "score": 2}', handler.body)
        body["usage"] = {"prompt_tokens": float("nan"), "completion_tokens": -5}
        handler.send(json.dumps(body).encode())

    def strictly(text: str) -> Any:
        return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    with serving(odd) as server:
        done = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url, "--json"))
    summary = strictly(done.stdout)
    assert (summary["judged"], summary["tokens_estimated"]) == (21, 20)  # two rows are one judgement
    assert summary["tokens"] > 0
    assert summary["models"] == {"judge-2026": 21}
    judged = [strictly(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert judged[0]["weight"] is None
    shown = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url))
    assert "0 calls" in shown.stdout


def test_a_renamed_model_is_told_and_stops_the_command(rows: Path, command: Command, tmp_path: Path) -> None:
    def renamed(handler: Any) -> None:
        with handler.server.lock:
            handler.server.taken += 1
            late = handler.server.taken > 5
        body = completion('{"analysis": "x", "score": 2}', handler.body)
        handler.send(json.dumps({**body, "model": "new" if late else "old"}).encode())

    more = ("--set", "concurrency=1", "--json")
    with serving(renamed) as server:
        done = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url, *more))
        summary = json.loads(done.stdout)
        assert (done.returncode, summary["judged"], len(server.calls) <= 7) == (3, 5, True)
        assert any("'old' and is 'new' now" in reason for reason in summary["missing"])
        done = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url, "--set", "allow_renamed=true"))
    assert done.returncode == 0, done.stderr
    assert "verdicts of several models: old (5), new (15)" in done.stdout


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), 3),
        (("--set", "max_missing=0.5"), 0),
        (("--model", "a", "--model", "b", "--vote", "mean"), 3),
        (("--model", "a", "--model", "b", "--vote", "mean", "--set", "max_missing=0.5"), 0),
        (("--repeats", "2", "--vote", "mean", "--set", "max_missing=0.5"), 0),
        (("--repeats", "2", "--vote", "mean", "--set", "max_missing=0.1"), 3),
    ],
)
def test_the_share_that_may_be_missing_holds_for_judges_made_of_others(
    more: tuple[str, ...], code: int, rows: Path, command: Command, tmp_path: Path
) -> None:
    with serving(lambda prompt, _: say("no score") if int(named(prompt)) < 5 else GOOD) as server:
        done = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url, *more, "--json"))
    assert json.loads(done.stdout)["judged"] == 15
    assert done.returncode == code


def test_the_share_that_may_be_missing_comes_from_the_environment_too(
    rows: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTGEN_JUDGE_MAX_MISSING", "0.5")
    with serving(lambda prompt, _: say("no score") if int(named(prompt)) < 5 else GOOD) as server:
        done = command(*line(rows, tmp_path / "out.jsonl", "--base-url", server.url, "--repeats", "2"))
        assert done.returncode == 0
        assert Counter(named(call["body"]["messages"][-1]["content"]) for call in server.calls)["0"] == 2
