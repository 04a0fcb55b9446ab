"""Both vLLM forms, for real on the CPU build, against transformers: same answers, same scores, kept records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.store import RunFolder
from tests import ROOT
from tests.conftest import Command

VLLM_ENVIRONMENT = ROOT / ".venv-vllm"
TASKS = ("sftgen_parity", "sftgen_refusal")
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base model after a short training: it answers, more or less."""
    from sftgen_train.demo.data import base_rows
    from sftgen_train.demo.pretrain import Settings, pretrain

    return pretrain(tmp_path_factory.mktemp("models") / "base", base_rows(), settings=Settings(steps=60, warmup=10))


def evaluate(command: Command, backend: str, model: Path, run: Path, *gen_kwargs: str) -> dict[str, GenerationRecord]:
    model_args = f"pretrained={model}"
    if "vllm" in backend:
        model_args += ",dtype=float32,max_model_len=256,enforce_eager=True"
    done = command(
        "sftgen", "eval", "--run", run, "--tasks", ",".join(TASKS), "--model", backend, "--model_args", model_args,
        "--limit", "20", "--gen_kwargs", ",".join(("max_gen_toks=24", *gen_kwargs)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        f"{record.task} {record.doc_hash} {record.repeat}": record
        for task in TASKS
        for record in RunFolder(run).read_generations(task)
    }


def shown(record: GenerationRecord) -> str:
    """The text; lm_eval's own backend leaves the end token in it."""
    return record.text if record.exact else record.text.removesuffix("<|im_end|>")


def counts(record: GenerationRecord) -> tuple[Any, ...]:
    return record.tokens, record.prompt_tokens, record.budget, record.finish_reason, record.turn_end


@pytest.fixture(scope="module")
def transformers(
    command: Command, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, GenerationRecord]]:
    run = tmp_path_factory.mktemp("hf")
    return run, evaluate(command, "sftgen-hf", model, run)


def metrics(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics without what tells one run from another."""
    rows = RunFolder(run).metric_rows()
    return [{name: row[name] for name in row.keys() - {"run", "model", "sampling_id", "evaluated_at"}} for row in rows]


def scores(run: Path) -> list[dict[str, Any]]:
    """The same without lengths, which a stock model's text tells only nearly."""
    return [row for row in metrics(run) if "tokens" not in row["metric"]]


@pytest.mark.parametrize("backend", ["vllm", "sftgen-vllm"])
def test_greedy_answers_and_scores_are_those_of_transformers(
    vllm_command: Command,
    backend: str,
    model: Path,
    transformers: tuple[Path, dict[str, GenerationRecord]],
    tmp_path: Path,
) -> None:
    expected_run, expected = transformers
    found = evaluate(vllm_command, backend, model, tmp_path)
    assert len(expected) == 40
    assert {key: shown(record) for key, record in found.items()} == {
        key: shown(record) for key, record in expected.items()
    }
    assert scores(tmp_path) == scores(expected_run)
    [template] = {record.template_hash for record in expected.values()}
    assert template
    assert {record.template_hash for record in found.values()} == {template}
    exact = backend == "sftgen-vllm"
    assert {record.exact for record in found.values()} == {exact}
    if exact:
        assert {key: counts(record) for key, record in found.items()} == {
            key: counts(record) for key, record in expected.items()
        }


def test_sampled_responses_have_seeds_of_their_own(vllm_command: Command, model: Path, tmp_path: Path) -> None:
    sampled = ("do_sample=True", "temperature=1.0")
    found = evaluate(vllm_command, "sftgen-vllm", model, tmp_path / "a", *sampled)
    assert len({record.seed for record in found.values()}) == 40
    again = evaluate(vllm_command, "sftgen-vllm", model, tmp_path / "b", *sampled)
    assert {key: record.text for key, record in again.items()} == {key: record.text for key, record in found.items()}
