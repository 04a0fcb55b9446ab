"""What a generation record tells, which older records are read, and which lines of a journal are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Grader, Item, Response, Verdict, split_thinking
from sftgen_judges.records.current import Recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.schema import SCHEMA, GenerationRecord, text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks import evaluate, load_tasks

SETTINGS = {"max_gen_toks": 4}


def records(lm: Any, folder: Path, **options: Any) -> list[GenerationRecord]:
    """What an evaluation of one short task leaves."""
    evaluate(
        lm, load_tasks(["sftgen_parity"], None, SETTINGS), Recording(RunFolder(folder), model="m"), limit=2, **options
    )
    return RunFolder(folder).read_generations("sftgen_parity")


@pytest.fixture(scope="module")
def template(tiny_model: Path) -> str:
    """Hash of the tiny model's chat template."""
    from transformers import AutoTokenizer

    return text_hash(AutoTokenizer.from_pretrained(tiny_model).chat_template)


@pytest.mark.parametrize("stock", [False, True])
def test_a_record_has_the_hash_of_the_template_in_force(
    stock: bool, tiny_model: Path, template: str, tmp_path: Path
) -> None:
    from lm_eval.models.huggingface import HFLM

    from sftgen_tasks.harness.backends.hf import RecordingHFLM
    from sftgen_tasks.harness.backends.replay import ReplayLM

    lm = (HFLM if stock else RecordingHFLM)(pretrained=str(tiny_model), batch_size=2, device="cpu")
    assert {record.template_hash for record in records(lm, tmp_path / "run")} == {template}
    assert {record.template_hash for record in records(lm, tmp_path / "plain", chat_template=False)} == {None}
    # Replayed, it is the template that the response was made with.
    replay = ReplayLM(str(tmp_path / "run"))
    assert {record.template_hash for record in records(replay, tmp_path / "replay")} == {template}
    RunFolder(tmp_path / "run").compact()
    assert {row.template_hash for row in RunFolder(tmp_path / "run").read_generations("sftgen_parity")} == {template}


# ------------------------------------------------------------------------------ versions

RECORD = GenerationRecord("task", None, "m", "d", 0, "p", SETTINGS, "text", "stop", 3, 2, seed=5)


def first_version(record: GenerationRecord) -> dict[str, Any]:
    """A row as the first version wrote it."""
    row = {**record.to_dict(), "schema": 1}
    return {name: value for name, value in row.items() if name not in {"reasoning", "template_hash"}}


@pytest.mark.parametrize("compacted", [False, True])
def test_records_of_the_first_version_are_read_and_used(compacted: bool, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    run, row = Recording(RunFolder(tmp_path)), first_version(RECORD)
    path = run.folder.generations("task")
    path.parent.mkdir()
    if compacted:
        rows = [{**row, "sampling": json.dumps(row["sampling"])}]
        parquet.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    else:
        path.write_text(json.dumps(row) + "\n")
    [found] = run.folder.read_generations("task")
    assert found == replace(RECORD, schema=1)
    assert found.key == RECORD.key
    # Beside newer ones they are compacted.
    run.folder.add_generations([replace(RECORD, repeat=1, reasoning="hm", template_hash="t")])
    run.folder.compact()
    first, second = run.folder.read_generations("task")
    assert (first.schema, first.reasoning, first.template_hash) == (1, None, None)
    assert (second.schema, second.reasoning, second.template_hash) == (SCHEMA, "hm", "t")


# ------------------------------------------------------------------------------ long journals


def test_only_one_models_records_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Recording(RunFolder(tmp_path))
    models = ["folder:1", "folder:2", 'name:a "quoted" \\ one', "folder:é"]
    made = [replace(RECORD, model=model, repeat=repeat, step=repeat) for repeat in range(2) for model in models]
    made += [replace(RECORD, text='"model": "folder:2"'), replace(RECORD, task='odd "task"', model="folder:2")]
    run.folder.add_generations([replace(record, task="task") for record in made])
    path = run.folder.generations("task")
    # Of another model: not even parsed, so nothing is said of the rest of the line. Without a head: reported.
    lines = path.read_text().splitlines()
    lines[0] = lines[0][:-9]
    lines[4] = lines[4][:9] + "\x00" * 40 + lines[4][49:]
    path.write_text("\n".join(lines) + "\n")
    for compacted in (False, True):
        for model in models[1:]:
            found = [record for record in made if record.model == model]
            assert len(run.folder.read_generations("task", model)) == len(found)
        if not compacted:
            assert "line 5 cannot be read and is made again" in caplog.text
            run.folder.compact()
    assert len(run.folder.read_generations("task")) == len(made) - 2


def odd(doc: Any, response: Response) -> Verdict:
    """A verdict that tells which one it is."""
    return Verdict.of(response, response.answer, 1, reason=f"graded {response.answer}")


def test_a_verdict_journal_serves_what_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    graded: list[str] = []

    def grade(doc: Any, response: Response) -> Verdict:
        graded.append(response.answer)
        return odd(doc, response)

    grader = Grader("odd", version=1, grade=grade)

    def run(texts: Sequence[str]) -> list[str | None]:
        graded.clear()
        items = [Item({"q": 1}, split_thinking(text)) for text in texts]
        return [verdict.answer for verdict in grade_batch(grader, items, journal=tmp_path / "verdicts.jsonl")]

    assert run("abc") == ["a", "b", "c"]
    assert run("cbd") == ["c", "b", "d"]
    assert graded == ["d"]
    path = tmp_path / "verdicts.jsonl"
    lines = path.read_text().splitlines()
    # A torn line, one that is no JSON, and one whose columns stand in another order.
    lines[0] = lines[0][:100]
    lines[1] = "\x00" * 50
    lines[2] = json.dumps(dict(reversed(json.loads(lines[2]).items())))
    path.write_text("\n".join(lines) + "\n")
    assert run("abcd") == ["a", "b", "c", "d"]
    assert graded == ["a", "b"]


# ------------------------------------------------------------------------------ files that cannot be used


@pytest.mark.parametrize("name", ["generations/task.jsonl", "verdicts/task.jsonl", "samples.jsonl", "manifest.json"])
def test_a_file_that_cannot_be_used_is_said_before_anything_is_done(name: str, tmp_path: Path) -> None:
    RunFolder(tmp_path).require_usable()
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(RecordError, match=f"{name} cannot be read or added to: Is a directory"):
        RunFolder(tmp_path).require_usable()


def test_records_that_cannot_be_read_are_never_taken_for_none(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path))
    run.folder.generations("task").mkdir(parents=True)
    with pytest.raises(RecordError, match="cannot be read"):
        run.folder.read_generations("task")
    with pytest.raises(RecordError, match="cannot be written: Is a directory"):
        run.folder.add_generations([RECORD])
