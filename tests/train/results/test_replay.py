"""`--model sftgen-replay` gives what the original run gave, from every form that outputs are stored in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import few_tasks
from tests.conftest import Command

GENERATION = ("--limit", "24", "--gen_kwargs", "max_gen_toks=12,do_sample=True,temperature=1.0")
TASKS = ("--tasks", "sftgen_parity,sftgen_refusal")


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """lm_eval's results file: task -> metric -> value."""
    [path] = folder.rglob("results_*.json")
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())["results"]
    return {
        task: {name: value for name, value in metrics.items() if "," in name and "stderr" not in name}
        for task, metrics in found.items()
    }


def test_a_run_directory_replayed_by_plain_lm_eval(
    command: Command, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tmp_path / "records"
    monkeypatch.setenv("SFTGEN_RUN_DIR", str(records))
    model = ("--model", "sftgen-replay", "--model_args", f"path={whole}")
    out = ("--output_path", tmp_path, "--log_samples")
    result = command("lm_eval", *TASKS, *model, *GENERATION, *out, before=few_tasks)
    assert result.returncode == 0, result.stderr
    original = results(whole / "results")
    assert set(original) == {"sftgen_parity", "sftgen_refusal"}
    assert results(tmp_path) == original
    # lm_eval has no place for it in its results.
    manifest, before = (json.loads((folder / "manifest.json").read_text()) for folder in (records, whole))
    assert manifest["command"][0] == "lm_eval"
    assert manifest["hardware"] == before["hardware"]
    for task, facts in manifest["documents"].items():
        assert facts["sha256"] == before["documents"][task]["sha256"]


def test_lm_evals_own_samples_replayed(command: Command, whole: Path, tiny_model: Path, tmp_path: Path) -> None:
    # Samples hold text only: lengths are counted again, which the tiny tokenizer (a token a byte) does exactly
    # but for the end token, so scores are what is compared.
    model = ("--model", "sftgen-replay", "--model_args", f"path={whole / 'results'},tokenizer={tiny_model}")
    result = command("sftgen", "eval", *TASKS, *model, *GENERATION, "--output_path", tmp_path)
    assert result.returncode == 0, result.stderr
    original, replayed = results(whole / "results"), results(tmp_path)
    for task, metrics in original.items():
        assert replayed[task]["score,sftgen"] == metrics["score,sftgen"]
        assert replayed[task]["coverage,sftgen"] == 1.0


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Another tool's outputs for ten parity questions, five of them right."""
    from sftgen_tasks.procedural import make_docs, parity

    rows = [
        {"q": doc["question"], "out": f"\\boxed{{{doc['answer'] if number < 5 else 'neither'}}}"}
        for number, doc in enumerate(make_docs(parity)[:10])
    ]
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_any_file_with_a_column_map(command: Command, stored: Path, tmp_path: Path) -> None:
    model = ("--model", "sftgen-replay", "--model_args", f"path={stored},text=out,key=q:question")
    run = tmp_path / "run"
    result = command("sftgen", "eval", "--tasks", "sftgen_parity", *model, "--limit", "10", "--run", run)
    assert result.returncode == 0, result.stderr
    assert results(run / "results")["sftgen_parity"]["score,sftgen"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("path=PATH,text=out,key=q:question", "nothing stored for 20 of 30 samples, first sftgen_parity, document 10"),
        ("path=PATH,text=answer,key=q:question", "row 1: no column 'answer'; found q, out"),
        ("path=PATH,text=out", "give both text=COLUMN and key=COLUMN:DOC_COLUMN"),
        ("path=PATH", "not lm_eval's samples"),
        ("path=/nowhere", "neither a run directory nor"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    command: Command, stored: Path, tmp_path: Path, arguments: str, says: str
) -> None:
    model = ("--model", "sftgen-replay", "--model_args", arguments.replace("PATH", str(stored)))
    result = command("sftgen", "eval", "--tasks", "sftgen_parity", *model, "--limit", "30", cwd=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def thinking(tmp_path: Path) -> tuple[str, ...]:
    """A model whose right answers stand behind thinking in markers of its own."""
    from sftgen_tasks.procedural import make_docs, parity

    rows = [
        {"q": doc["question"], "out": rf"<mull>\boxed{{neither}}</mull>\boxed{{{doc['answer']}}}"}
        for doc in make_docs(parity)[:4]
    ]
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = ("--model", "sftgen-replay", "--model_args", f"path={path},text=out,key=q:question")
    return ("--tasks", "sftgen_parity", *model, "--limit", "4")


@pytest.mark.parametrize("door", [("lm_eval",), ("sftgen", "eval")], ids=" ".join)
def test_two_markers_of_thinking_are_set_as_documented(
    door: tuple[str, ...], command: Command, thinking: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("--metadata", "think_markers=<mull>,</mull>", "--output_path", out)
    result = command(*door, *thinking, *given, before=few_tasks)
    assert result.returncode == 0, result.stderr
    assert results(out)["sftgen_parity"]["score,sftgen"] == 1.0


def test_unknown_markers_are_told_in_table_results_and_log(
    command: Command, thinking: tuple[str, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = command("sftgen", "eval", *thinking, "--run", run)
    assert result.returncode == 0, result.stderr
    assert "unknown marker" in result.stderr
    assert "unknown_markers" in result.stdout
    assert "100% of responses begin with what may be an unknown marker" in " ".join(result.stdout.split())
    assert results(run / "results")["sftgen_parity"]["unknown_markers,sftgen"] == 1.0
    [written] = (run / "results").rglob("results_*.json")
    facts = json.loads(written.read_text())["sftgen"]["documents"]["sftgen_parity"]
    assert facts["unknown_markers"] == {"<mull>": 4}
