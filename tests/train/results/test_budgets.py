"""`sftgen rescore --budgets`: stored responses truncated after so many tokens and scored again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_tasks.gpqa_diamond import document
from sftgen_train.results.budgets import parse_budgets, truncate
from tests.conftest import Command

THINK = "<think>It may be A.</think>"
# What follows the thinking, in tokens of the tiny tokenizer: a byte each, a marker one.
TAIL = "So it is \\boxed{%s}."
RIGHT, LATER = len("It may be A.") + 2 + len("So it is ") + 3, 100


def questions() -> list[dict[str, str]]:
    answers = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    return [
        {"Record ID": f"r{n}", "Question": f"Which is number {n}?", **{name: f"{name} {n}" for name in answers}}
        for n in range(3)
    ]


@pytest.fixture(scope="module")
def replayed(command: Command, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents with three samples each, as another tool stored them."""
    folder = tmp_path_factory.mktemp("budgets")
    data = folder / "data" / "Idavidrein" / "gpqa"
    data.mkdir(parents=True)
    (data / "gpqa_diamond.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions()))
    rows = []
    for number, row in enumerate(questions()):
        doc = document(row)
        right = doc["answer"]
        wrong = next(letter for letter in "ABCD" if letter != right)
        said = {
            0: [THINK + TAIL % right, THINK + TAIL % right, THINK + "So it is unclear."],
            1: [THINK + TAIL % wrong, THINK + TAIL % right, THINK + " " * LATER + TAIL % right],
            2: [THINK + TAIL % wrong, THINK + TAIL % wrong, THINK + TAIL % right],
        }[number]
        rows.append({"q": doc["question"], "out": said})
    (folder / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = f"path={folder / 'outputs.jsonl'},text=out,key=q:question,tokenizer={tiny_model}"
    done = command(
        "sftgen", "eval", "--run", folder / "run", "--tasks", "sftgen_gpqa_diamond", "--model", "sftgen-replay",
        "--model_args", model, "--metadata", f"data_dir={folder / 'data'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run(replayed: Path, tmp_path: Path) -> Path:
    shutil.copytree(replayed, tmp_path / "run")
    return tmp_path / "run"


def metrics(run: Path) -> dict[str, Any]:
    return {row["metric"]: row for row in RunFolder(run).metric_rows()}


def test_eval_writes_votes(replayed: Path) -> None:
    found = {name: row["mean"] for name, row in metrics(replayed).items()}
    assert found["score"] == pytest.approx((2 + 2 + 1) / 9)
    assert found["score_first"] == pytest.approx(1 / 3)
    assert found["maj@3"] == pytest.approx(2 / 3)
    assert found["pass@3"] == 1.0
    assert found["pass@2"] == pytest.approx((1 + 1 + 2 / 3) / 3)


def rescored(command: Command, run: Path, tiny_model: Path, budgets: str, *more: str, **options: Any) -> Any:
    return command("sftgen", "rescore", run, "--budgets", budgets, "--tokenizer", tiny_model, *more, **options)


def test_each_response_is_truncated_and_scored_again(command: Command, run: Path, tiny_model: Path) -> None:
    samples, before = (run / "samples.parquet").read_bytes(), metrics(run)
    enough = RIGHT
    done = rescored(command, run, tiny_model, f"10000,5,{enough}")
    assert done.returncode == 0, done.stderr
    found = {name: row["mean"] for name, row in metrics(run).items()}
    # Inside the thinking all are truncated.
    assert (found["budget=5/score"], found["budget=5/truncated"], found["budget=5/maj@3"]) == (0.0, 1.0, 0.0)
    assert found["budget=5/response_tokens"] == 5
    # Then every box is closed, but that of the answer that comes later; no response has ended.
    assert found[f"budget={enough}/score"] == pytest.approx((2 + 1 + 1) / 9)
    assert found[f"budget={enough}/maj@3"] == pytest.approx(1 / 3)
    assert found[f"budget={enough}/truncated"] == 1.0
    for name in ("score", "score_paper", "truncated", "answered", "maj@3", "pass@2", "score_first", "response_tokens"):
        assert found[f"budget=10000/{name}"] == before[name]["mean"], name
    table = " ".join(done.stdout.split())
    for said in ("gpqa_diamond - 5 0.000", f"{enough} 0.444", "10,000 0.556", "whole 0.556"):
        assert said in table
    # The run's own samples and metrics are as they were.
    assert (run / "samples.parquet").read_bytes() == samples
    assert not (run / "samples.jsonl").exists()
    assert {name: row for name, row in metrics(run).items() if name in before} == before


def test_budgets_are_shown_queried_and_kept(command: Command, run: Path, tiny_model: Path) -> None:
    assert rescored(command, run, tiny_model, "5,50").returncode == 0
    with open_records(run) as records:
        rows = records.sql(
            r"SELECT regexp_extract(metric, '^budget=(\d+)/score$', 1)::INT AS budget, mean FROM metrics "
            r"WHERE metric SIMILAR TO 'budget=\d+/score' ORDER BY budget"
        ).rows()
    assert [row["budget"] for row in rows] == [5, 50]
    kept = {name: row for name, row in metrics(run).items() if name.startswith("budget=")}
    assert command("sftgen", "rescore", run).returncode == 0
    assert {name: row for name, row in metrics(run).items() if name.startswith("budget=")} == kept
    shown = command("sftgen", "report", run)
    assert shown.returncode == 0, shown.stderr
    assert "Scores of responses truncated after so many tokens" in shown.stdout
    assert rescored(command, run, tiny_model, "5").returncode == 0  # the other budget stands
    assert {name: row for name, row in metrics(run).items() if name.startswith("budget=")} == kept


def test_a_run_is_rescored_from_another_folder(
    command: Command, replayed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    done = command(
        "sftgen", "eval", "--run", tmp_path / "run", "--tasks", "sftgen_gpqa_diamond", "--model", "sftgen-replay",
        "--model_args", f"path=outputs.jsonl,text=out,key=q:question,tokenizer={tiny_model}", "--metadata",
        "data_dir=data", cwd=replayed.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before = metrics(tmp_path / "run")
    again = command("sftgen", "rescore", "run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert metrics(tmp_path / "run").keys() == before.keys()


def die_while_grading() -> None:
    """Kill this process when it is about to write a verdict for the seventh time."""
    left = 7

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) and "/verdicts/" in str(arguments[0]):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def test_killed_in_the_middle_the_same_command_goes_on(
    command: Command, replayed: Path, run: Path, tiny_model: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(replayed, whole)
    assert rescored(command, whole, tiny_model, "5,20,30").returncode == 0
    killed = rescored(command, run, tiny_model, "5,20,30", before=die_while_grading)
    assert killed.returncode == -signal.SIGKILL
    verdicts = RunFolder(run).verdicts("sftgen_gpqa_diamond")
    before, graded = (
        len(RunFolder(each).verdicts("sftgen_gpqa_diamond").read_text().splitlines()) for each in (replayed, run)
    )
    assert graded > before
    assert not any(name.startswith("budget=") for name in metrics(run))
    assert rescored(command, run, tiny_model, "5,20,30").returncode == 0
    assert metrics(run) == metrics(whole)
    keys = [json.loads(line)["key"] for line in verdicts.read_text().splitlines()]
    assert len(keys) == len(set(keys)) > graded  # nothing was graded twice


def test_a_document_that_lost_a_sample_has_no_vote(command: Command, run: Path, tiny_model: Path) -> None:
    texts = run / "generations" / "sftgen_gpqa_diamond.parquet"
    rows = parquet.read_table(texts)
    parquet.write_table(rows.slice(1), texts)
    done = rescored(command, run, tiny_model, "10000")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 documents lack a graded sample of some repeat" in done.stderr
    found = metrics(run)
    assert {name: found[f"budget=10000/{name}"]["n"] for name in ("score", "maj@3", "pass@2", "score_first")} == {
        "score": 3, "maj@3": 2, "pass@2": 2, "score_first": 2,
    }  # fmt: skip
    assert found["budget=10000/score"]["incomplete"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budgets", "5"), "--tokenizer"),
        (("--budgets", "5", "--tokenizer", "/no/such"), "it cannot be loaded"),
        (("--budgets", "5,many"), "expected whole numbers of tokens"),
        (("--tokenizer", "x"), "it truncates responses at --budgets"),
    ],
)
def test_mistakes(command: Command, run: Path, arguments: tuple[str, ...], says: str) -> None:
    done = command("sftgen", "rescore", run, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_budgets_are_whole_numbers_in_order() -> None:
    assert parse_budgets("2000, 500,500") == [500, 2000]
    for text in ("0", "-5", "1e3", "\u0665", ",", "12345678901"):
        with pytest.raises(RecordError, match="--budgets"):
            parse_budgets(text)


def record(text: str, tokens: int | None, **fields: Any) -> GenerationRecord:
    return GenerationRecord("t", None, "m", "d", 0, "p", {}, text, finish_reason="stop", tokens=tokens, **fields)


def test_where_a_response_is_truncated() -> None:
    words, places = "one two three", [0, 3, 7]
    assert truncate(record(words, 4), 4, [], places) == record(words, 4)
    assert truncate(record(words, None), 3, [], places) == record(words, None)
    two = truncate(record(words, 4), 2, [], places)
    assert (two.text, two.tokens, two.finish_reason) == ("one two", 2, "length")
    # The end token alone is cut off: the text is whole, and the response has not ended.
    assert truncate(record(words, 4), 3, [], places).text == words
    assert read_record(truncate(record(words, 4), 3, [], places)).truncated
    # A server's reasoning comes first; two tokens around it are in neither text.
    apart = record("a b", 6, reasoning="x y")
    inside, between, after = (truncate(apart, budget, [0, 1], [0, 1]) for budget in (1, 4, 5))
    assert (inside.reasoning, inside.text, read_record(inside).think) == ("x", "", "unclosed")
    assert (between.reasoning, between.text, read_record(between).think) == ("x y", "", "unclosed")
    assert (after.reasoning, after.text, read_record(after).think) == ("x y", "a", "closed")


def test_the_manifests_model_is_told_and_not_loaded(command: Command, whole: Path, tmp_path: Path) -> None:
    """And a task that is scored by patterns is truncated too: they ask no model."""
    shutil.copytree(whole, tmp_path / "run")
    model = RunFolder(whole).read_manifest()["model"]
    told = command("sftgen", "rescore", tmp_path / "run", "--budgets", "4")
    assert told.returncode == 2
    assert f"--tokenizer {str(model)!r}" in told.stderr.replace("\n", " ")
    done = command("sftgen", "rescore", tmp_path / "run", "--budgets", "4", "--tokenizer", model)
    assert done.returncode == 0, done.stderr
    rows = RunFolder(tmp_path / "run").metric_rows()
    tokens = {row["task"]: row["mean"] for row in rows if row["metric"] == "budget=4/response_tokens"}
    assert tokens.keys() == {"sftgen_parity", "sftgen_refusal"}
    assert all(2 < mean <= 4 for mean in tokens.values())
    # An untrained model writes bytes that are no text: taken apart again, these are more tokens.
    assert "is it the model's" in done.stderr


def test_a_judges_model_is_asked_only_where_its_task_is_named(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "truthfulqa").mkdir()
    row = {"question": "Why?", "best_answer": "So.", "correct_answers": ["So."], "incorrect_answers": ["No."]}
    (tmp_path / "truthfulqa" / "truthfulqa_en_validation.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "outputs.jsonl").write_text(json.dumps({"q": "Why?", "out": "Because it is so."}) + "\n")
    run = tmp_path / "run"
    done = command(
        "sftgen", "eval", "--run", run, "--tasks", "sftgen_truthfulqa", "--model", "sftgen-replay", "--model_args",
        f"path={tmp_path / 'outputs.jsonl'},text=out,key=q:question,tokenizer={tiny_model}", "--metadata",
        f"data_dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    left_out = rescored(command, run, tiny_model, "5")
    assert left_out.returncode == 2
    assert "its judge would be asked about every truncated response" in left_out.stderr
    assert not any(name.startswith("budget=") for name in metrics(run))
    named = rescored(command, run, tiny_model, "5", "--tasks", "sftgen_truthfulqa")
    assert named.returncode == 0, named.stderr
    assert metrics(run)["budget=5/coverage"]["mean"] == 0  # no judge is set
