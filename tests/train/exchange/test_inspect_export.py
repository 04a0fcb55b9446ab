"""Runs as inspect's logs: opened by the real `inspect view` in a browser, and brought back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from sftgen_judges.records.query import open_records
from tests import PATIENCE
from tests.browser import ABSENT, BROWSER, launched
from tests.conftest import Command
from tests.ports import own_port
from tests.train.viewer.made import HARMFUL, PARITY, SECRET, make_run

# What the module makes is made once.
pytestmark = pytest.mark.xdist_group("inspect")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    make_run(folder, steps=(0, 10))
    return folder


@pytest.fixture(scope="module")
def logs(run: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    ended = command("sftgen", "export", "inspect", run, "--to", folder, "--texts")
    assert ended.returncode == 0, ended.stderr
    assert f"without the texts of {HARMFUL}" in ended.stdout
    return folder


@pytest.fixture(scope="module")
def served(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """inspect's own viewer."""
    said = tmp_path_factory.mktemp("served") / "said"
    line = [sys.executable, "-m", "inspect_ai", "view", "start", "--log-dir", logs, "--host", "127.0.0.1"]
    with (
        own_port() as port,
        said.open("w") as out,
        subprocess.Popen([*line, "--port", str(port)], stdout=out, stderr=out) as process,
    ):
        try:
            end = time.monotonic() + PATIENCE
            while "Running on" not in said.read_text():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def test_inspect_reads_every_log_as_the_records_have_it(served: str, run: Path) -> None:
    listed = requests.get(f"{served}/api/log-files", timeout=PATIENCE).json()["files"]
    assert len(listed) == 4
    with open_records(run) as records:
        rows = records.sql("SELECT task, step, avg(score) AS mean, count(*) AS n FROM samples GROUP BY ALL").rows()
        texts = records.sql("SELECT text FROM texts WHERE task = ? AND step = 10", [PARITY]).rows()
    answers = {row["text"].partition("</think>\n")[2] for row in texts}
    assert {"even", "odd", "wait"} == {(text or "wait").split()[-1] for text in answers}
    known = {(row["task"], row["step"]): row for row in rows}
    for file in listed:
        log = requests.get(f"{served}/api/logs/{quote(file['name'], safe='')}", timeout=PATIENCE).json()
        spec = log["eval"]
        row = known.pop((spec["task"], spec["metadata"]["step"]))
        scores = [next(iter(each["scores"].values()))["value"] for each in log["samples"]]
        assert (log["status"], len(scores), spec["config"]["epochs"]) == ("success", row["n"], spec["config"]["epochs"])
        numbers = [value for value in scores if isinstance(value, int | float)]
        assert sum(numbers) / len(numbers) == pytest.approx(row["mean"])
        assert log["results"]["scores"][0]["scored_samples"] == len(numbers)
        if spec["task"] == PARITY and spec["metadata"]["step"] == 10:
            said = [each["output"]["choices"][0]["message"]["content"] for each in log["samples"]]
            assert {part["text"] for of in said for part in of if part["type"] == "text"} == answers
            assert any(of[0]["reasoning"] == "Let me see at step 10." for of in said)
            assert {each["output"]["choices"][0]["stop_reason"] for each in log["samples"]} == {"stop", "max_tokens"}
            assert all(each["output"]["usage"]["reasoning_tokens"] == 3 for each in log["samples"])
            assert "Is the number of ones in" in log["samples"][0]["input"][0]["content"]
        if spec["task"] == HARMFUL:
            assert SECRET not in json.dumps(log)
    assert not known


@pytest.mark.skipif(BROWSER is None, reason=ABSENT)
def test_a_sample_is_shown_in_inspect_view(served: str, logs: Path) -> None:
    [log] = logs.glob("*parity-step-10*.eval")
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"{served}/#/logs/{quote(log.name)}/samples/sample/parity_69/1/messages")
        for shown in ("Let me see at step 10.", "Answer: even", "sftgen_parity"):
            page.get_by_text(shown).first.wait_for(timeout=PATIENCE * 500)


def test_a_run_comes_back(command: Command, run: Path, logs: Path, tmp_path: Path) -> None:
    ended = command("sftgen", "import", "inspect", tmp_path / "again", logs)
    assert ended.returncode == 0, ended.stderr
    with open_records([run, tmp_path / "again"]) as records:
        columns = "task, step, repeat, score, tokens, thinking_tokens, finish_reason, replace(doc_id, '/', '_') AS doc"
        rows = records.sql(f"SELECT run, {columns} FROM samples ORDER BY run, task, step, doc, repeat").rows()
    runs = [[list(row.values())[1:] for row in rows if row["run"] == name] for name in {row["run"] for row in rows}]
    assert runs[0] == runs[1]
    assert len(runs[0]) == len(rows) / 2 > 100
