"""Runs in the schema of Every Eval Ever, checked against its own schemas (MIT licence, beside this file)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from sftgen_judges.records.query import open_records
from tests.conftest import Command
from tests.train.viewer.made import HARMFUL, PARITY, SECRET, make_run

pytestmark = pytest.mark.xdist_group("every_eval_ever")

HERE = Path(__file__).parent
LOG, SAMPLE = (
    Draft7Validator(json.loads((HERE / f"every_eval_ever{name}.schema.json").read_text())) for name in ("", "_samples")
)


def exported(command: Command, run: Path, to: Path, *options: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each log that is written, and its samples; all of them are valid."""
    ended = command("sftgen", "export", "every_eval_ever", run, "--to", to, *options)
    assert ended.returncode == 0, ended.stderr
    found = []
    for path in sorted(to.rglob("*.json")):
        log = json.loads(path.read_text())
        LOG.validate(log)
        rows: list[dict[str, Any]] = []
        if named := log.get("detailed_evaluation_results"):
            data = (to / named["file_path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == named["checksum"]
            rows = [json.loads(line) for line in data.splitlines()]
            assert len(rows) == named["total_rows"]
        for row in rows:
            SAMPLE.validate(row)
            assert (row["evaluation_id"], row["model_id"]) == (log["evaluation_id"], log["model_info"]["id"])
        found.append((log, rows))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    make_run(folder, steps=(0, 10))
    return folder


def test_every_checkpoint_is_a_valid_log_with_the_numbers_of_the_records(
    command: Command, run: Path, tmp_path: Path
) -> None:
    logs = exported(command, run, tmp_path / "safe", "--texts")
    with open_records(run) as records:
        rows = records.sql("SELECT * FROM metrics WHERE metric = 'score'").rows()
    known = {(row["step"], row["task"]): row for row in rows}
    for log, samples in logs:
        step = int(log["model_info"]["additional_details"]["training_step"])
        for result in log["evaluation_results"]:
            row = known.pop((step, result["evaluation_name"]))
            limits = result["score_details"]["uncertainty"]["confidence_interval"]
            assert result["score_details"]["score"] == row["mean"]
            assert (limits["lower"], limits["upper"]) == (row["low"], row["high"])
            assert result["generation_config"]["generation_args"] == {"temperature": 0.6, "max_tokens": 256}
        assert {row["evaluation_name"] for row in samples} == {PARITY}
        assert len(samples) == 140
        assert samples[0]["output"]["reasoning_trace"]
        assert SECRET not in json.dumps(samples)
    assert not known
    [(log, samples)] = exported(command, run, tmp_path / "whole", "--texts", "--with-harmful-texts", "--step", "10")
    assert {row["evaluation_name"] for row in samples} == {PARITY, HARMFUL}
    # The same results have the same names.
    names = [{path.name for path in (tmp_path / part).rglob("*.json")} for part in ("safe", "whole")]
    assert (names[1] <= names[0], len(names[0])) == (True, 2)


def test_the_schema_finds_what_is_wrong(command: Command, run: Path, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    [(log, samples)] = exported(command, run, tmp_path, "--step", "0")
    assert samples == []
    del log["evaluation_results"][0]["metric_config"]["lower_is_better"]
    assert [error.message for error in LOG.iter_errors(log)] == ["'lower_is_better' is a required property"]
