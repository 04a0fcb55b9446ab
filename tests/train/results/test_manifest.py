"""What results tell of how they came about: everything but secrets and the home directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from sftgen_judges.records.provenance import scrub
from tests.conftest import Command

KEY = "not-to-be-told-4711"
SECRETS = (KEY, "told-in-metadata-0815", "hf_" + "Abc4" * 8)
PROBLEMS = [
    {"problem": f"{n}+1?", "solution": f"\\boxed{{{n + 1}}}", "answer": str(n + 1), "unique_id": str(n)}
    for n in range(4)
]


@pytest.fixture(scope="module")
def home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with a model and data in it."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_model, folder / "models" / "tiny")
    (folder / "data").mkdir()
    (folder / "data" / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    return folder


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "SOME_API_KEY": KEY, "HF_HUB_OFFLINE": "1"}


def arguments(home: Path) -> list[str]:
    return [
        "--tasks", "sftgen_parity,sftgen_math500", "--model", "sftgen-hf", "--model_args",
        f"pretrained={home}/models/tiny,seed=3", "--limit", "3", "--gen_kwargs", "max_gen_toks=9", "--metadata",
        f"data_dir={home}/data", f"note={KEY}", f"api_key={SECRETS[1]}", "--hf_hub_log_args", f"token={SECRETS[2]}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run(command: Command, home: Path) -> Path:
    """A run of `sftgen eval` in the home directory, started a second time when it was done."""
    folder = home / "run"
    for _ in range(2):
        done = command("sftgen", "eval", "--run", folder, *arguments(home), cwd=home, env=environment(home))
        assert done.returncode == 0, done.stderr
    return folder


def results_of(folder: Path) -> list[dict[str, Any]]:
    found = sorted(folder.rglob("results_*.json"), key=lambda path: path.name)
    return [json.loads(path.read_text(), parse_constant=pytest.fail) for path in found]


def test_no_file_tells_a_secret_or_the_home_directory(run: Path, home: Path) -> None:
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".jsonl", ".parquet"}
    for path in files:
        text = json.dumps(parquet.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        for hidden in (str(home), str(home).replace("/", "__"), *SECRETS):
            assert hidden not in text + str(path.relative_to(run)), path


def test_the_manifest_says_how_results_came_about(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["command"][:4] == ["sftgen", "eval", "--run", "~/run"]
    assert {"pretrained=~/models/tiny,seed=3", "note=***", "api_key=***", "token=***"} <= set(manifest["command"])
    assert manifest["model"] == "~/models/tiny"
    assert manifest["model_id"].startswith("model:")
    assert {"sftgen", "lm_eval", "torch", "transformers"} <= manifest["versions"].keys()
    assert manifest["seeds"] == {"sampling": 3, "random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}
    assert manifest["git"]["working_directory"] is None
    assert manifest["hardware"]["cpu"]
    assert manifest["hardware"]["cpus"] >= 1
    assert manifest["hardware"]["memory_gib"] > 0
    records = parquet.read_table(run / "generations" / "sftgen_math500.parquet").to_pylist()
    told = manifest["documents"]["sftgen_math500"]
    assert told["origin"] == "~/data/math500.jsonl"
    assert told["n"] == 3
    assert told["prompts_sha256"] != manifest["documents"]["sftgen_parity"]["prompts_sha256"]
    assert {told["template_sha256"]} == {record["template_hash"] for record in records}
    first, second = manifest["sessions"]
    assert (first["responses"], first["responses_resumed"], first["tokens"]) == (
        12,
        0,
        12 * 9,
    )  # three answers to each problem
    assert first["tokens_per_second"] == pytest.approx(108 / first["generation_seconds"], rel=0.05)
    assert (second["responses"], second["responses_resumed"]) == (0, 12)
    assert second["tokens_per_second"] is None
    assert first["seconds"] > first["generation_seconds"] > 0


VOTES = {"score_first", "pass@2", "pass@3", "maj@3"}
"""Of all samples of a document together; lm_eval's own table has none of them."""


def test_lm_evals_results_carry_the_manifest_and_intervals(run: Path) -> None:
    from lm_eval.utils import make_table

    results = results_of(run)[-1]
    intervals = results["sftgen"].pop("intervals")
    assert results["sftgen"] == json.loads((run / "manifest.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [row for row in rows if "low" in row and "/" not in row["metric"]]  # not what diagnostics measure
    assert {row["metric"] for row in measured} >= {"score", "score_paper", "answered", "truncated", "coverage"}
    for row in measured:
        assert intervals[row["task"]][row["metric"]] == {name: row[name] for name in ("mean", "low", "high", "n")}
        if row["metric"] not in VOTES:
            assert results["results"][row["task"]][f"{row['metric']},sftgen"] == row["mean"]
    assert intervals["sftgen_math500"].keys() >= VOTES
    # What lm_eval's tools read is where they look for it.
    assert "|sftgen_math500|" in make_table(results)
    assert results["config"]["model_args"] == {"pretrained": "~/models/tiny", "seed": 3}
    assert results["chat_template_sha"] == results["sftgen"]["documents"]["sftgen_math500"]["template_sha256"]
    assert set(results["task_hashes"]) == {"sftgen_parity", "sftgen_math500"}


def test_a_run_is_scored_again_from_below_another_home(command: Command, run: Path, home: Path, tmp_path: Path) -> None:
    moved = tmp_path / "home"
    shutil.copytree(home, moved)
    manifest = (moved / "run" / "manifest.json").read_text()
    done = command("sftgen", "rescore", moved / "run", env=environment(moved), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (moved / "run" / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()
    assert (moved / "run" / "manifest.json").read_text() == manifest


def test_without_a_run_directory_results_carry_it_too(command: Command, home: Path, tmp_path: Path) -> None:
    def git(*line: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *identity, *line], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "notes").write_text("one")
    git("add", "notes")
    git("commit", "--quiet", "-m", "one")
    (tmp_path / "notes").write_text("two")
    here = {"env": environment(home), "cwd": tmp_path}
    done = command("sftgen", "eval", *arguments(home), "--output_path", tmp_path / "out", **here)
    assert done.returncode == 0, done.stderr
    [results] = results_of(tmp_path / "out")
    told = results["sftgen"]
    assert told["git"]["working_directory"] == {"revision": git("rev-parse", "HEAD"), "dirty": True}
    assert told["intervals"]["sftgen_parity"]["score"]["n"] == 3
    assert [session["responses"] for session in told["sessions"]] == [12]
    assert not any(secret in json.dumps(results) for secret in SECRETS)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("pretrained=m,api_key=abc,x=1", "pretrained=m,api_key=***,x=1"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": "***", "x": 1}'),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '***'}"),
        ("OPENAI_API_KEY=abc", "OPENAI_API_KEY=***"),
        ("token=abc hf_token=abc password=abc", "token=*** hf_token=*** password=***"),
        ("Bearer abcdef123456", "Bearer ***"),
        ("https://me:abc@host/v1?key=abc&n=2", "https://***@host/v1?key=***&n=2"),
        ("hf_" + "aB3" * 10, "***"),
        ("sk-proj-" + "aB3" * 10, "***"),
        (["--api_key", "abc", "--limit", "3"], ["--api_key", "***", "--limit", "3"]),
        ({"auth_token": "abc", "deep": [{"secret": "abc"}]}, {"auth_token": "***", "deep": [{"secret": "***"}]}),
        ({"token": True, "api_key": None}, {"token": True, "api_key": None}),
        # What only sounds like a secret.
        ("think_end_token=</think>", "think_end_token=</think>"),
        ("path=a,key=question:problem", "path=a,key=question:problem"),
        ({"eot_token_id": 3, "tokenizer_pad_token": "<pad>"}, {"eot_token_id": 3, "tokenizer_pad_token": "<pad>"}),
        ("task-123456789 hf_transfer the bearer answers", "task-123456789 hf_transfer the bearer answers"),
        ("max_gen_toks=9,tokenizer=t", "max_gen_toks=9,tokenizer=t"),
        # Of the environment, and home.
        ("x=held-by-a-variable", "x=***"),
        ("false EMPTY", "false EMPTY"),
        ("/somewhere/me/m and file:///somewhere/me.", "~/m and file://~."),
        ("/somewhere/me2 /mnt/somewhere/me/m", "/somewhere/me2 /mnt/somewhere/me/m"),
        ({"/somewhere/me/m": ("/somewhere/me",)}, {"~/m": ["~"]}),
        (3, 3),
    ],
)
def test_what_is_hidden(given: Any, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere/me")
    monkeypatch.setenv("MY_SECRET", "held-by-a-variable")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.setenv("A_KEY_OF_MANY_LETTERS", "x" * 5000)
    assert scrub(given) == told
    assert scrub(told) == told
