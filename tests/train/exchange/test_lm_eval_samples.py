"""lm_eval's sample logs as a run: written by the real lm_eval, by hand with known scores, and badly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.query import open_records
from tests.commands import few_tasks
from tests.conftest import Command

TIME = "2026-01-0{}T00-00-00.000001"


def row(doc: int, right: bool, text: str = "The answer is 4.", **more: Any) -> dict[str, Any]:
    return {
        "doc_id": doc,
        "doc": {"question": f"What is {doc} + {doc}?", "answer": str(2 * doc)},
        "target": str(2 * doc),
        "arguments": {"gen_args_0": {"arg_0": f"Q: {doc} + {doc}", "arg_1": {"temperature": 0.0, "until": ["\n"]}}},
        "resps": [[text]],
        "filtered_resps": ["4"],
        "filter": "none",
        "metrics": ["exact_match", "bypass"],
        "exact_match": float(right),
        "bypass": 999,
        **more,
    }


def written(folder: Path, rows: list[dict[str, Any]], day: int = 1, task: str = "sums") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{TIME.format(day)}.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def test_logs_of_checkpoints_become_a_run_with_verdicts(command: Command, tmp_path: Path) -> None:
    for step, right in ((0, 30), (100, 5), (200, 38)):
        rows = [row(doc, doc < right, text=f"<think>Hm {step}.</think> It is 4.") for doc in range(40)]
        written(tmp_path / f"step{step}" / "model", rows)
    asked = [f"{step}={tmp_path / f'step{step}'}" for step in (0, 100, 200)]
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", *asked)
    assert ended.returncode == 0, ended.stderr
    assert "step 100: sums 0.125 (40)" in ended.stdout
    verdicts = json.loads(command("sftgen", "trajectory", tmp_path / "run", "--format", "json").stdout)
    assert "dips" in json.dumps(verdicts)
    with open_records(tmp_path / "run") as records:
        means = records.sql("SELECT step, avg(score) AS mean FROM samples GROUP BY step ORDER BY step").rows()
        assert [(each["step"], each["mean"]) for each in means] == [(0, 0.75), (100, 0.125), (200, 0.95)]
        texts = records.sql("SELECT text FROM texts WHERE step = 100 LIMIT 1").rows()
        assert texts[0]["text"] == "<think>Hm 100.</think> It is 4."
        samples = records.sql(
            "SELECT think, tokens, answer, doc_id FROM samples WHERE step = 0 AND doc_id = '7'"
        ).rows()
        assert samples == [{"think": "closed", "tokens": None, "answer": "4", "doc_id": "7"}]


def test_what_the_real_lm_eval_writes_is_read(command: Command, tmp_path: Path) -> None:
    asked = ["--model", "dummy", "--tasks", "sftgen_parity,sftgen_maximum", "--limit", "6", "--log_samples"]
    written_to = ("--output_path", tmp_path / "results")
    ended = command("lm_eval", "run", *asked, *written_to, cwd=tmp_path, before=few_tasks)
    assert ended.returncode == 0, ended.stderr
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={tmp_path / 'results'}")
    assert ended.returncode == 0, ended.stderr
    assert "sftgen_maximum 0.000 (6), sftgen_parity 0.000 (6)" in ended.stdout
    with open_records(tmp_path / "run") as records:
        assert {each["text"] for each in records.sql("SELECT text FROM texts").rows()} == {"lol"}


def test_the_newest_log_of_a_task_counts_and_another_metric_can(command: Command, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    written(logs, [row(doc, False) for doc in range(4)], day=1)
    written(logs, [row(doc, True, metrics=["exact_match", "other"], other=doc == 1) for doc in range(4)], day=2)
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={logs}", "--metric", "other")
    assert "step 0: sums 0.250 (4)" in ended.stdout, ended.stderr


def test_the_named_metric_alone_is_the_score_and_no_number_stays_none(command: Command, tmp_path: Path) -> None:
    more = {"metrics": ["score", "other", "bypass"], "score": 1.0}
    rows = [row(doc, True, **more, other=float("nan") if doc == 3 else 0.0) for doc in range(4)]
    logs = written(tmp_path / "logs", rows)
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={logs}", "--metric", "other")
    assert "step 0: sums 0.000 (3)" in ended.stdout, ended.stderr
    with open_records(tmp_path / "run") as records:
        statuses = records.sql("SELECT status, score FROM samples ORDER BY doc_id").rows()
        assert [(each["status"], each["score"]) for each in statuses] == [("ok", 0.0)] * 3 + [("not_graded", None)]
        assert {each["metric"] for each in records.metrics.rows()}.isdisjoint({"bypass"})


def test_a_task_that_compares_likelihoods_has_scores_and_no_texts(command: Command, tmp_path: Path) -> None:
    rows = [
        {
            **row(doc, True),
            "metrics": ["acc"],
            "acc": doc % 2,
            "resps": [[-1.5, False], [-0.5, True]],
            "arguments": [["Q", " A"]],
        }
        for doc in range(4)
    ]
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={written(tmp_path / 'logs', rows)}")
    assert "step 0: sums 0.500 (4)" in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["100"], "'100': expected STEP=PATH"),
        (["x={logs}"], "expected STEP=PATH"),
        (["0={logs}", "0={logs}"], "step 0 is given twice"),
        (["0={empty}"], "found no samples_TASK_TIME.jsonl"),
        (["0={logs}", "100={absent}"], "found no samples_TASK_TIME.jsonl"),
        (["0={logs}", "--metric", "acc"], "has no metric 'acc'; its metrics: exact_match"),
        (["0={torn}"], "row 2"),
        (["0={foreign}"], "expected `doc` and `metrics`"),
        (["0={perplexity}"], "word_perplexity is 12.5; a score is a share between 0 and 1"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_evaluated(
    command: Command, tmp_path: Path, steps: list[str], said: str
) -> None:
    written(tmp_path / "logs", [row(0, True), row(1, False)])
    written(tmp_path / "foreign", [{"question": "\x1b[2J", "score": 1}])
    written(tmp_path / "torn", [row(0, True)]).open("a").write('{"doc": {"quest')
    written(tmp_path / "perplexity", [{**row(0, True), "metrics": ["word_perplexity"], "word_perplexity": 12.5}])
    (tmp_path / "empty").mkdir()
    places = {name: tmp_path / name for name in ("logs", "empty", "absent", "torn", "foreign", "perplexity")}
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", *(each.format(**places) for each in steps))
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stderr
    assert not list(tmp_path.glob("run/samples*"))


def test_a_step_that_is_there_is_never_written_over(command: Command, tmp_path: Path) -> None:
    logs = written(tmp_path / "logs", [row(0, True), row(1, False)])
    assert command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={logs}").returncode == 0
    ended = command("sftgen", "import", "lm-eval", tmp_path / "run", f"0={logs}", f"100={logs}")
    assert ended.returncode == 2
    assert "has step 0 already" in ended.stderr
    assert command("sftgen", "import", "lm-eval", tmp_path / "run", f"100={logs}").returncode == 0


def test_a_trajectory_is_read_without_the_questions_that_training_held(command: Command, tmp_path: Path) -> None:
    """Documents 0 to 9 were in the training data and are learnt; the others stay as they were."""
    for step, right in ((0, 0), (100, 10)):
        written(tmp_path / f"step{step}", [row(doc, doc < right or doc >= 30) for doc in range(40)])
    asked = [f"{step}={tmp_path / f'step{step}'}" for step in (0, 100)]
    command("sftgen", "import", "lm-eval", tmp_path / "run", *asked)
    with open_records(tmp_path / "run") as records:
        rows = records.sql("SELECT DISTINCT task, doc_hash FROM samples WHERE doc_id::INT < 10").rows()
    (tmp_path / "found.json").write_text(json.dumps({"matches": rows}))
    read = ["sftgen", "trajectory", tmp_path / "run", "--format", "json"]
    whole, clean = (json.loads(command(*read, *more).stdout) for more in ([], ["--without", tmp_path / "found.json"]))
    (whole_task,), (clean_task,) = (found[0]["tasks"] for found in (whole, clean))
    assert (whole_task["shared"], clean_task["shared"]) == (40, 30)
    assert [round(task["end_change"], 9) for task in (whole_task, clean_task)] == [0.25, 0.0]
    assert whole_task["end"] == "above base"
    assert clean_task["end"] == "cannot tell"
    (tmp_path / "other.json").write_text("[]")
    ended = command(*read, "--without", tmp_path / "other.json")
    assert ended.returncode == 2
    assert "expected a file of `sftgen data contamination" in ended.stderr
