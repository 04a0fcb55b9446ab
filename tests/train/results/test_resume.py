"""`sftgen eval --run`: every generation is paid for once, whatever happens to the process."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sftgen_judges.records.current import Recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.model_id import model_id
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.streaming import journal_generations
from sftgen_tasks.sandbox.inside.system import drop_capabilities
from tests import commands
from tests.conftest import Command
from tests.train.conftest import eval_arguments
from tests.train.results.small_disk import can_mount, mounted

KILLS = 50


def generations(run: Path) -> dict[str, GenerationRecord]:
    found: dict[str, GenerationRecord] = {}
    for path in (run / "generations").glob("*.parquet"):
        for record in RunFolder(run).read_generations(path.stem):
            assert record.key not in found, "a generation was made twice"
            found[record.key] = record
    return found


def samples(run: Path, *without: str) -> list[str]:
    """The graded responses as text; when they were evaluated is left out, and what else is named."""
    rows = RunFolder(run).sample_rows()
    assert rows
    return sorted(
        json.dumps({**row, **dict.fromkeys(("run", "evaluated_at", *without))}, sort_keys=True) for row in rows
    )


def test_a_run_killed_at_fifty_points_ends_like_one_that_was_not(whole: Path, tiny_model: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    log = tmp_path / "log"
    done = commands.run(script, str(KILLS), log, tmp_path, *eval_arguments(tiny_model, Path("RUN")))
    assert done.returncode == 0, done.stderr + log.read_text()
    killed = [int(word) for word in done.stdout.split()]
    assert sum(killed) == KILLS
    assert max(killed) > 5  # one run was killed again and again
    expected = generations(whole)
    assert len(expected) == 48
    for number in range(len(killed)):
        run = tmp_path / str(number)
        assert {key: record.text for key, record in generations(run).items()} == {
            key: record.text for key, record in expected.items()
        }
        assert samples(run) == samples(whole)


def test_a_second_start_loads_what_is_there_and_rescoring_needs_no_model(
    installed: Command, whole: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = (run / "metrics.jsonl").read_text()
    records = {path.name: path.read_bytes() for path in (run / "generations").iterdir()}
    (run / "metrics.jsonl").unlink()
    (run / "samples.parquet").unlink()
    shutil.rmtree(run / "verdicts")
    model_args = {"env": {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}}
    result = installed("sftgen", "rescore", run, **model_args)
    assert result.returncode == 0, result.stderr
    assert "parity" in result.stdout
    counted = ("thinking_tokens", "answer_tokens")  # by a model's tokenizer, and kept in the file that is gone
    lines, again = (
        [line for line in text.splitlines() if not any(f'"anatomy/{name}"' in line for name in counted)]
        for text in (before, (run / "metrics.jsonl").read_text())
    )
    assert again == lines
    assert samples(run, *counted) == samples(whole, *counted)
    assert {path.name: path.read_bytes() for path in (run / "generations").iterdir()} == records


def test_records_and_results_name_the_same_template(whole: Path) -> None:
    [results] = whole.glob("results/**/results_*.json")
    assert {record.template_hash for record in generations(whole).values()} == {
        json.loads(results.read_text())["chat_template_sha"]
    }


def test_records_are_read_by_duckdb(whole: Path) -> None:
    rows = duckdb.sql(
        f"select task, count(*), min(tokens), max(tokens), count(distinct seed), bool_and(exact) "
        f"from '{whole}/generations/*.parquet' group by task order by task"
    ).fetchall()
    assert [(task, count, seeds, exact) for task, count, _, _, seeds, exact in rows] == [
        ("sftgen_parity", 24, 24, True),
        ("sftgen_refusal", 24, 24, True),
    ]
    assert all(1 <= low <= high <= 12 for _, _, low, high, _, _ in rows)


def test_another_models_answers_are_never_served(
    command: Command, whole: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-3000] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert model_id(str(other)) != model_id(str(tiny_model))
    result = command("sftgen", *eval_arguments(other, run))
    assert result.returncode == 2
    assert "holds generations of another model" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_same_weights_are_the_same_model_wherever_they_lie(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "copy")
    assert model_id(str(tmp_path / "copy")) == model_id(str(tiny_model))


def test_two_writers_the_second_is_told_who_the_first_is(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").sole_writer():
        result = command("sftgen", *eval_arguments(tiny_model, tmp_path / "run"))
    assert result.returncode == 2
    assert f"is being written by process {os.getpid()} on host {os.uname().nodename}" in result.stderr
    with RunFolder(tmp_path / "run").sole_writer():
        pass  # the first one is gone


def no_room() -> None:
    """No file may grow beyond 3,000 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def on_a_small_disk(line: list[str], disk: Path, copy: Path) -> str:
    """A run that fills its disk, then the same command with room; what the first said."""
    with mounted(disk, copy) as sizes:
        first, second = (commands.run(*line, before=see_it) for see_it in sizes)
    assert (first.returncode, second.returncode) == (2, 0), second.stderr
    return first.stderr


def with_small_files(line: list[str], disk: Path, copy: Path) -> str:
    """The same where nobody may mount."""
    first = commands.run(*line, before=no_room, env={**os.environ, "TQDM_DISABLE": "1"})
    shutil.copytree(disk / "run", copy / "kept")
    second = commands.run(*line)
    shutil.copytree(disk / "run", copy / "run")
    assert (first.returncode, second.returncode) == (2, 0), second.stderr
    return first.stderr


def test_a_full_disk_stops_the_run_and_with_room_the_same_command_goes_on(
    whole: Path, tiny_model: Path, tmp_path: Path
) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    copy.mkdir()
    line = ["sftgen", *eval_arguments(tiny_model, disk / "run")]
    mountable = can_mount(disk)
    first = (on_a_small_disk if mountable else with_small_files)(line, disk, copy)
    assert "Traceback" not in first
    assert ("No space left on device" if mountable else "File too large") in first
    assert re.search(r"sftgen: \S+/generations/sftgen_\w+\.jsonl cannot be written: ", first)
    assert "start the same command again" in first
    kept = [
        record
        for task in ("sftgen_parity", "sftgen_refusal")
        for record in RunFolder(copy / "kept").read_generations(task)
    ]
    expected = generations(whole)
    assert 0 < len(kept) < len(expected)
    assert all(expected[record.key].text == record.text for record in kept)
    assert generations(copy / "run") == expected
    assert samples(copy / "run") == samples(whole)


@pytest.mark.parametrize("name", ["generations/sftgen_parity.parquet", "verdicts/sftgen_parity.jsonl", "manifest.json"])
def test_a_file_without_permission_is_one_message_and_nothing_is_lost(
    name: str, command: Command, whole: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")}
    (run / name).chmod(0)  # for root too, without its capabilities
    result = command("sftgen", *eval_arguments(tiny_model, run), before=drop_capabilities)
    assert result.returncode == 2, result.stderr
    assert f"sftgen: {run / name} cannot be read or added to: Permission denied" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Initializing sftgen-hf" not in result.stderr
    (run / name).chmod(0o644)
    assert {path: path.read_bytes() for path in before} == before


# ------------------------------------------------------------------------------ the journal itself


class Counting:
    """A model that says which prompt and how often it was asked."""

    batch_size = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.asked += [request.args[0] for request in requests]
        return [f"{request.args[0]} answered {len(self.asked)}" for request in requests]


def request(prompt: str) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(
        "generate_until", {"q": prompt}, (prompt, {"max_gen_toks": 8}), 0, metadata=("task", 0, 1), doc_id=0
    )


def generate(run: Recording, prompts: list[Any], repeats: int = 1) -> tuple[list[str], list[str]]:
    model = Counting()
    journal_generations(model, run, len, resume=True)
    return model.generate_until([prompt for prompt in prompts for _ in range(repeats)]), model.asked


def test_a_torn_last_line_and_a_damaged_one_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    prompts = [request(name) for name in "abcdef"]
    first, asked = generate(run, prompts)
    assert sorted(asked) == list("abcdef")
    path = run.folder.generations("task")
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1][:40] + "\x00\x00" + lines[1][60:]
    path.write_text("".join(lines[:-1]) + lines[-1][:30])
    again, asked = generate(run, prompts)
    assert len(asked) == 2
    assert "line 2, 6 cannot be read and is made again" in caplog.text
    assert len(again) == len(first)
    assert len({record.key for record in run.folder.read_generations("task")}) == 6
    assert generate(run, prompts)[1] == []


def test_more_or_fewer_repeats_use_what_is_there(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    prompts = [request("a"), request("b")]
    two, asked = generate(run, prompts, repeats=2)
    assert sorted(asked) == ["a", "a", "b", "b"]
    three, asked = generate(run, prompts, repeats=3)
    assert sorted(asked) == ["a", "b"]
    assert [three[index] for index in (0, 1, 3, 4)] == two
    assert generate(run, prompts, repeats=1) == ([two[0], two[2]], [])


def test_other_sampling_or_another_model_is_generated_anew(tmp_path: Path) -> None:
    prompts = [request("a")]
    generate(Recording(RunFolder(tmp_path), model="m"), prompts)
    assert generate(Recording(RunFolder(tmp_path), model="m"), prompts)[1] == []
    assert generate(Recording(RunFolder(tmp_path), model="n"), prompts)[1] == ["a"]
    assert generate(Recording(RunFolder(tmp_path), model="m", seed=1), prompts)[1] == ["a"]


def test_compacted_records_are_the_same_records(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    generate(run, [request("a"), request("b")])
    before = run.folder.read_generations("task")
    run.folder.compact()
    assert not run.folder.generations("task").exists()
    assert run.folder.read_generations("task") == before
    generate(run, [request("a"), request("c")])
    run.folder.compact()
    assert len(run.folder.read_generations("task")) == 3


def test_records_of_another_version_are_refused(tmp_path: Path) -> None:
    run = Recording(RunFolder(tmp_path), model="m")
    generate(run, [request("a")])
    path = run.folder.generations("task")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}) + "\n")
    with pytest.raises(RecordError, match="schema 99, this sftgen reads 1 and 2"):
        run.folder.read_generations("task")
