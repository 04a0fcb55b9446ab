"""Several evaluations in one run directory: every table speaks of the one that was asked for last."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import sftgen
from sftgen_judges.records.schema import doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import load_tasks
from sftgen_train.results.rescoring import rescore
from tests.commands import few_tasks
from tests.conftest import Command
from tests.logs import require_quiet

TASK = "sftgen_parity"
Said = tuple[int, float]
"""Number of documents, and mean number of tokens of a response."""


def evaluate(command: Command, run: Path, model: str, limit: int, tokens: int, *flags: str) -> str:
    """`sftgen eval --run`; what it said."""
    done = command(
        "sftgen", "eval", "--run", run, "--tasks", TASK, *model.split(), "--limit", str(limit), "--batch_size", "4",
        "--gen_kwargs", f"max_gen_toks={tokens}", *flags,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    require_quiet(done)
    return " ".join(done.stderr.split())


def results_of(run: Path) -> Said:
    """What lm_eval's newest results file says."""
    newest = max(run.glob("results/**/results_*.json"), key=lambda path: path.stat().st_mtime)
    found = json.loads(newest.read_text())
    return found["n-samples"][TASK]["effective"], found["results"][TASK]["response_tokens,sftgen"]


def rows_of(run: Path) -> Said:
    """What `metrics.jsonl` says to the report."""
    [row] = [row for row in RunFolder(run).metric_rows() if row["metric"] == "response_tokens"]
    return row["docs"], row["mean"]


def views_of(run: Path) -> list[Said]:
    """What the views of metrics and samples say."""
    records = sftgen.load_run(run)
    queries = (
        "SELECT docs AS n, mean FROM metrics WHERE metric = 'response_tokens'",
        "SELECT count(DISTINCT doc_hash) AS n, avg(tokens) AS mean FROM samples",
    )
    found = [records.sql(query).rows() for query in queries]
    return [(row["n"], row["mean"]) for [row] in found]


def replayed(command: Command, run: Path, said: Said, folder: Path) -> Said:
    """What a replay of the run says."""
    evaluate(command, folder, f"--model sftgen-replay --model_args path={run}", said[0], 99)
    return rows_of(folder)


def everything_says(run: Path, said: Said) -> None:
    before = rows_of(run)
    assert before == pytest.approx(said)
    assert results_of(run) == pytest.approx(said)
    for shown in views_of(run):
        assert shown == pytest.approx(said)
    rescore(run)
    assert rows_of(run) == pytest.approx(said)
    for shown in views_of(run):
        assert shown == pytest.approx(said)


@pytest.fixture(scope="module")
def hf(tiny_model: Path) -> str:
    return f"--model sftgen-hf --model_args pretrained={tiny_model}"


def test_after_a_b_a_a_smaller_limit_and_another_prompt_all_tables_agree(
    hf: str, command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    evaluate(command, run, hf, 6, 6)
    first = results_of(run)
    everything_says(run, first)
    evaluate(command, run, hf, 6, 9)
    second = results_of(run)
    assert second != pytest.approx(first)
    everything_says(run, second)
    evaluate(command, run, hf, 6, 6)  # nothing is made
    assert len(RunFolder(run).read_generations(TASK)) == 12
    assert results_of(run) == pytest.approx(first)
    everything_says(run, first)
    assert replayed(command, run, first, tmp_path / "replayed") == pytest.approx(first)
    said = evaluate(command, run, hf, 3, 9)
    assert "tables now show this evaluation of 3 documents; before, they showed one of 6 documents" in said
    third = results_of(run)
    assert third[0] == 3
    everything_says(run, third)
    assert replayed(command, run, third, tmp_path / "again") == pytest.approx(third)
    evaluate(command, run, hf, 2, 9, "--no_chat_template")
    everything_says(run, results_of(run))
    evaluate(command, run, hf, 6, 9)
    everything_says(run, second)


# ------------------------------------------------------------------------------ without a model


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored outputs of the task, as another tool wrote them: hostile text among them."""
    docs = load_tasks([TASK]).tasks[TASK].test_docs()
    texts = ["half an emoji \ud83d</think>\\boxed{7}", "a\u2028b\u2029c\x85d \0 \\boxed{odd}", "x" * 300_000, "\ude00"]
    path = tmp_path_factory.mktemp("outputs") / "outputs.jsonl"
    rows = [{"q": doc["question"], "out": texts[number % 4]} for number, doc in enumerate(list(docs)[:8])]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def stored(outputs: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the stored outputs."""
    run = tmp_path_factory.mktemp("stored") / "run"
    evaluate(command, run, f"--model sftgen-replay --model_args path={outputs},text=out,key=q:question", 8, 9)
    return run


def test_text_that_utf_8_cannot_hold_is_scored_logged_and_compacted(stored: Path, outputs: Path) -> None:
    [log] = stored.glob("results/**/samples_*.jsonl")
    logged = [json.loads(line) for line in log.read_bytes().decode("utf-8").split("\n") if line]
    assert len(logged) == 8
    made = {record.doc_hash: record.text for record in RunFolder(stored).read_generations(TASK)}
    assert {row["resps"][0][0] for row in logged} == set(made.values())
    assert "half an emoji \ufffd</think>\\boxed{7}" in made.values()
    assert not list((stored / "generations").glob("*.jsonl"))
    before = {row["metric"]: row["mean"] for row in RunFolder(stored).metric_rows()}
    rescore(stored)
    assert {row["metric"]: row["mean"] for row in RunFolder(stored).metric_rows()} == before


@pytest.mark.parametrize("lost", ["all", "some"])
def test_lost_responses_are_named_and_their_scores_stay(
    lost: str, stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    folder = RunFolder(run)
    kept = folder.read_generations(TASK)[:5] if lost == "some" else []
    (run / "generations" / f"{TASK}.parquet").unlink()
    folder.add_generations(kept)
    before, samples = folder.metric_rows(), folder.sample_rows(TASK)
    assert rescore(run) == []
    assert folder.metric_rows() == before
    assert folder.sample_rows(TASK) == samples
    said = " ".join(caplog.text.split())
    assert f"{3 if lost == 'some' else 8} responses of its last evaluation are lost" in said
    assert "its samples and metrics stay as they were. The command that made them makes them again" in said


def test_texts_that_are_damaged_beside_sound_keys_are_lost_responses(
    stored: Path, tmp_path: Path, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    path, folder = run / "generations" / f"{TASK}.parquet", RunFolder(run)
    group = parquet.read_metadata(path).row_group(0)
    [text] = [column for column in map(group.column, range(group.num_columns)) if column.path_in_schema == "text"]
    start, data = text.data_page_offset, bytearray(path.read_bytes())
    data[start : start + text.total_compressed_size] = bytes(text.total_compressed_size)
    path.write_bytes(data)
    before = folder.metric_rows()
    said = command("sftgen", "rescore", run)
    assert (said.returncode, folder.metric_rows()) == (0, before), said.stderr
    assert "8 responses of its last evaluation are lost" in " ".join(said.stderr.split())
    folder.metrics.unlink()  # now no complete result stands
    folder.add_generations([replace(RunFolder(stored).read_generations(TASK)[0], sampling={"other": 1})])
    rescore(run)
    assert [row["docs"] for row in folder.metric_rows() if row["metric"] == "score"] == [1]


def test_a_run_without_samples_and_metrics_gets_them_again(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    before = RunFolder(run).metric_rows()
    for name in ("samples.parquet", "metrics.jsonl", "evaluations.jsonl"):
        (run / name).unlink()
    rescore(run)

    def undated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "evaluated_at": None} for row in rows]

    assert undated(RunFolder(run).metric_rows()) == undated(before)


def test_lengths_that_stood_in_lost_samples_are_said_to_be_unknown(
    stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(stored, run.path)
    run.add_generations([replace(record, text="<think>a</think>b", tokens=9) for record in run.read_generations(TASK)])
    run.compact()
    rows = [{**row, "thinking_tokens": 7, "answer_tokens": 2} for row in run.sample_rows(TASK)]
    run.append(run.samples, rows)
    rescore(run.path)
    assert {(row["thinking_tokens"], row["answer_tokens"]) for row in run.sample_rows(TASK)} == {(7, 2)}
    assert "stay unknown" not in caplog.text
    run.sample_index.unlink()
    rescore(run.path)
    assert {(row["thinking_tokens"], row["answer_tokens"]) for row in run.sample_rows(TASK)} == {(None, None)}
    assert "they are counted when the model generates, so they stay unknown" in caplog.text


@pytest.mark.parametrize("damage", ["evaluations.jsonl", "samples.parquet"])
def test_with_one_file_lost_the_evaluation_is_still_the_same(damage: str, stored: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(stored, run.path)
    before = run.metric_rows()
    (run.path / damage).write_bytes(b"damaged")
    if damage == "samples.parquet":
        (run.path / damage).unlink()
    rescore(run.path)
    assert run.metric_rows() == before
    assert {row["evaluated_at"] for row in run.sample_rows(TASK)} == {before[0]["evaluated_at"]}
    assert len(sftgen.load_run(run.path).samples.rows()) == 8


def test_several_models_in_one_directory_are_scored_apart_and_the_last_is_shown(stored: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(stored, run.path)
    other = [replace(record, model="other", text="\\boxed{odd}") for record in run.read_generations(TASK)]
    run.add_generations(other)
    (run.path / "manifest.json").write_text((run.path / "manifest.json").read_text().replace('"model_id"', '"x"'))
    results = rescore(run.path)
    assert len(results) == 2
    assert {row["model"] for row in run.metric_rows()} != {"other"}  # nobody asked for it
    assert len({row["model"] for row in run.sample_rows(TASK)}) == 2


def test_answers_that_nobody_evaluated_are_not_mixed_into_an_evaluation(stored: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    folder = RunFolder(run)
    before = folder.metric_rows()
    [record, *_] = folder.read_generations(TASK)
    doc = dict(list(load_tasks([TASK]).tasks[TASK].test_docs())[20])
    folder.add_generations([replace(record, doc_hash=doc_hash(doc))])  # a later evaluation was killed
    rescore(run)
    assert folder.metric_rows() == before


def test_a_training_is_no_place_for_an_evaluation_without_a_step(
    outputs: Path, command: Command, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    row = {"task": TASK, "status": "ok", "metric": "score", "mean": 0.5, "docs": 1, "model": "m", "sampling_id": "s"}
    run.add_evaluation([], [{**row, "step": step} for step in (0, 5)], {"step": 5, "status": "ok"})
    run.update_manifest(model="m")
    model = f"--model sftgen-replay --model_args path={outputs},text=out,key=q:question"
    done = command("sftgen", "eval", "--run", run.path, "--tasks", TASK, *model.split(), "--limit", "2")
    assert done.returncode == 2
    assert "holds evaluations of a training (steps 0, 5)" in " ".join(done.stderr.split())
    # One that an older version let in.
    run.append(run.metrics, [{**row, "step": None}])
    run.append(run.samples, [{**row, "step": None, "doc_hash": "d", "repeat": 0}])
    done = command("sftgen", "report", run.path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_of_lm_evals_own_is_kept_and_goes_on(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    """Its scores are in lm_eval's results; what was generated is kept, and used by the same command."""
    tasks, run = tmp_path / "tasks", tmp_path / "run"
    tasks.mkdir()
    rows = [{"q": f"{number} and {number}", "a": str(2 * number)} for number in range(6)]
    (tasks / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "task": "mine", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tasks / "rows.jsonl")}},
        "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}, "metric_list": [{"metric": "exact_match"}],
    }  # fmt: skip
    (tasks / "mine.yaml").write_text(json.dumps(config))
    line = [
        "sftgen", "eval", "--run", run, "--tasks", "mine", "--include_path", tasks, "--model", "sftgen-hf",
        "--model_args", f"pretrained={tiny_model}", "--device", "cpu", "--limit",
    ]  # fmt: skip
    for limit in (3, 6, 6):
        done = command(*line, str(limit), before=few_tasks)
        assert done.returncode == 0, done.stderr[-2000:]
        assert len(RunFolder(run).read_generations("mine")) == limit
    newest = max(run.glob("results/**/results_*.json"), key=lambda path: path.stat().st_mtime)
    assert "exact_match,none" in json.loads(newest.read_text())["results"]["mine"]
    for told in (command("sftgen", "report", run), command("sftgen", "rescore", run)):
        assert told.returncode == 2
        assert "lm_eval" in told.stderr
        assert "Traceback" not in told.stderr
